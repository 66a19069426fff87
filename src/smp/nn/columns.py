"""Columns as numbers near a standard normal and as category codes, for models that are no trees.

What is not finite is missing: a division by 0, or a number beyond float32.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from smp.matrix import FeatureMatrix

if TYPE_CHECKING:
    from sklearn.preprocessing import QuantileTransformer

UNKNOWN = 0  # code of a missing or unseen category


@dataclass(frozen=True)
class Columns:
    """How the columns of a feature matrix are read, learnt from the training rows only."""

    numeric: np.ndarray  # positions of the numeric columns
    categorical: np.ndarray
    quantiles: "QuantileTransformer | None"
    has_missing: np.ndarray  # numeric columns that get a flag
    known: tuple[np.ndarray, ...]  # codes seen in training, a sorted array per categorical

    @classmethod
    def fit(cls, X: FeatureMatrix, seed: int) -> "Columns":
        from sklearn.preprocessing import QuantileTransformer

        is_category = np.isin(X.names, X.categorical)
        values = X.dense()
        numeric = np.flatnonzero(~is_category & np.isfinite(values).any(axis=0))  # the others say nothing
        numbers = _finite(values[:, numeric])
        quantiles = None
        if numbers.shape[1]:
            n_quantiles = min(256, len(numbers))
            quantiles = QuantileTransformer(n_quantiles=n_quantiles, output_distribution="normal", random_state=seed)
            quantiles.fit(numbers)
        known = tuple(np.unique(v[np.isfinite(v)]) for v in values[:, is_category].T)
        missing = np.isnan(numbers).any(axis=0)
        return cls(numeric, np.flatnonzero(is_category), quantiles, missing, known)

    def arrays(self) -> dict[str, np.ndarray]:
        """What was learnt, as named arrays: `from_arrays` makes the same columns of it."""
        quantiles = self.quantiles
        return {
            "numeric": self.numeric,
            "categorical": self.categorical,
            "has_missing": self.has_missing,
            "known": np.concatenate([np.empty(0, np.float32), *self.known]),
            "known_sizes": np.array([len(k) for k in self.known], np.int64),
            "quantiles": np.empty((0, 0)) if quantiles is None else quantiles.quantiles_,
            "references": np.empty(0) if quantiles is None else quantiles.references_,
        }

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> "Columns":
        from sklearn.preprocessing import QuantileTransformer

        quantiles = None
        if arrays["quantiles"].size:
            count, width = arrays["quantiles"].shape
            quantiles = QuantileTransformer(n_quantiles=count, output_distribution="normal")
            quantiles.quantiles_, quantiles.references_ = arrays["quantiles"], arrays["references"]
            quantiles.n_quantiles_, quantiles.n_features_in_ = count, width
        known = np.split(arrays["known"], np.cumsum(arrays["known_sizes"])[:-1]) if len(arrays["known_sizes"]) else ()
        return cls(arrays["numeric"], arrays["categorical"], quantiles, arrays["has_missing"], tuple(known))

    @property
    def width(self) -> int:
        """Numbers of a row, flags among them."""
        return len(self.numeric) + int(self.has_missing.sum())

    @property
    def cardinalities(self) -> list[int]:
        """Codes of every categorical column, `unknown` among them."""
        return [len(k) + 1 for k in self.known]

    def read(self, X: FeatureMatrix) -> tuple[np.ndarray, np.ndarray]:
        """Numbers (n, d + flags) float32 and categorical codes (n, c) int64, 0 for a missing or unseen category."""
        values = X.dense()
        numbers = _finite(values[:, self.numeric])
        flags = np.isnan(numbers[:, self.has_missing])
        if self.quantiles is not None:
            numbers = self.quantiles.transform(numbers).clip(-3, 3)  # its tails reach 5.2 for one extreme value
        numbers = np.hstack([np.nan_to_num(numbers), flags]).astype(np.float32)
        codes = np.zeros((len(values), len(self.known)), np.int64)
        for j, known in enumerate(self.known):
            if len(known):
                column = values[:, self.categorical[j]]
                at = np.searchsorted(known, column).clip(max=len(known) - 1)
                codes[:, j] = np.where(known[at] == column, at + 1, UNKNOWN)
        return numbers, codes


def _finite(values: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(values), values, np.float32(np.nan))
