"""A quantile regression forest: random trees whose leaves give a distribution of labels, and its weighted median."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from smp.learners.medians import weighted_median
from smp.matrix import FeatureMatrix
from smp.nn.columns import Columns

if TYPE_CHECKING:
    import optuna
    from scipy.sparse import csr_matrix
    from sklearn.ensemble import ExtraTreesRegressor

CHUNK = 2**24  # weights of training rows held at a time
FREQUENT = 0.02  # share of rows from which a category gets a column of its own


@dataclass(frozen=True)
class FittedForest:
    """Grown trees, the training labels and their weights, and which leaves they lie in."""

    forest: "ExtraTreesRegressor"
    inputs: Columns
    frequent: tuple[np.ndarray, ...]
    y: np.ndarray
    weight: np.ndarray
    members: "csr_matrix"  # (leaves, n): 1 / size of the leaf
    starts: np.ndarray  # (trees,) number of each tree's first leaf

    def predict(self, X: FeatureMatrix) -> np.ndarray:
        """(n,) float64 predictions, made in chunks of bounded size."""
        step = max(1, CHUNK // len(self.y))
        chunks = [self._predict(X.take(slice(i, i + step))) for i in range(0, len(X), step)]
        return np.concatenate(chunks) if chunks else np.empty(0)

    def _predict(self, X: FeatureMatrix) -> np.ndarray:
        leaves = _leaves(self.forest, _columns(self.inputs, self.frequent, X), self.starts)
        shares = (_indicator(leaves, self.members.shape[0]) @ self.members).toarray()
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

        inputs = Columns.fit(X, seed)
        counts = [np.bincount(c) for c in inputs.arrays(X)[1].T]
        frequent = tuple(np.flatnonzero(c >= FREQUENT * len(y)) for c in counts)
        columns = _columns(inputs, frequent, X)
        forest = ExtraTreesRegressor(
            self.trees,
            min_samples_leaf=self.min_samples_leaf,
            max_features=self.max_features,
            random_state=seed,
            n_jobs=self.threads,
        ).fit(columns, y)
        sizes = np.array([tree.tree_.node_count for tree in forest.estimators_])
        starts = np.cumsum(sizes) - sizes
        members = _indicator(_leaves(forest, columns, starts), sizes.sum()).T.tocsr()
        held = np.maximum(np.diff(members.indptr), 1)
        members.data = (1 / held).repeat(np.diff(members.indptr)).astype(np.float32)
        weight = np.ones(len(y)) if weight is None else np.asarray(weight, np.float64)
        return FittedForest(forest, inputs, frequent, np.asarray(y, np.float64), weight, members, starts)


def _columns(inputs: Columns, frequent: tuple[np.ndarray, ...], X: FeatureMatrix) -> np.ndarray:
    """Numbers, flags and a 0/1 column per frequent category; (n, columns) float32."""
    numbers, codes = inputs.arrays(X)
    return np.hstack([numbers, *(codes[:, [j]] == f for j, f in enumerate(frequent))]).astype(np.float32)


def _leaves(forest: "ExtraTreesRegressor", columns: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """(n, trees) number of the leaf that each row lies in, counted over all trees."""
    return forest.apply(columns) + starts


def _indicator(leaves: np.ndarray, count: int) -> "csr_matrix":
    from scipy.sparse import csr_matrix

    n, trees = leaves.shape
    ones = np.ones(leaves.size, np.float32)
    return csr_matrix((ones, leaves.ravel(), np.arange(0, leaves.size + 1, trees)), shape=(n, count))
