"""Regressors behind one shape: arrays in, arrays out. A trained one keeps itself in a folder; `load` opens any."""

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from smp.errors import DataError
from smp.learners import kept
from smp.learners.catboost import CatBoost, FittedCatBoost
from smp.learners.dask_lgbm import DaskLightGBM
from smp.learners.forest import FittedForest, Forest
from smp.learners.gaussian import FittedGaussianProcess, GaussianProcess
from smp.learners.lgbm import FittedLightGBM, LightGBM
from smp.learners.linear import FittedLinear, Linear
from smp.learners.mlp import MLP
from smp.learners.neural import FittedNetwork
from smp.learners.tabnet import TabNet
from smp.matrix import FeatureMatrix

if TYPE_CHECKING:
    import optuna

_FITTED = (FittedCatBoost, FittedForest, FittedGaussianProcess, FittedLightGBM, FittedLinear, FittedNetwork)


class Fitted(Protocol):
    """A trained model."""

    def predict(self, X: FeatureMatrix) -> np.ndarray:
        """(n,) predictions for X (n, D), whose columns are those of the training in the same order."""

    def save(self, folder: Path) -> None:
        """Keep the model in `folder`, in its library's own format and never as a pickle, for `load`."""

    @classmethod
    def load(cls, folder: Path) -> "Fitted":
        """The model that `save` kept: its predictions are the same to the bit. Raises DataError if it is not whole."""


class Learner(Protocol):
    """A frozen dataclass of hyperparameters.

    Labels are one number a row, y (n,): a track of k targets fits a learner for each.
    """

    def fit(self, X: FeatureMatrix, y: np.ndarray, weight: np.ndarray | None = None, seed: int = 0) -> Fitted:
        """Train on X (n, D) and labels y (n,), finite, optionally weighted (n,)."""

    def suggest(self, trial: "optuna.Trial") -> "Learner":
        """This learner with the values a trial proposes (smp.tuning)."""


def load(folder: Path) -> Fitted:
    """The model kept in a folder, whatever its class. Raises DataError where none is, or not all of it."""
    name = kept.card_of(folder)["class"]
    classes = {fitted.__name__: fitted for fitted in _FITTED}
    if name not in classes:
        raise DataError(f"{folder / kept.CARD}: a model of the class {name}, which is none of {', '.join(classes)}")
    return classes[name].load(folder)


__all__ = [
    "MLP",
    "CatBoost",
    "DaskLightGBM",
    "Fitted",
    "Forest",
    "GaussianProcess",
    "Learner",
    "LightGBM",
    "Linear",
    "TabNet",
    "load",
]
