"""Which cluster a post's picture, its text, and both together lie in, coarse to fine, and how far from its centre."""

import numpy as np
import pandas as pd

from smp.features.text import pca

LEVELS = (512, 128, 32)  # clusters, fine to coarse
POSTS_A_CLUSTER = 50  # on average, at least: clusters of few posts are learnt by heart
DIMS = 64  # principal components that are clustered
FIT_POSTS = 50_000  # posts that centres are learned from; all are assigned
SEED = 0


def build(posts: pd.DataFrame, image: np.ndarray, text: np.ndarray) -> pd.DataFrame:
    """Cluster (category) and distance to its centre, float32, for every space and level: 18 columns; no label.

    image, text (n, d): embeddings, rows as in `posts`; a row of zeros (no picture) has no cluster in its space nor in
    the joint one. Hierarchical k-means: the centres of a level, weighted by their posts, are clustered into those of
    the next, so a fine cluster lies whole in one coarse cluster. Train and test together; the order of the rows plays
    no part. Source: HyperFusion (abstract; its numbers of clusters are not public).
    """
    order = np.argsort(posts.index.to_numpy(), kind="stable")
    spaces = {"image": pca(image, DIMS), "text": pca(text, DIMS)}
    known = {"image": _filled(image), "text": _filled(text)}
    spaces["joint"] = np.hstack([spaces["image"], spaces["text"]])
    known["joint"] = known["image"] & known["text"]
    columns = {}
    for name, space in spaces.items():
        rows = order[known[name][order]]
        points = space[rows].astype(np.float32)
        for clusters, (label, distance) in zip(LEVELS, hierarchy(points, LEVELS)):
            code, far = np.full(len(posts), -1), np.full(len(posts), np.nan, np.float32)
            code[rows], far[rows] = label, distance
            columns[f"cluster_{name}{clusters}"] = pd.Categorical.from_codes(code, range(clusters))
            columns[f"cluster_{name}{clusters}_distance"] = far
    return pd.DataFrame(columns, index=posts.index)


def hierarchy(points: np.ndarray, levels: tuple[int, ...]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Cluster code (n,) and Euclidean distance to its centre (n,) at every level, fine to coarse; points (n, d).

    Fewer clusters where there are not POSTS_A_CLUSTER points for each.
    """
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    if not len(points):
        return [(np.empty(0, int), np.empty(0, np.float32))] * len(levels)
    centres = points[np.random.default_rng(SEED).permutation(len(points))[:FIT_POSTS]]
    label, weight, out = None, None, []
    with threadpool_limits(1, "openmp"):  # threads add up in any order, and the centres would differ in the last bits
        for clusters in levels:
            there = max(1, min(clusters, len(centres), len(points) // POSTS_A_CLUSTER))
            model = KMeans(there, random_state=SEED, n_init=1, max_iter=50)
            model.fit(centres, sample_weight=weight)
            label = model.predict(points) if label is None else model.labels_[label]
            centres = model.cluster_centers_
            weight = np.bincount(label, minlength=len(centres))
            out.append((label, np.linalg.norm(points - centres[label], axis=1)))
    return out


def _filled(embedding: np.ndarray) -> np.ndarray:
    """(n,) bool: the rows that are not zeros."""
    step = 65_536
    return np.concatenate([embedding[i : i + step].any(axis=1) for i in range(0, len(embedding), step)])
