"""What the experiments of the emoji track share: terms, heads for classes and popularity, and the graph of posts."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from scipy.sparse import csr_matrix, hstack

from smp import features, paths
from smp.errors import DataError
from smp.experiment import Run, Settings
from smp.features.text import embed_texts
from smp.models.emoji_graph import Edges, EmojiGraph, Encoder, pretrain, wires
from smp.nn.parallel import one_thread, seeded
from smp.oof import Part
from smp.runner import Model
from smp.tracks.base import Data
from smp.tracks.emoji import tokens
from smp.tracks.emoji.classes import tasks_of

Terms = Literal["none", "words", "all"]
SENTENCES = {"all": "sentences", "words": "bare_sentences"}


@dataclass(frozen=True)
class Text(Settings):
    """What an experiment states that reads posts as terms, as sentence embeddings, or as both."""

    terms: Terms = "all"  # words, or words and emoji; none
    features: tuple[str, ...] = ()
    strength: float = 2.0  # of the evidence against the prior: C of the logistic regression
    seeds: tuple[int, ...] = (0,)


class Linear(Model):
    """Logistic regression of each task (ridge regression of popularity) on what a part's training posts show."""

    config: Text

    def __init__(self, run: Run, data: Data, folds: pd.DataFrame):
        super().__init__(run, data, folds)
        self.texts = [terms_of(text, self.config.terms) for text in data.items["text"]]
        names = self.config.features
        self.dense = features.load(run.track, names, data).dense() if names else np.empty((len(data), 0), np.float32)

    def predict(self, part: Part) -> np.ndarray:
        sparse = tf_idf(self.texts, part.train) if self.config.terms != "none" else None
        made = heads(sparse, self.dense, self.data.labels, part, self.config.strength)
        return np.repeat(made[:, None], len(self.config.seeds), axis=1)


def terms_of(text: str, terms: Terms) -> list[str]:
    """A post's words and pairs of words, with `all` its emoji too."""
    if terms == "none":
        return []
    said = tokens.words(text)
    said = [*said, *(f"{a} {b}" for a, b in pairwise(said))]
    return [*said, *tokens.emojis(text)] if terms == "all" else said


def tf_idf(texts: Sequence[list[str]], train: np.ndarray) -> csr_matrix:
    """(n, terms) of all posts, of the terms of the posts `train`."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    how = TfidfVectorizer(analyzer=list, sublinear_tf=True, min_df=2 if len(train) > 200 else 1)
    try:
        how.fit([texts[i] for i in train])
    except ValueError:  # no term at all
        return csr_matrix((len(texts), 0))
    return how.transform(texts)


def heads(sparse: csr_matrix | None, dense: np.ndarray, y: np.ndarray, part: Part, strength: float) -> np.ndarray:
    """(q, k) chances of the classes of a post's task, 0 elsewhere, or (q,) popularity; from terms and columns."""
    from sklearn.linear_model import LogisticRegression, Ridge

    if not len(part.query):
        return np.empty((0, *y.shape[1:]))
    scale = np.sqrt((dense[part.train] ** 2).sum(axis=1).mean()) if dense.size else 1.0
    columns = csr_matrix(dense / max(scale, 1e-9))
    X = columns if sparse is None else hstack([sparse, columns], format="csr")
    if y.ndim == 1:
        return Ridge(alpha=2.0 / strength).fit(X[part.train], y[part.train]).predict(X[part.query])
    out = np.zeros((len(part.query), y.shape[1]))
    for rows, columns in tasks_of(y[part.train]):
        rows = part.train[rows]
        classes = y[np.ix_(rows, columns)].argmax(axis=1)
        there = np.unique(classes)
        made = np.ones((len(part.query), 1))
        if len(there) > 1:
            head = LogisticRegression(C=strength, class_weight="balanced", max_iter=500).fit(X[rows], classes)
            made = head.predict_proba(X[part.query])
        out[:, columns[there]] = made
    asked = y[part.query]
    return np.where(np.isfinite(asked) & (asked < 0), 0.0, out)


@dataclass(frozen=True)
class Graph(Text):
    """What an experiment states of the graph; the head reads terms, sentences and the graph's vectors."""

    model: EmojiGraph = field(default_factory=EmojiGraph)
    features: tuple[str, ...] = ("sentences",)
    graph: Literal["transductive", "inductive"] = "inductive"  # of all posts, later ones too, or of those learnt from
    emojis: bool = True  # whether there are any, in the graph and in the terms
    pmi: float = 0.0  # least pointwise mutual information of a word and an emoji that are linked
    seeds: tuple[int, ...] = (0, 1, 2)


