"""A quantile regression forest: random trees whose leaves give a distribution of labels, and its weighted median.

Why not quantile-forest: it weighs rows while it grows trees, not in the quantile, so the median under weights 1/y is
not to be had of it (the nearest two ways gave .215 and .220 MAPE on later months, this .213), nor a file but a pickle.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from smp.learners import kept
from smp.learners.medians import weighted_median
from smp.matrix import FeatureMatrix
from smp.nn.columns import Columns

if TYPE_CHECKING:
    import optuna
    from scipy.sparse import csr_matrix
    from sklearn.ensemble import ExtraTreesRegressor

CHUNK = 2**24  # weights of training rows held at a time
FREQUENT = 0.02  # share of rows from which a category gets a column of its own


class Trees(NamedTuple):
    """The nodes of all trees, one after the other; a leaf is its own child on either side."""

    roots: np.ndarray  # (trees,)
    left: np.ndarray  # (nodes,) where column <= threshold, in float32
    right: np.ndarray
    column: np.ndarray
    threshold: np.ndarray

    @classmethod
    def of(cls, forest: "ExtraTreesRegressor") -> "Trees":
        trees = [estimator.tree_ for estimator in forest.estimators_]
        sizes = np.array([tree.node_count for tree in trees])
        roots = np.cumsum(sizes) - sizes
        own = np.arange(sizes.sum())
        left, right = (
            np.concatenate([getattr(tree, side) for tree in trees]) for side in ("children_left", "children_right")
        )
        offset, is_leaf = np.repeat(roots, sizes), left < 0
        return cls(
            roots,
            np.where(is_leaf, own, left + offset),
            np.where(is_leaf, own, right + offset),
            np.maximum(np.concatenate([tree.feature for tree in trees]), 0),
            np.concatenate([tree.threshold for tree in trees]),
        )

    def leaves(self, columns: np.ndarray) -> np.ndarray:
        """(n, trees) the leaf that each row of columns (n, d) lies in, by its number among all nodes."""
        at, rows = np.tile(self.roots, (len(columns), 1)), np.arange(len(columns))[:, None]
        while True:
            below = columns[rows, self.column[at]] <= self.threshold[at]
            child = np.where(below, self.left[at], self.right[at])
            if np.array_equal(child, at):
                return at
            at = child


@dataclass(frozen=True)
class FittedForest:
    """Grown trees, the training labels and their weights, and which leaves they lie in."""

    trees: Trees
    columns: Columns
    frequent: tuple[np.ndarray, ...]
    y: np.ndarray
    weight: np.ndarray
    own: np.ndarray  # (n, trees) the leaves of the training rows

    def predict(self, X: FeatureMatrix) -> np.ndarray:
        """(n,) float64 predictions, made in chunks of bounded size."""
        step, members = max(1, CHUNK // len(self.y)), self._members()
        chunks = [self._predict(X.take(slice(i, i + step)), members) for i in range(0, len(X), step)]
        return np.concatenate(chunks) if chunks else np.empty(0)

    def save(self, folder: Path) -> None:
        """Keep the trees and the training labels in `folder`, for `load`."""
        arrays = {"y": self.y, "weight": self.weight, "own": self.own, **self.trees._asdict()}
        arrays |= kept.with_prefix("frequent", {str(j): codes for j, codes in enumerate(self.frequent)})
        kept.keep(folder, type(self).__name__, {}, arrays | kept.with_prefix("columns", self.columns.arrays()))

    @classmethod
    def load(cls, folder: Path) -> "FittedForest":
        """The model that `save` kept. Raises DataError where it is not whole."""
        kept.card_of(folder)
        arrays = kept.arrays_of(folder)
        columns, codes = Columns.from_arrays(kept.under("columns", arrays)), kept.under("frequent", arrays)
        trees = Trees(*(arrays[name] for name in Trees._fields))
        frequent = tuple(codes[str(j)] for j in range(len(codes)))
        return cls(trees, columns, frequent, arrays["y"], arrays["weight"], arrays["own"])

    def _members(self) -> "csr_matrix":
        """(nodes, n): 1 / size of the leaf where the training row lies in it."""
        members = _indicator(self.own, len(self.trees.left)).T.tocsr()
        sizes = np.diff(members.indptr)
        members.data = (1 / np.maximum(sizes, 1)).repeat(sizes).astype(np.float32)
        return members

    def _predict(self, X: FeatureMatrix, members: "csr_matrix") -> np.ndarray:
        leaves = self.trees.leaves(_columns(self.columns, self.frequent, X))
        shares = (_indicator(leaves, members.shape[0]) @ members).toarray()
        return weighted_median(self.y, shares * self.weight)


@dataclass(frozen=True)
class Forest:
    """Many deep random trees, averaged: little variance where posts are few. For data of tens of thousands of rows.

    The prediction is the median of the training labels, weighted by how often they share a leaf with the row times
    their sample weight (with 1/y: least MAPE). Source: Meinshausen, Quantile Regression Forests, 2006; trees of Geurts
    et al., Extremely Randomized Trees, 2006.
    """

    trees: int = 300
    min_samples_leaf: int = 8
    max_features: float = 0.5
    threads: int = 1

    def suggest(self, trial: "optuna.Trial") -> "Forest":
        """This learner with the values a trial proposes."""
        return replace(
            self,
            min_samples_leaf=trial.suggest_int("min_samples_leaf", 2, 40, log=True),
            max_features=trial.suggest_float("max_features", 0.1, 1.0),
        )

    def fit(self, X: FeatureMatrix, y: np.ndarray, weight: np.ndarray | None = None, seed: int = 0) -> FittedForest:
        """Train on X (n, D) and labels y (n,), optionally weighted (n,)."""
        from sklearn.ensemble import ExtraTreesRegressor

        columns = Columns.fit(X, seed)
        counts = [np.bincount(c) for c in columns.read(X)[1].T]
        frequent = tuple(np.flatnonzero(c >= FREQUENT * len(y)) for c in counts)
        values = _columns(columns, frequent, X)
        forest = ExtraTreesRegressor(
            self.trees,
            min_samples_leaf=self.min_samples_leaf,
            max_features=self.max_features,
            random_state=seed,
            n_jobs=self.threads,
        ).fit(values, y)
        trees = Trees.of(forest)
        weight = np.ones(len(y)) if weight is None else np.asarray(weight, np.float64)
        return FittedForest(trees, columns, frequent, np.asarray(y, np.float64), weight, trees.leaves(values))


def _columns(columns: Columns, frequent: tuple[np.ndarray, ...], X: FeatureMatrix) -> np.ndarray:
    """Numbers, flags and a 0/1 column per frequent category; (n, columns) float32."""
    numbers, codes = columns.read(X)
    return np.hstack([numbers, *(codes[:, [j]] == f for j, f in enumerate(frequent))]).astype(np.float32)


def _indicator(leaves: np.ndarray, count: int) -> "csr_matrix":
    """(n, count) 1 where the row lies in the leaf."""
    from scipy.sparse import csr_matrix

    n, trees = leaves.shape
    ones = np.ones(leaves.size, np.float32)
    return csr_matrix((ones, leaves.ravel(), np.arange(0, leaves.size + 1, trees)), shape=(n, count))
