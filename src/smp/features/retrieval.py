"""What the nearest earlier posts in a text space earned, and the earlier posts of the most alike other users."""

from collections.abc import Iterator

import faiss
import numpy as np
import pandas as pd

from smp.features.blocks import block_residual
from smp.features.tags import ratio
from smp.features.time_place import seconds

POSTS = 100  # neighbours of a post
USERS = 50  # neighbours of a user
TEMPERATURE = 0.1  # of the weights exp((cosine - best cosine) / TEMPERATURE)
STRENGTH = 5.0  # labels that the prior counts for in a user's mean
EXACT_BELOW = 50_000  # items up to which every distance is computed
PROBES = 8  # cells of the approximate index that are looked into
SAMPLE = 64  # training vectors a cell
DAY = 86_400
COUNTERS = tuple(f"user_{c}_count" for c in ("following", "follower", "likes", "video", "digg", "heart"))


def build(
    posts: pd.DataFrame, y: np.ndarray, block: np.ndarray, seed: int, vectors: np.ndarray | None = None
) -> pd.DataFrame:
    """One row a post, float32, from labels of earlier blocks alone (causal), each as label minus mean of its block.

    y (n,), NaN where the label is hidden; block (n,) int. vectors (n, d), rows as in `posts`, where given: near_mean,
    near_weighted (by cosine) and near_std of the labels of the POSTS posts of earlier blocks with the greatest cosine,
    and near_similarity, their mean cosine; NaN for a vector of zeros (no text). like_mean: the mean label of the USERS
    other users nearest in `user_space`, each user's mean weighted by count / (count + STRENGTH); it never uses the
    user's own labels, so it means the same for users seen and unseen. NaN in the first block. The order of the rows
    plays no part. Source: SKAPP's retrieval (AAAI 2025). Raises ValueError when lengths differ.
    """
    if not len(posts) == len(y) == len(block) or (vectors is not None and len(vectors) != len(posts)):
        raise ValueError(f"{len(posts)} posts, {len(y)} labels, {len(block)} blocks or the vectors differ in number")
    order = np.argsort(posts.index.to_numpy(), kind="stable")  # equal distances and clusters must not go by row order
    ordered, block = posts.iloc[order], np.asarray(block)[order]
    residual = block_residual(np.asarray(y, np.float64)[order], block)
    columns = {"like_mean": _alike_users(ordered, residual, block, seed)}
    if vectors is not None:
        columns |= _near_posts(np.asarray(vectors[order], np.float32), residual, block, seed)
    return pd.DataFrame({k: v.astype(np.float32) for k, v in columns.items()}, index=ordered.index).reindex(posts.index)


def nearest_earlier(
    items: np.ndarray, item_block: np.ndarray, queries: np.ndarray, query_block: np.ndarray, k: int, seed: int
) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
    """For every block: its queries and their k nearest items of earlier blocks, by Euclidean distance.

    items (m, d), queries (n, d) float32; item_block (m,), query_block (n,) int. Yields (block, asked (q,), found
    (q, k), squared distance (q, k) float32), nearest first; found is the item's position, -1 where there are fewer.
    The index grows block by block, so a query never meets an item of its own block. Exact below EXACT_BELOW items,
    else an inverted file of sqrt(m) cells, whose clusters are of items of all blocks: that uses no label.
    """
    m, d = items.shape
    if m < EXACT_BELOW:
        index = faiss.IndexFlatL2(d)
    else:
        cells = int(np.sqrt(m))
        index = faiss.IndexIVFFlat(faiss.IndexFlatL2(d), d, cells)
        index.nprobe, index.cp.seed = PROBES, seed
        index.train(items[np.random.default_rng(seed).choice(m, min(m, SAMPLE * cells), replace=False)])
    by_block = np.argsort(item_block, kind="stable")
    for b in np.unique(query_block):
        earlier = np.searchsorted(item_block, b, sorter=by_block)
        if earlier > index.ntotal:
            index.add(items[by_block[index.ntotal : earlier]])
        asked = np.flatnonzero(query_block == b)
        if earlier:
            distance, hit = index.search(queries[asked], k)
            yield b, asked, np.where(hit >= 0, by_block[hit], -1), distance


