"""A linear mixed model by ridge regression: curves of the numbers, words, categories, and a level for every user."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from smp.learners import kept
from smp.matrix import FeatureMatrix
from smp.nn.columns import UNKNOWN, Columns

if TYPE_CHECKING:
    import optuna
    from scipy.sparse import csr_matrix
    from sklearn.preprocessing import SplineTransformer

USER = "user_id"  # the category whose levels are the users
REACH = 3.0  # quantile-normalised numbers lie within +- REACH
CHUNK = 65_536  # rows expanded at a time


@dataclass(frozen=True)
class FittedLinear:
    """The coefficients (T,) of a ridge regression, and how columns become its terms."""

    coefficients: np.ndarray
    intercept: float
    terms: "_Terms"

    def predict(self, X: FeatureMatrix) -> np.ndarray:
        """(n,) float64 predictions, made in chunks of bounded size."""
        chunks = [t @ self.coefficients + self.intercept for t in self.terms.chunks(X)]
        return np.concatenate(chunks) if chunks else np.empty(0)

    def save(self, folder: Path) -> None:
        """Keep the coefficients and what the terms are made with in `folder`, for `load`."""
        terms = self.terms
        arrays = {"coefficients": self.coefficients, "is_binary": terms.is_binary, "is_curve": terms.is_curve}
        values = {"intercept": self.intercept, "names": terms.names, "config": asdict(terms.config)}
        kept.keep(folder, type(self).__name__, values, arrays | kept.with_prefix("columns", terms.columns.arrays()))

    @classmethod
    def load(cls, folder: Path) -> "FittedLinear":
        """The model that `save` kept. Raises DataError where it is not whole."""
        card, arrays = kept.card_of(folder), kept.arrays_of(folder)
        columns = Columns.from_arrays(kept.under("columns", arrays))
        config, names = Linear(**card["config"]), tuple(card["names"])
        terms = _Terms(columns, names, arrays["is_binary"], arrays["is_curve"], config)
        return cls(arrays["coefficients"], card["intercept"], terms)


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
        ridge.fit(vstack(list(terms.chunks(X)), format="csr"), y, weight)
        return FittedLinear(ridge.coef_.astype(np.float64), float(ridge.intercept_), terms)


@dataclass(frozen=True)
class _Terms:
    """How columns become terms, learnt from the training rows only."""

    columns: Columns
    names: tuple[str, ...]  # of the categories
    is_binary: np.ndarray  # (d,) of the numbers that `columns` gives, its flags among them
    is_curve: np.ndarray  # (d,) those with a spline
    config: Linear

    @classmethod
    def fit(cls, config: Linear, X: FeatureMatrix, seed: int) -> "_Terms":
        columns = Columns.fit(X, seed)
        names = tuple(X.names[j] for j in columns.categorical)
        is_binary = np.ones(len(columns.numeric) + columns.has_missing.sum(), bool)
        for start in range(0, len(X), CHUNK):
            values = X.dense(slice(start, start + CHUNK))[:, columns.numeric]
            is_binary[: values.shape[1]] &= ((values == 0) | (values == 1)).all(axis=0)
        is_embedding = np.concatenate([np.full(b.shape[1], b.dtype == np.float16) for b in X.blocks])
        is_curve = ~is_binary
        is_curve[: len(columns.numeric)] &= ~is_embedding[columns.numeric]
        return cls(columns, names, is_binary, is_curve, config)

    @cached_property
    def spline(self) -> "SplineTransformer":
        """Cubic curves through given knots: it learns nothing of any row."""
        from sklearn.preprocessing import SplineTransformer

        knots = np.repeat(np.linspace(-REACH, REACH, self.config.knots)[:, None], self.is_curve.sum(), axis=1)
        spline = SplineTransformer(knots=knots, include_bias=False, sparse_output=True, extrapolation="constant")
        return spline.fit(np.zeros((2, knots.shape[1])))

    def chunks(self, X: FeatureMatrix) -> Iterator["csr_matrix"]:
        """The rows of X as terms (m, T) float32, CHUNK rows each, every column times its prior's sd."""
        return (self._expand(X.take(slice(i, i + CHUNK))) for i in range(0, len(X), CHUNK))

    def _expand(self, X: FeatureMatrix) -> "csr_matrix":
        from scipy.sparse import csr_matrix, hstack

        numbers, codes = self.columns.read(X)
        slopes, words = numbers[:, ~self.is_binary], numbers[:, self.is_binary] > 0
        parts = [csr_matrix(slopes) * self.config.slope, csr_matrix(words) * self.config.word]
        if self.is_curve.any():
            parts.append(self.spline.transform(numbers[:, self.is_curve]) * self.config.spline)
        for name, code, size in zip(self.names, codes.T, self.columns.cardinalities):
            known = np.flatnonzero(code != UNKNOWN)
            scale = self.config.user if name == USER else self.config.category
            level = (np.full(len(known), scale), (known, code[known]))
            parts.append(csr_matrix(level, shape=(len(code), size)))
        return hstack(parts, format="csr", dtype=np.float32)
