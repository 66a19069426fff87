"""M3TR: a Mamba-Hawkes process over the kinds of feedback, videos found again by content and by trajectory, attention.

Feedback is counted at snapshots, not seen as it comes; so the process is judged by how much of each kind came in each
gap: with n what came (doublings of a counter) and L the intensity's integral over the gap, the sum of n log L - L.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from smp.models.concat import Head
from smp.nn.blocks import EmbeddedColumns
from smp.nn.ssm import SSM, SSMStack, recurrence

NODES = 5  # of the Gauss-Legendre rule over a gap
CHUNK = 2**24  # pairs of a video and one in the bank that are compared at once


@dataclass(frozen=True)
class M3TR:
    """Sizes and switches."""

    width: int = 32
    layers: int = 2
    state: int = 8
    head: int = 64
    heads: int = 4  # of the attention over what is retrieved
    dropout: float = 0.3
    likelihood: float = 0.1  # weight of the process's log-likelihood, per unit of feedback; 0: no process at all
    retrieved: int = 16  # videos; 0: no retrieval
    beta: float = 0.5  # of a content's cosine in the score, the rest being the trajectory's
    random: bool = False  # retrieved at random, of those that may be


def log_likelihood(integral: Tensor, counts: Tensor) -> Tensor:
    """(B,) of counts (B, L, K), NaN where nothing was counted, given the intensities' integrals over the gaps."""
    seen = torch.isfinite(counts)
    made = torch.where(seen, counts, 0.0) * torch.log(integral + 1e-9) - integral
    return torch.where(seen, made, 0.0).sum((1, 2))


class Hawkes(nn.Module):
    """The process in closed form: base_k + sum of jump_kl d exp(-d (t - t_i)) over what came of each kind l, and a
    first excitement birth_k d exp(-d t). What comes in a gap excites from its end on."""

    def __init__(self, kinds: int):
        super().__init__()
        self.base, self.birth = nn.Parameter(torch.full((kinds,), -1.0)), nn.Parameter(torch.zeros(kinds))
        self.jump, self.decay = nn.Parameter(torch.full((kinds, kinds), -2.0)), nn.Parameter(torch.zeros(()))

    def forward(self, gap: Tensor, counts: Tensor) -> Tensor:
        """(B, L, K) the integrals over gaps (B, L), 0 where there is none, of counts (B, L, K)."""
        base, birth, jump, decay = (p.exp() for p in (self.base, self.birth, self.jump, self.decay))
        left = torch.exp(-decay * gap)[..., None]  # (B, L, 1)
        came = torch.nan_to_num(counts)
        after = recurrence(left.expand_as(came), came, torch.zeros_like(came[:, 0]))  # memory at each gap's end
        before = torch.cat([torch.zeros_like(after[:, :1]), after[:, :-1]], 1)
        age = gap.cumsum(1) - gap
        excited = before @ jump.T + birth * torch.exp(-decay * age)[..., None]
        return base * gap[..., None] + excited * (1 - left)

    @classmethod
    def fit(cls, gap: Tensor, counts: Tensor) -> "Hawkes":
        """Of greatest likelihood."""
        process = cls(counts.shape[2])
        optimizer = torch.optim.LBFGS(process.parameters(), max_iter=100, line_search_fn="strong_wolfe")

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = -log_likelihood(process(gap, counts), counts).mean()
            loss.backward()
            return loss

        optimizer.step(closure)
        return process


def poisson(gap: Tensor, counts: Tensor, of: tuple[Tensor, Tensor]) -> Tensor:
    """(B, L, K) integrals of constant rates, those of other gaps and counts."""
    past, came = of
    seen = torch.isfinite(came)
    rate = torch.nan_to_num(came).sum((0, 1)) / (past[..., None] * seen).sum((0, 1)).clamp(min=1e-9)
    return gap[..., None] * rate


class MambaHawkes(nn.Module):
    """Snapshots -> states; between them intensities softplus(a_k (t - t_j) + w_k h_j + b_k) of K kinds."""

    def __init__(self, config: M3TR, marks: int, kinds: int, first: int):
        """first: width of what is known before the first snapshot, from which the first intensity comes."""
        super().__init__()
        self.into, self.start = nn.Linear(marks, config.width), nn.Linear(first, config.width)
        self.stack = SSMStack(SSM(config.width, config.layers, config.state))
        self.slope, self.rate = nn.Parameter(torch.zeros(kinds)), nn.Linear(config.width, kinds)
        nodes, weights = np.polynomial.legendre.leggauss(NODES)
        self.register_buffer("nodes", torch.tensor((nodes + 1) / 2, dtype=torch.float32), persistent=False)
        self.register_buffer("weights", torch.tensor(weights / 2, dtype=torch.float32), persistent=False)

    def forward(self, marks: Tensor, mask: Tensor, first: Tensor) -> tuple[Tensor, Tensor]:
        """(B, L, d) states after each snapshot, and before it; marks (B, L, F), mask (B, L): padding before them."""
        after = self.stack(self.into(marks), mask)[0]
        start = self.start(first)[:, None]
        before = torch.cat([start, after[:, :-1]], 1)
        earlier = torch.cat([torch.zeros_like(mask[:, :1]), mask[:, :-1]], 1)
        return after, torch.where(earlier[..., None], before, start)

    def integral(self, states: Tensor, gap: Tensor) -> Tensor:
        """(..., K) of the intensities from states (..., d) on, over gaps (...)."""
        at = gap[..., None] * self.nodes  # (..., NODES)
        rate = F.softplus(self.slope * at[..., None] + self.rate(states)[..., None, :])  # (..., NODES, K)
        return gap[..., None] * (self.weights[:, None] * rate).sum(-2)