def user_space(posts: pd.DataFrame, user: np.ndarray) -> np.ndarray:
    """(users, d) float32: the account statistics of every user, standardised over users, 0 where missing; no label.

    user (n,) codes, -1 = missing. Image: log photo_count, log account age in days, ispro, canbuypro, timezone_offset
    and the log lengths of both descriptions; video: the logs of six counters. Both: log posts in train and test.
    Values of a user's posts are averaged.
    """
    if "photo_count" in posts:
        age = seconds(posts["time"]) - seconds(posts["photo_firstdate"])
        values = [np.log1p(posts["photo_count"]), np.log1p(np.maximum(age, 0) / DAY)]
        values += [posts[c] for c in ("ispro", "canbuypro", "timezone_offset")]
        values += [np.log1p(posts[c].str.len()) for c in ("user_description", "location_description")]
    else:
        values = [np.log1p(posts[c]) for c in COUNTERS]
    n = int(user.max(initial=-1)) + 1
    posts_of_user = np.bincount(user[user >= 0], minlength=n)
    space = [np.log(np.maximum(posts_of_user, 1))]
    for value in (np.asarray(v, np.float64) for v in values):
        known = np.isfinite(value) & (user >= 0)
        count = np.bincount(user[known], minlength=n)
        total = np.bincount(user[known], value[known], minlength=n)
        space.append(np.divide(total, count, out=np.full(n, np.nan), where=count > 0))
    return np.column_stack([_standard(s, posts_of_user > 0) for s in space]).astype(np.float32)


def _standard(values: np.ndarray, there: np.ndarray) -> np.ndarray:
    known = there & np.isfinite(values)
    if not known.any():
        return np.zeros(len(values))
    centre, scale = values[known].mean(), values[known].std()
    return np.where(known, (values - centre) / (scale if scale > 1e-6 else 1.0), 0.0)


def _near_posts(vectors: np.ndarray, residual: np.ndarray, block: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    length = np.linalg.norm(vectors, axis=1)
    known = length > 0
    vectors = vectors / np.where(known, length, 1)[:, None]  # |a - b|^2 = 2 - 2 cosine
    item, query = np.flatnonzero(known & np.isfinite(residual)), np.flatnonzero(known)
    names = ("near_mean", "near_weighted", "near_std", "near_similarity")
    columns = {name: np.full(len(block), np.nan) for name in names}
    answers = nearest_earlier(vectors[item], block[item], vectors[query], block[query], POSTS, seed)
    for _, asked, found, distance in answers:
        there = found >= 0
        cosine = np.where(there, 1 - distance / 2, 0)
        label = np.where(there, residual[item[found]], 0)
        weight = np.where(there, np.exp((cosine - cosine[:, :1]) / TEMPERATURE), 0)
        count = there.sum(axis=1)
        mean = ratio(label.sum(axis=1), count)
        spread = np.sqrt(ratio((there * (label - mean[:, None]) ** 2).sum(axis=1), count))
        weighted = ratio((weight * label).sum(axis=1), weight.sum(axis=1))
        for name, values in zip(names, (mean, weighted, spread, ratio(cosine.sum(axis=1), count))):
            columns[name][query[asked]] = values
    return columns


def _alike_users(posts: pd.DataFrame, residual: np.ndarray, block: np.ndarray, seed: int) -> np.ndarray:
    user = posts["user_id"].cat.codes.to_numpy().astype(np.int64)
    space, shown = user_space(posts, user), np.isfinite(residual) & (user >= 0)
    n, (blocks, block) = len(space), np.unique(block, return_inverse=True)
    # one question a user and block; a user becomes an item with the first block that shows a label of theirs
    pairs, row_pair = np.unique(user * len(blocks) + block, return_inverse=True)
    asker, ask_block = np.divmod(pairs, len(blocks))
    appearances = np.unique(user[shown] * len(blocks) + block[shown])
    item, first = np.unique(appearances // len(blocks), return_index=True)
    item_block = appearances[first] % len(blocks)
    mean = np.full(len(pairs), np.nan)
    real = np.flatnonzero(asker >= 0)
    answers = nearest_earlier(space[item], item_block, space[asker[real]], ask_block[real], USERS + 1, seed)
    for b, asked, found, _ in answers:
        pair = real[asked]
        earlier = shown & (block < b)
        count = np.bincount(user[earlier], minlength=n)
        value = np.bincount(user[earlier], residual[earlier], minlength=n) / (count + STRENGTH)
        weight = count / (count + STRENGTH)
        other = np.where(found >= 0, item[found], -1)
        other[other == asker[pair, None]] = -1
        there = other >= 0
        there[there.all(axis=1), -1] = False  # one was asked for too many, in case the user is among their own nearest
        total, base = (np.where(there, v[other], 0).sum(axis=1) for v in (value, weight))
        mean[pair] = ratio(total, base)
    return mean[row_pair]