class GraphModel(Linear):
    """Pre-trained once a part and seed; once a seed where the graph is of all posts, which popularity has no use for:
    what is written later would move what is told of earlier posts. Raises DataError where it is asked for there."""

    config: Graph

    def __init__(self, run: Run, data: Data, folds: pd.DataFrame):
        super().__init__(run, data, folds)
        if self.config.graph == "transductive" and data.labels.ndim == 1:
            raise DataError("graph transductive: later posts would move what is told of earlier ones; use inductive")
        self.pretrained = {}
        self.words = [tokens.words(text) for text in data.items["text"]]
        self.emojis = [tokens.emojis(text) if self.config.emojis else [] for text in data.items["text"]]

    def predict(self, part: Part) -> np.ndarray:
        if part.kind == "full" and not len(part.query):
            return np.empty((0, len(self.config.seeds), *self.data.labels.shape[1:]))
        sparse = tf_idf(self.texts, part.train) if self.config.terms != "none" else None
        made = []
        for seed in self.config.seeds:
            vectors = self.vectors(part, seed)
            scales = (max(np.sqrt((a[part.train] ** 2).sum(axis=1).mean()), 1e-9) for a in (self.dense, vectors))
            dense = [a / scale for a, scale in zip((self.dense, vectors), scales) if a.size]
            made.append(heads(sparse, np.hstack(dense), self.data.labels, part, self.config.strength))
        return np.stack(made, axis=1)

    def vectors(self, part: Part, seed: int) -> np.ndarray:
        """(n, width) of every post, by an encoder that no label trained."""
        inductive = self.config.graph == "inductive"
        key = (part.name, seed) if inductive else seed
        if key not in self.pretrained:
            if inductive:
                self.pretrained.clear()
            rows = part.train if inductive else np.arange(len(self.data))
            network = Network(self.config, self.words, self.emojis, self.dense, rows, paths.features(self.run.track))
            self.pretrained[key] = network.fit(seed)
        return self.pretrained[key]


class Network:
    """The graph that the posts at `rows` make, and all posts hung on it."""

    def __init__(self, config: Graph, words: list, emojis: list, dense: np.ndarray, rows: np.ndarray, folder):
        self.config, self.rows, self.dense = config, rows, dense
        of = [Vocabulary.of([texts[i] for i in rows], least) for texts, least in ((words, 2), (emojis, 1))]
        self.vocabularies = of
        links = [v.links(texts) for v, texts in zip(of, (words, emojis))]  # of all posts
        inside = np.isin(np.arange(len(words)), rows)
        own = np.cumsum(inside) - 1
        known = [e[:, inside[e[0]]] for e in links]
        met = [np.stack([own[e[0]], e[1]]) for e in known]
        between = meetings(met, [len(v) for v in of], len(rows), config.pmi)
        self.all = {("post", "word"): links[0], ("post", "emoji"): links[1], ("word", "emoji"): between}
        self.spoken = {("post", "word"): known[0], ("post", "emoji"): known[1], ("word", "emoji"): between}
        self.edges: Edges = {p: np.stack([own[e[0]], e[1]]) if p[0] == "post" else e for p, e in self.spoken.items()}
        names = pa.array([tokens.name(e) for e in of[1].terms], pa.large_string())
        named = embed_texts(names, folder / "emoji_names.shards") if len(of[1]) else np.zeros((0, 384), np.float16)
        self.names = torch.from_numpy(named.astype(np.float32))

    def fit(self, seed: int) -> np.ndarray:
        """Pre-train on the graph; (n, width) of every post of the data."""
        encoder, _ = self.pretrained(seed)
        at = {k: torch.arange(n) for k, n in zip(("word", "emoji"), map(len, self.vocabularies))}
        at["post"] = torch.arange(len(self.dense))
        encoder.eval()
        with torch.no_grad(), one_thread():
            return encoder(self.inputs(), at, wires(self.all, self.spoken))["post"].numpy()

    def pretrained(self, seed: int, edges: Edges | None = None) -> tuple[Encoder, dict[str, list[float]]]:
        """An encoder trained on the graph's edges, or on the given ones, and its losses."""
        own = self.inputs()
        own = own | {"post": own["post"][self.rows]}
        with seeded(seed), one_thread():
            widths = {"post": own["post"].shape[1], "emoji": own["emoji"].shape[1]}
            encoder = Encoder(self.config.model, widths, *map(len, self.vocabularies))
            return encoder, pretrain(encoder, self.config.model, own, self.edges if edges is None else edges, seed)

    def inputs(self) -> dict[str, torch.Tensor]:
        return {"post": torch.from_numpy(self.dense.astype(np.float32)), "emoji": self.names}


@dataclass(frozen=True)
class Vocabulary:
    """Terms, numbered."""

    terms: list[str]
    number: dict[str, int]

    @classmethod
    def of(cls, texts: Sequence[list[str]], least: int, most: float = 0.2) -> "Vocabulary":
        """Terms of at least `least` posts; where that is two or more, of no more than a share `most` of them."""
        count = Counter(term for text in texts for term in set(text))
        limit = most * len(texts) if least > 1 else np.inf
        terms = sorted(t for t, n in count.items() if least <= n <= max(limit, least))
        return cls(terms, {t: i for i, t in enumerate(terms)})

    def __len__(self) -> int:
        return len(self.terms)

    def links(self, texts: Sequence[list[str]]) -> np.ndarray:
        """(2, E) int64 posts and the terms that each holds, once."""
        pairs = [(i, j) for i, text in enumerate(texts) for j in sorted({self.number.get(t, -1) for t in text} - {-1})]
        return np.array(pairs, np.int64).reshape(-1, 2).T


def meetings(links: list[np.ndarray], sizes: list[int], n: int, least: float) -> np.ndarray:
    """(2, E) words and emoji that stand in one post more often than chance has it: PMI above `least`, two posts."""
    word, emoji = (csr_matrix((np.ones(e.shape[1]), (e[0], e[1])), (n, m)) for e, m in zip(links, sizes))
    both = (word.T @ emoji).tocoo()
    count = [np.asarray(m.sum(axis=0)).ravel() for m in (word, emoji)]
    pmi = np.log(both.data * n / (count[0][both.row] * count[1][both.col]))
    kept = (pmi > least) & (both.data >= 2)
    return np.stack([both.row, both.col])[:, kept].astype(np.int64)
