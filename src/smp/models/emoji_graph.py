"""Pre-training on a graph of posts, words and emoji: contrast of nodes, and reconstruction of links.

Nodes are contrasted by the subgraphs that two random walks with restart find around each (GCC: GIN, InfoNCE, T 0.07);
links are told from pairs that are none by the dot product of their ends, which do not see the link or its reverse. The
published network is 768 wide; a queue of negatives is replaced by the batch, which is as large as a queue was.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

KINDS = ("post", "word", "emoji")
PAIRS = (("post", "word"), ("post", "emoji"), ("word", "emoji"))
Edges = dict[tuple[str, str], np.ndarray]  # (2, E) int64 of each of PAIRS
Wires = dict[tuple[str, str, str], Tensor]  # what message passing takes: of each pair and its reverse


@dataclass(frozen=True)
class EmojiGraph:
    """Sizes, and which pre-training tasks there are."""

    width: int = 768
    layers: int = 2
    contrast: float = 1.0  # weight of the contrast of nodes; 0: without
    links: float = 1.0  # weight of the reconstruction of links; 0: without
    batch: int = 1024  # posts contrasted at once
    walk: int = 32  # steps of a walk
    restart: float = 0.3
    temperature: float = 0.07
    masked: float = 0.15  # share of the links that are to be told, and are not there
    steps: int = 500
    learning_rate: float = 1e-3


def wires(edges: Edges, flow: Edges | None = None) -> Wires:
    """Both directions of every pair. flow: the edges along which the first kind speaks, where they are fewer."""
    made = {}
    for a, b in PAIRS:
        there = torch.from_numpy(edges[a, b])
        made[a, "to", b] = there if flow is None else torch.from_numpy(flow[a, b])
        made[b, "to", a] = there.flip(0)
    return made


class Encoder(nn.Module):
    """Vectors of posts and of emoji names, and what is learnt of words and emoji -> a vector of every node."""

    def __init__(self, config: EmojiGraph, vectors: dict[str, int], words: int, emojis: int):
        from torch_geometric.nn import GINConv, HeteroConv

        super().__init__()
        d = config.width
        self.inputs = nn.ModuleDict({kind: nn.Linear(width, d) for kind, width in vectors.items()})
        self.own = nn.ModuleDict({"word": nn.Embedding(words, d), "emoji": nn.Embedding(emojis, d)})

        def layer() -> HeteroConv:
            ways = [(a, "to", b) for a, b in (*PAIRS, *(p[::-1] for p in PAIRS))]
            mlps = {w: nn.Sequential(nn.Linear(d, d), nn.ReLU(), nn.Linear(d, d)) for w in ways}
            return HeteroConv({w: GINConv(mlp) for w, mlp in mlps.items()}, aggr="sum")

        self.layers = nn.ModuleList(layer() for _ in range(config.layers))
        self.norms = nn.ModuleList(nn.ModuleDict({k: nn.LayerNorm(d) for k in KINDS}) for _ in self.layers)

    def forward(self, vectors: dict[str, Tensor], at: dict[str, Tensor], links: Wires) -> dict[str, Tensor]:
        """Vectors (m, d) by kind of the nodes `at` (m,), positions by kind, whose ends `links` number.

        vectors: of all posts and of all emoji.
        """
        x = {"post": self.inputs["post"](vectors["post"][at["post"]]), "word": self.own["word"](at["word"])}
        x["emoji"] = self.inputs["emoji"](vectors["emoji"][at["emoji"]]) + self.own["emoji"](at["emoji"])
        for conv, norm in zip(self.layers, self.norms):
            made = conv(x, links)
            x = {kind: x[kind] + torch.relu(norm[kind](made[kind])) if kind in made else x[kind] for kind in KINDS}
        return x


class Walker:
    """Random walks with restart over a graph whose nodes are numbered kind after kind."""

    def __init__(self, edges: Edges, sizes: dict[str, int]):
        self.first = dict(zip(KINDS, np.cumsum([0, *(sizes[k] for k in KINDS)])))
        self.ends = np.cumsum([sizes[k] for k in KINDS])
        there = [edges[a, b] + np.array([[self.first[a]], [self.first[b]]]) for a, b in PAIRS]
        both = np.hstack([*there, *(e[::-1] for e in there)])
        order = np.argsort(both[0], kind="stable")
        self.target = np.append(both[1][order], 0)  # the last is for who has no link: it is looked at, and not gone to
        self.start = np.searchsorted(both[0][order], np.arange(self.ends[-1] + 1))

    def subgraphs(
        self, posts: np.ndarray, steps: int, restart: float, rng: np.random.Generator
    ) -> tuple[dict[str, np.ndarray], Edges, np.ndarray]:
        """What a walk from each of the posts (m,) finds: the nodes by kind, the links that it went along (their ends
        are places among these nodes), and (m,) the place of each post's own node. No two walks share a node."""
        m, width = len(posts), int(self.ends[-1])
        here, owner, passed, seen = posts.copy(), np.arange(m), [], [np.arange(m) * width + posts]
        for _ in range(steps):
            degree = self.start[here + 1] - self.start[here]
            draw = np.minimum((rng.random(m) * degree).astype(np.int64), np.maximum(degree - 1, 0))
            step = np.where(degree > 0, self.target[self.start[here] + draw], here)
            moves = degree > 0
            passed.append(np.stack([owner * width + here, owner * width + step])[:, moves])
            seen.append(owner * width + step)
            here = np.where(rng.random(m) < restart, posts, step)
        nodes = np.unique(np.concatenate(seen))
        kind = np.searchsorted(self.ends, nodes % width, side="right")
        place = np.empty(len(nodes), np.int64)
        found = {}
        for k, name in enumerate(KINDS):
            own = np.flatnonzero(kind == k)
            place[own] = np.arange(len(own))
            found[name] = nodes[own] % width - self.first[name]
        ends = np.searchsorted(nodes, np.unique(np.concatenate(passed, axis=1), axis=1))
        links = {}
        for a, b in PAIRS:
            ka, kb = KINDS.index(a), KINDS.index(b)
            forth, back = ((kind[ends[i]] == ka) & (kind[ends[1 - i]] == kb) for i in (0, 1))
            links[a, b] = np.unique(place[np.hstack([ends[:, forth], ends[::-1, back]])], axis=1)
        return found, links, place[np.searchsorted(nodes, seen[0])]


