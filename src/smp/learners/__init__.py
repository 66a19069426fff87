"""Regressors behind one shape: arrays in, arrays out, no files."""

from typing import TYPE_CHECKING, Protocol

import numpy as np

from smp.learners.catboost import CatBoost
from smp.learners.dask_lgbm import DaskLightGBM
from smp.learners.forest import Forest
from smp.learners.gaussian import GaussianProcess
from smp.learners.lgbm import LightGBM
from smp.learners.linear import Linear
from smp.learners.mlp import MLP
from smp.learners.tabnet import TabNet

if TYPE_CHECKING:
    import optuna
from smp.matrix import FeatureMatrix


class Fitted(Protocol):
    """A trained model."""

    def predict(self, X: FeatureMatrix) -> np.ndarray:
        """(n,) predictions for X (n, D)."""


class Learner(Protocol):
    """A frozen dataclass of hyperparameters."""

    def fit(self, X: FeatureMatrix, y: np.ndarray, weight: np.ndarray | None = None, seed: int = 0) -> Fitted:
        """Train on X (n, D) and labels y (n,), optionally weighted (n,)."""

    def suggest(self, trial: "optuna.Trial") -> "Learner":
        """This learner with the values a trial proposes (smp.tuning)."""


__all__ = [
    "MLP", "CatBoost", "DaskLightGBM", "Fitted", "Forest", "GaussianProcess", "Learner", "LightGBM", "Linear", "TabNet",
]  # fmt: skip
