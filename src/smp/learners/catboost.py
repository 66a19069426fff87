"""CatBoost on a feature matrix, categoricals given natively."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import joblib
import numpy as np
import pandas as pd

from smp.errors import DataError
from smp.learners import kept
from smp.matrix import FeatureMatrix

if TYPE_CHECKING:
    import catboost
    import optuna

TREES = "trees.cbm"


@dataclass(frozen=True)
class FittedCatBoost:
    """A trained model and the names of its columns."""

    model: "catboost.CatBoostRegressor"
    names: tuple[str, ...]
    center: float

    def predict(self, X: FeatureMatrix) -> np.ndarray:
        """(n,) float64 predictions."""
        return self.model.predict(_frame(X)) + self.center if len(X) else np.empty(0)

    def contributions(self, X: FeatureMatrix) -> np.ndarray:
        """(n, D) SHAP values: by how much each column moves a prediction away from the mean one."""
        import catboost

        if not len(X):
            return np.empty(X.shape)
        pool = catboost.Pool(_frame(X), cat_features=list(X.categorical))
        return self.model.get_feature_importance(pool, type="ShapValues")[:, :-1]

    def save(self, folder: Path) -> None:
        """Keep the trees in CatBoost's binary format in `folder`, for `load`."""
        metadata = self.model.get_metadata()
        for name in {"train_finish_time", "model_guid"} & {*metadata.keys()}:  # without them the same fit: same bytes
            del metadata[name]
        values = {"names": self.names, "center": self.center}
        kept.keep(folder, type(self).__name__, values, files={TREES: lambda path: self.model.save_model(path, "cbm")})

    @classmethod
    def load(cls, folder: Path) -> "FittedCatBoost":
        """The model that `save` kept. Raises DataError where it is not whole."""
        import catboost

        card = kept.card_of(folder)
        return cls(catboost.CatBoostRegressor().load_model(folder / TREES), tuple(card["names"]), card["center"])

    def importance(self) -> dict[str, float]:
        """Share of prediction change owed to every column, in percent."""
        return dict(zip(self.names, self.model.get_feature_importance().tolist()))


@dataclass(frozen=True)
class CatBoost:
    """Boosted oblivious trees, a fixed number of rounds: none is spent on choosing it on the rows predicted.

    `objective`: RMSE favours SRC; MAE and Huber:delta=1 favour MAE. With sample weights 1/y, MAE is the true MAPE.
    """

    objective: str = "RMSE"
    rounds: int = 1000
    learning_rate: float = 0.05
    depth: int = 6
    l2_leaf_reg: float = 3.0
    rsm: float = 1.0  # share of columns tried at a split; a GPU tries all
    max_ctr_complexity: int = 1  # pairs of categoricals cost much and gained nothing in the winners' recipes
    threads: int = 0  # 0: all cores this process may use
    task_type: Literal["CPU", "GPU"] = "CPU"  # stated, so that a config means the same on every machine
    devices: str = "0"  # of the GPUs: "0:2" or "0-3" for several
    gpu_ram_part: float = 0.95  # share of each GPU's memory that is claimed; less for two runs on one

    def suggest(self, trial: "optuna.Trial") -> "CatBoost":
        """This learner with the values a trial proposes."""
        return replace(
            self,
            rounds=trial.suggest_int("rounds", 200, 4000, log=True),
            learning_rate=trial.suggest_float("learning_rate", 0.01, 0.2, log=True),
            depth=trial.suggest_int("depth", 4, 9),
            l2_leaf_reg=trial.suggest_float("l2_leaf_reg", 0.5, 50, log=True),
            rsm=trial.suggest_float("rsm", 0.2, 1.0) if self.task_type == "CPU" else self.rsm,
        )

    def fit(self, X: FeatureMatrix, y: np.ndarray, weight: np.ndarray | None = None, seed: int = 0) -> FittedCatBoost:
        """Train on X (n, D) and labels y (n,), optionally weighted (n,). Raises DataError without the GPU."""
        import catboost

        if self.task_type == "GPU":  # there small data would be boosted in another way, "Ordered", unasked
            device = {"devices": self.devices, "gpu_ram_part": self.gpu_ram_part, "boosting_type": "Plain"}
        else:
            device = {"rsm": self.rsm}
        center = float(np.median(y))  # boosting with Huber starts at 0, whatever the labels
        model = catboost.CatBoostRegressor(
            loss_function=self.objective,
            iterations=self.rounds,
            learning_rate=self.learning_rate,
            depth=self.depth,
            l2_leaf_reg=self.l2_leaf_reg,
            max_ctr_complexity=self.max_ctr_complexity,
            random_seed=seed,
            thread_count=self.threads or joblib.cpu_count(),
            bootstrap_type="Bernoulli",
            subsample=0.8,
            task_type=self.task_type,
            allow_writing_files=False,
            verbose=False,
            **device,
        )
        pool = catboost.Pool(_frame(X), y - center, weight=weight, cat_features=list(X.categorical))
        try:
            model.fit(pool)
        except catboost.CatBoostError as error:
            if self.task_type == "CPU":
                raise
            reason = str(error).split("\n")[0]
            raise DataError(f"CatBoost on GPU {self.devices}: {reason}; train with --learner.task-type CPU") from error
        return FittedCatBoost(model, X.names, center)


def _frame(X: FeatureMatrix) -> pd.DataFrame:
    """CatBoost takes integer categories only from a frame; a missing one is -1."""
    frame = pd.DataFrame(X.dense(), columns=list(X.names))
    for name in X.categorical:
        frame[name] = frame[name].fillna(-1).astype(np.int32)
    return frame
