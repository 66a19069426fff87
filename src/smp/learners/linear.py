"""A linear mixed model by ridge regression: curves of the numbers, words, categories, and a level for every user."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from smp.matrix import FeatureMatrix
from smp.nn.columns import UNKNOWN, Columns

if TYPE_CHECKING:
    import optuna
    from scipy.sparse import csr_matrix
    from sklearn.linear_model import Ridge
    from sklearn.preprocessing import SplineTransformer

USER = "user_id"  # the category whose levels are the users
REACH = 3.0  # quantile-normalised numbers lie within +- REACH
CHUNK = 65_536  # rows expanded at a time


@dataclass(frozen=True)
class FittedLinear:
    """The ridge regression and how columns become its terms."""

    ridge: "Ridge"
    terms: "_Terms"

    def predict(self, X: FeatureMatrix) -> np.ndarray:
        """(n,) float64 predictions, made in chunks of bounded size."""
        chunks = [self.ridge.predict(t) for t in self.terms.chunks(X)]
        return np.concatenate(chunks).astype(np.float64) if chunks else np.empty(0)


@dataclass(frozen=True)
class Linear:
    """Least squares with a Gaussian prior on every coefficient, whose sd is that of its kind of term (noise sd = 1).

    Numbers (quantile-normalised to a standard normal) get a slope, those of tables a cubic spline too (an embedding's
    many columns would fit noise), columns of 0 and 1 (words, flags) an effect each, categories an effect a level, and
    users theirs: the best linear unbiased prediction of a mixed model (Henderson 1975), where a user of few labels is
    drawn towards the mean, and an unseen one is the mean.
    """

    slope: float = 0.05
    spline: float = 0.1
    knots: int = 6
    word: float = 0.12
    category: float = 0.2
    user: float = 0.7

    def suggest(self, trial: "optuna.Trial") -> "Linear":
        """This learner with the values a trial proposes."""
        scales = ("slope", "spline", "word", "category", "user")
        return replace(
            self,
            knots=trial.suggest_int("knots", 3, 9),
            **{name: trial.suggest_float(name, 0.01, 2.0, log=True) for name in scales},
        )

    def fit(self, X: FeatureMatrix, y: np.ndarray, weight: np.ndarray | None = None, seed: int = 0) -> FittedLinear:
        """Train on X (n, D) and labels y (n,), optionally weighted (n,)."""
        from scipy.sparse import vstack
        from sklearn.linear_model import Ridge

        terms = _Terms.fit(self, X, seed)
        if weight is not None:
            weight = weight / np.mean(weight)
        ridge = Ridge(alpha=1.0, solver="sparse_cg", tol=1e-4)
        return FittedLinear(ridge.fit(vstack(list(terms.chunks(X)), format="csr"), y, weight), terms)


@dataclass(frozen=True)
class _Terms:
    """How columns become terms, learnt from the training rows only."""

    inputs: Columns
    names: tuple[str, ...]  # of the categories
    is_binary: np.ndarray  # (d,) of the numbers that `inputs` gives, its flags among them
    is_curve: np.ndarray  # (d,) those with a spline
    spline: "SplineTransformer | None"
    config: Linear

    @classmethod
    def fit(cls, config: Linear, X: FeatureMatrix, seed: int) -> "_Terms":
        from sklearn.preprocessing import SplineTransformer

        inputs = Columns.fit(X, seed)
        names = tuple(X.names[j] for j in inputs.categorical)
        is_binary = np.ones(len(inputs.numeric) + inputs.has_missing.sum(), bool)
        for start in range(0, len(X), CHUNK):
            values = X.dense(slice(start, start + CHUNK))[:, inputs.numeric]
            is_binary[: values.shape[1]] &= ((values == 0) | (values == 1)).all(axis=0)
        is_embedding = np.concatenate([np.full(b.shape[1], b.dtype == np.float16) for b in X.blocks])
        is_curve = ~is_binary
        is_curve[: len(inputs.numeric)] &= ~is_embedding[inputs.numeric]
        spline = None
        if is_curve.any():
            knots = np.repeat(np.linspace(-REACH, REACH, config.knots)[:, None], is_curve.sum(), axis=1)
            spline = SplineTransformer(knots=knots, include_bias=False, sparse_output=True, extrapolation="constant")
            spline.fit(np.zeros((2, knots.shape[1])))  # its knots are given: it learns nothing of the rows
        return cls(inputs, names, is_binary, is_curve, spline, config)

    def chunks(self, X: FeatureMatrix) -> Iterator["csr_matrix"]:
        """The rows of X as terms (m, T) float32, CHUNK rows each, every column times its prior's sd."""
        return (self._expand(X.take(slice(i, i + CHUNK))) for i in range(0, len(X), CHUNK))

    def _expand(self, X: FeatureMatrix) -> "csr_matrix":
        from scipy.sparse import csr_matrix, hstack

        numbers, codes = self.inputs.arrays(X)
        slopes, words = numbers[:, ~self.is_binary], numbers[:, self.is_binary] > 0
        parts = [csr_matrix(slopes) * self.config.slope, csr_matrix(words) * self.config.word]
        if self.spline is not None:
            parts.append(self.spline.transform(numbers[:, self.is_curve]) * self.config.spline)
        for name, code, size in zip(self.names, codes.T, self.inputs.cardinalities):
            known = np.flatnonzero(code != UNKNOWN)
            scale = self.config.user if name == USER else self.config.category
            level = (np.full(len(known), scale), (known, code[known]))
            parts.append(csr_matrix(level, shape=(len(code), size)))
        return hstack(parts, format="csr", dtype=np.float32)