class CrossAttention(nn.Module):
    """A question (B, q) to what is retrieved (B, k, n), of which some is there (B, k) -> (B, d); 0 where nothing is."""

    def __init__(self, question: int, near: int, width: int, heads: int):
        super().__init__()
        self.heads, self.ask = heads, nn.Linear(question, width)
        self.near, self.out = nn.Sequential(nn.Linear(near, 2 * width), nn.SiLU()), nn.Linear(width + near, width)

    def forward(self, question: Tensor, near: Tensor, there: Tensor) -> Tensor:
        ask = self.ask(question).unflatten(1, (self.heads, -1))  # (B, h, d / h)
        key, value = self.near(near).unflatten(2, (2 * self.heads, -1)).chunk(2, 2)  # (B, k, h, d / h) each
        score = torch.einsum("bhe,bkhe->bkh", ask, key) / ask.shape[2] ** 0.5
        share = score.masked_fill(~there[..., None], -1e9).softmax(1) * there[..., None]
        seen = torch.einsum("bkh,bkhe->bhe", share, value).flatten(1)
        return self.out(torch.cat([seen, torch.einsum("bk,bkn->bn", share.mean(2), near)], 1))


class M3TRNetwork(nn.Module):
    """Snapshots, columns, content and retrieved videos -> the standardised growth. Called on a batch it gives the
    losses (B, 2), or (B, 1) without a process.

    shape: widths of `marks`, `counts`, `content`, `trajectory`, `numbers` and `near`, and `codes`, how many each has.
    """

    def __init__(self, config: M3TR, shape: dict):
        super().__init__()
        self.config, d = config, config.width
        self.columns = EmbeddedColumns(shape["numbers"], shape["codes"], 0.1)
        self.content = nn.Sequential(nn.Linear(shape["content"], d), nn.SiLU(), nn.Dropout(config.dropout))
        self.process = MambaHawkes(config, shape["marks"], shape["counts"], d)
        if config.retrieved:
            self.attend = CrossAttention(2 * d + shape["trajectory"], shape["near"], d, config.heads)
        inputs = 2 * d + shape["trajectory"] + bool(config.retrieved) * d + bool(config.likelihood) * shape["counts"]
        self.head = Head(inputs, sum(self.columns.widths), config.head, config.dropout)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        made, before = self._read(batch)
        error = (made - batch["label"]) ** 2
        if not self.config.likelihood:
            return error[:, None]
        counts = batch["counts"]
        log = log_likelihood(self.process.integral(before, batch["gap"]), counts)
        each = torch.nan_to_num(counts).sum((1, 2)).mean()
        return torch.stack([error, -self.config.likelihood * log / each.clamp(min=1e-3)], dim=1)

    def predict(self, batch: dict[str, Tensor]) -> Tensor:
        """(B,) the standardised growth."""
        return self._read(batch)[0]

    def integrals(self, batch: dict[str, Tensor]) -> Tensor:
        """(B, L, K) of the process over the observed gaps."""
        return self.process.integral(self._read(batch)[1], batch["gap"])

    def _read(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        content = self.content(batch["content"])
        after, before = self.process(batch["marks"], batch["mask"], content)
        last = after[:, -1]
        known = [last, content, batch["trajectory"]]
        if self.config.retrieved:
            known.append(self.attend(torch.cat(known, 1), batch["near"], batch["near_there"]))
        if self.config.likelihood:  # what the process expects from the last snapshot to the age asked for
            known.append(torch.log(self.process.integral(last, batch["ahead"]) + 1e-3))
        return self.head(torch.cat(known, 1), self.columns(batch)), before


@dataclass(frozen=True)
class Keys:
    """What n videos are found by, in rows of length 1: content (n, C) and trajectory (n, T) float32; asked, known (n,):
    when a prediction is made and when the label is there, seconds."""

    content: np.ndarray
    trajectory: np.ndarray
    asked: np.ndarray
    known: np.ndarray


def nearest(
    config: M3TR, keys: Keys, rows: np.ndarray, bank: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The videos of the greatest score beta content + (1 - beta) trajectory (cosines) for each of the positions `rows`.

    Of the positions `bank` only those whose label is known before the video is asked for, and never itself. Returns
    (m, k) positions, -1 where there are fewer, and both cosines, 0 there. seed: of random ones.
    """
    k, rng = min(config.retrieved, len(bank)), np.random.default_rng(seed)
    found = np.full((len(rows), config.retrieved), -1)
    known = torch.from_numpy(keys.known[bank])
    by_content, by_trajectory = (torch.from_numpy(v[bank]).T for v in (keys.content, keys.trajectory))
    step = max(CHUNK // max(len(bank), 1), 1)
    for low in range(0, len(rows) if k else 0, step):
        asked = rows[low : low + step]
        if config.random:
            score = torch.from_numpy(rng.random((len(asked), len(bank)), np.float32))
        else:
            score = config.beta * (torch.from_numpy(keys.content[asked]) @ by_content)
            score += (1 - config.beta) * (torch.from_numpy(keys.trajectory[asked]) @ by_trajectory)
        later = known >= torch.from_numpy(keys.asked[asked])[:, None]
        itself = torch.from_numpy(bank) == torch.from_numpy(asked)[:, None]
        best, place = score.masked_fill_(later | itself, -torch.inf).topk(k, dim=1)
        found[low : low + step, :k] = np.where(best > -torch.inf, bank[place.numpy()], -1)
    there = found >= 0
    cosines = (
        np.where(there, np.einsum("md,mkd->mk", v[rows], v[found]), 0.0) for v in (keys.content, keys.trajectory)
    )
    return found, *cosines