def pretrain(
    encoder: Encoder, config: EmojiGraph, vectors: dict[str, Tensor], edges: Edges, seed: int
) -> dict[str, list[float]]:
    """Train an encoder on the graph; returns the losses of each task, step by step."""
    rng, sizes = np.random.default_rng(seed), node_counts(encoder, vectors)
    walker = Walker(edges, sizes)
    project = nn.Linear(config.width, min(config.width, 128))
    optimizer = torch.optim.AdamW([*encoder.parameters(), *project.parameters()], lr=config.learning_rate)
    losses: dict[str, list[float]] = {"contrast": [], "links": []}
    everyone = {kind: torch.arange(n) for kind, n in sizes.items()}
    for _ in range(config.steps):
        total = torch.zeros(())
        if config.contrast:
            posts = rng.permutation(sizes["post"])[: config.batch]
            views = []
            for _ in range(2):
                at, links, own = walker.subgraphs(posts, config.walk, config.restart, rng)
                at = {kind: torch.from_numpy(rows) for kind, rows in at.items()}
                made = encoder(vectors, at, wires(links))["post"][torch.from_numpy(own)]
                views.append(functional.normalize(project(made), dim=1))
            score = views[0] @ views[1].T / config.temperature
            same = torch.arange(len(posts))
            found = (functional.cross_entropy(score, same) + functional.cross_entropy(score.T, same)) / 2
            losses["contrast"].append(found.item())
            total = total + config.contrast * found
        if config.links:
            hidden = {pair: rng.random(e.shape[1]) < config.masked for pair, e in edges.items()}
            left = {pair: e[:, ~hidden[pair]] for pair, e in edges.items()}
            made = encoder(vectors, everyone, wires(left))
            asked = {pair: e[:, hidden[pair]] for pair, e in edges.items()}
            apart = {pair: no_links(edges[pair], e[0], sizes[pair[1]], rng) for pair, e in asked.items()}
            there = [pair for pair in PAIRS if asked[pair].shape[1] and apart[pair].shape[1]]
            each = [link_loss(made, pair, asked[pair], apart[pair]) for pair in there] or [torch.zeros(1)]
            found = torch.stack(each).mean()
            losses["links"].append(found.item())
            total = total + config.links * found
        if total.requires_grad:
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
    return losses


def link_loss(made: dict[str, Tensor], pair: tuple[str, str], links: np.ndarray, apart: np.ndarray) -> Tensor:
    """The cross-entropy of links (2, E) and of pairs (2, F) that are none, each of half the weight."""
    true, false = (link_score(made, pair, e) for e in (links, apart))
    return (functional.softplus(-true).mean() + functional.softplus(false).mean()) / 2


def no_links(links: np.ndarray, first: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """(2, F) pairs of each of `first` (E,) and a drawn one of `count` second ends, without those of the links."""
    drawn = rng.integers(0, count, len(first))
    is_link = np.isin(first * count + drawn, links[0] * count + links[1])
    return np.stack([first, drawn])[:, ~is_link]


def link_score(made: dict[str, Tensor], pair: tuple[str, str], links: np.ndarray) -> Tensor:
    """(E,) the dot product of the ends over the root of their width."""
    ends = made[pair[0]][torch.from_numpy(links[0])], made[pair[1]][torch.from_numpy(links[1])]
    return (ends[0] * ends[1]).sum(1) / ends[0].shape[1] ** 0.5


def node_counts(encoder: Encoder, vectors: dict[str, Tensor]) -> dict[str, int]:
    """How many nodes of each kind there are."""
    own = {kind: table.num_embeddings for kind, table in encoder.own.items()}
    return {"post": len(vectors["post"]), **own}
