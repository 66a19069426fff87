"""Tags as integer pairs (post, tag), and the factorised tag vocabularies of posts and of users."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from scipy.sparse import csr_array
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfTransformer

MIN_ROWS = 2  # a tag of one row says nothing about another
SEED = 0


@dataclass(frozen=True)
class Tags:
    """Every tag of a post once, case ignored: sorted by post, then by tag.

    post: (m,) row of the posts table. code: (m,) position in `names`. names: the distinct tags in alphabetical order.
    total: (n,) tags of each post with its duplicates. n posts.
    """

    post: np.ndarray
    code: np.ndarray
    names: pa.Array
    total: np.ndarray

    @property
    def distinct(self) -> np.ndarray:
        """(n,) number of different tags of each post."""
        return np.bincount(self.post, minlength=len(self.total))

    def per_post(self, values: np.ndarray) -> np.ndarray:
        """(n,) mean over a post's tags of `values` (m,); NaN for a post without tags."""
        return ratio(np.bincount(self.post, values, minlength=len(self.total)), self.distinct)


def read_tags(posts: pd.DataFrame) -> Tags:
    """The tags of a posts table; a post without tags has no pair."""
    lists = arrow(posts["tags"])
    post = pc.list_parent_indices(lists).to_numpy()
    code, names = encode(pc.utf8_lower(pc.list_flatten(lists)))
    pairs = sorted_unique(post * len(names) + code)
    return Tags(*np.divmod(pairs, len(names)), names, np.bincount(post, minlength=len(posts)))


def joined_tags(posts: pd.DataFrame) -> pa.Array:
    """One string a post: its tags separated by spaces, "" without tags."""
    return pc.fill_null(pc.binary_join(arrow(posts["tags"]), " "), "")


def arrow(column: pd.Series) -> pa.Array:
    """A column as one Arrow array."""
    values = pa.array(column, from_pandas=True)
    return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values


def encode(strings: pa.Array) -> tuple[np.ndarray, pa.Array]:
    """Codes (n,) and the distinct strings they point to, in alphabetical order: the same whatever the row order."""
    encoded = strings.dictionary_encode()
    order = pc.sort_indices(encoded.dictionary).to_numpy()
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return rank[encoded.indices.to_numpy()], encoded.dictionary.take(order)


def sorted_unique(keys: np.ndarray) -> np.ndarray:
    """The different integers in ascending order; by sorting, which for millions is several times np.unique's speed."""
    keys = np.sort(keys)
    return keys[np.append(np.ones(min(len(keys), 1), bool), keys[1:] != keys[:-1])]


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole (n,) float64, NaN where whole is 0."""
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=np.asarray(whole) != 0)


@dataclass(frozen=True)
class Factors:
    """A vocabulary of tags, their weights and factors, as learnt from documents."""

    names: pa.Array  # tags of MIN_ROWS documents or more
    weights: "TfidfTransformer"
    svd: "TruncatedSVD | None"  # None: of one tag alone, which is its own factor


def learn_post_embedding(posts: pd.DataFrame, dims: int = 32) -> Factors:
    """What `post_embedding` describes posts by, each post a document."""
    tags = read_tags(posts)
    order = np.argsort(posts.index.to_numpy(), kind="stable")  # the factors must not depend on the order of the rows
    place = np.empty(len(posts), np.int64)
    place[order] = np.arange(len(posts))
    return _learn(place[tags.post], tags, len(posts), dims)


def post_embedding(posts: pd.DataFrame, dims: int = 32, learnt: Factors | None = None) -> np.ndarray:
    """(n, dims) float16: TF-IDF of the post's tags, each tag one word, by truncated SVD; 0 without a known tag.

    learnt: of other posts, where it is not to be learnt from these.
    """
    tags = read_tags(posts)
    return _project(tags.post, tags, len(posts), dims, learnt or learn_post_embedding(posts, dims))


def learn_user_embedding(posts: pd.DataFrame, dims: int = 32) -> Factors:
    """What `user_embedding` describes users by, each user a document."""
    tags = read_tags(posts)
    return _learn(_users(posts)[tags.post], tags, len(posts["user_id"].cat.categories), dims)


def user_embedding(posts: pd.DataFrame, dims: int = 32, learnt: Factors | None = None) -> np.ndarray:
    """(n, dims) float16: the post's user as the document of all tags of their posts in train and test.

    TF-IDF (1 + log of the number of the user's posts with the tag) by truncated SVD; 0 for a user without a known tag.
    The factorisation of the same co-occurrences that word2vec on users' tag sequences (Alonso14C, 32 dimensions)
    samples, but deterministic. learnt: of other posts, where it is not to be learnt from these.
    """
    users, tags = _users(posts), read_tags(posts)
    learnt = learnt or learn_user_embedding(posts, dims)
    return _project(users[tags.post], tags, len(posts["user_id"].cat.categories), dims, learnt)[users]


def _users(posts: pd.DataFrame) -> np.ndarray:
    return posts["user_id"].cat.codes.to_numpy().astype(np.int64)


def _counts(document: np.ndarray, code: np.ndarray, shape: tuple[int, int]) -> "csr_array":
    from scipy.sparse import csr_array

    return csr_array((np.ones(len(document), np.float32), (document, code)), shape=shape)


def _learn(document: np.ndarray, tags: Tags, n: int, dims: int) -> Factors:
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfTransformer

    counts = _counts(document, tags.code, (n, len(tags.names)))
    kept = np.bincount(counts.indices, minlength=len(tags.names)) >= MIN_ROWS
    weights, svd = TfidfTransformer(sublinear_tf=True), None
    if kept.any():
        weighted = weights.fit_transform(counts[:, kept])
        if kept.sum() > 1:
            svd = TruncatedSVD(min(dims, weighted.shape[1]), random_state=SEED).fit(weighted)
    return Factors(tags.names.filter(pa.array(kept)), weights, svd)


def _project(document: np.ndarray, tags: Tags, n: int, dims: int, learnt: Factors) -> np.ndarray:
    out = np.zeros((n, dims), np.float16)
    if len(learnt.names):
        column = pc.fill_null(pc.index_in(tags.names, value_set=learnt.names), -1).to_numpy()[tags.code]
        known = column >= 0
        weighted = learnt.weights.transform(_counts(document[known], column[known], (n, len(learnt.names))))
        found = weighted.toarray() if learnt.svd is None else learnt.svd.transform(weighted)
        out[:, : found.shape[1]] = found
    return out
