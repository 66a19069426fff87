"""LightGBM on a feature matrix, streamed to its binner where a float32 copy would be too large."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from smp.errors import DataError
from smp.learners import kept
from smp.matrix import FeatureMatrix

if TYPE_CHECKING:
    import lightgbm
    import optuna

DENSE_LIMIT = 2**30  # bytes of float32 up to which one dense copy is simplest and fastest
TREES = "trees.txt"
SMALL_MATRIX = 4_000_000  # values up to which one thread is the fastest


@dataclass(frozen=True)
class FittedLightGBM:
    """A trained booster and the names of its columns."""

    booster: "lightgbm.Booster"
    names: tuple[str, ...]

    def predict(self, X: FeatureMatrix) -> np.ndarray:
        """(n,) float64 predictions, made in chunks of bounded size."""
        return np.concatenate(list(self._in_chunks(X)) or [np.empty(0)])

    def contributions(self, X: FeatureMatrix) -> np.ndarray:
        """(n, D) SHAP values: by how much each column moves a prediction away from the mean one."""
        chunks = list(self._in_chunks(X, pred_contrib=True))
        return np.concatenate(chunks)[:, :-1] if chunks else np.empty(X.shape)

    def leaves(self, X: FeatureMatrix) -> np.ndarray:
        """(n, trees) int32: the leaf of every tree that a row lies in."""
        chunks = list(self._in_chunks(X, pred_leaf=True))
        return np.concatenate(chunks).astype(np.int32) if chunks else np.empty((0, self.booster.num_trees()), np.int32)

    def _in_chunks(self, X: FeatureMatrix, **how: bool) -> Iterator[np.ndarray]:
        step = max(1, DENSE_LIMIT // 4 // max(4 * X.shape[1], 1))
        return (self.booster.predict(X.dense(slice(i, i + step)), **how) for i in range(0, len(X), step))

    def save(self, folder: Path) -> None:
        """Keep the trees as LightGBM's text in `folder`, for `load`."""
        kept.keep(folder, type(self).__name__, {"names": self.names}, files={TREES: self.booster.save_model})

    @classmethod
    def load(cls, folder: Path) -> "FittedLightGBM":
        """The model that `save` kept. Raises DataError where it is not whole."""
        import lightgbm

        card = kept.card_of(folder)
        return cls(lightgbm.Booster(model_file=folder / TREES), tuple(card["names"]))

    def importance(self) -> dict[str, float]:
        """Total gain of every column."""
        return dict(zip(self.names, self.booster.feature_importance("gain").tolist()))


@dataclass(frozen=True)
class LightGBM:
    """Gradient boosted trees with a fixed number of rounds: none is spent on choosing it on the rows predicted.

    `objective`: l1 and huber favour MAE, l2 favours SRC. With sample weights 1/y, l1 is the true MAPE.
    """

    objective: Literal["l1", "l2", "huber", "mape", "quantile"] = "l2"
    rounds: int = 600
    learning_rate: float = 0.03
    num_leaves: int = 31
    min_child_samples: int = 20
    feature_fraction: float = 0.7
    bagging_fraction: float = 0.8
    lambda_l2: float = 1.0
    cat_smooth: float = 20.0
    extra_trees: bool = False
    alpha: float = 0.9  # the share of labels below, for quantile; the residual from which huber is linear
    threads: int = 0  # 0: all cores, or one where the matrix is so small that threads only wait for each other
    device: Literal["cpu", "gpu", "cuda"] = "cpu"  # gpu: OpenCL, in every wheel; cuda: faster, in a build of your own

    def suggest(self, trial: "optuna.Trial") -> "LightGBM":
        """This learner with the values a trial proposes."""
        return replace(
            self,
            rounds=trial.suggest_int("rounds", 100, 4000, log=True),
            learning_rate=trial.suggest_float("learning_rate", 0.01, 0.1, log=True),
            num_leaves=trial.suggest_int("num_leaves", 3, 255, log=True),
            min_child_samples=trial.suggest_int("min_child_samples", 5, 200, log=True),
            feature_fraction=trial.suggest_float("feature_fraction", 0.05, 1.0, log=True),
            bagging_fraction=trial.suggest_float("bagging_fraction", 0.5, 1.0),
            lambda_l2=trial.suggest_float("lambda_l2", 0.01, 100, log=True),
            cat_smooth=trial.suggest_float("cat_smooth", 1, 200, log=True),
            extra_trees=trial.suggest_categorical("extra_trees", [False, True]),
        )

    def parameters(self, X: FeatureMatrix, seed: int) -> dict:
        """What LightGBM itself is given to train on X."""
        threads = self.threads or (1 if X.shape[0] * X.shape[1] < SMALL_MATRIX else 0)
        # a GPU chooses the layout itself, and adds in an order of its own: its trees differ a little from run to run
        exact = {"deterministic": True, "force_col_wise": True} if self.device == "cpu" else {}
        return {
            "objective": self.objective,
            "learning_rate": self.learning_rate,
            "num_leaves": self.num_leaves,
            "min_child_samples": self.min_child_samples,
            "feature_fraction": self.feature_fraction,
            "bagging_fraction": self.bagging_fraction,
            "bagging_freq": 1,
            "lambda_l2": self.lambda_l2,
            "cat_smooth": self.cat_smooth,
            "extra_trees": self.extra_trees,
            "alpha": self.alpha,
            "num_threads": threads,
            "seed": seed,
            "device_type": self.device,
            "verbosity": -1,
            **exact,
        }

    def fit(self, X: FeatureMatrix, y: np.ndarray, weight: np.ndarray | None = None, seed: int = 0) -> FittedLightGBM:
        """Train on X (n, D) and labels y (n,), optionally weighted (n,). Raises DataError without the device."""
        import lightgbm

        params = self.parameters(X, seed)
        categorical = [X.names.index(c) for c in X.categorical]
        if 4 * X.shape[0] * X.shape[1] > DENSE_LIMIT:
            # Binning looks at fewer rows than by default: LightGBM holds the sampled ones as float64.
            params["bin_construct_sample_cnt"] = min(200_000, max(20_000, DENSE_LIMIT // (8 * X.shape[1])))
            data = _sequence(X)
        else:
            data = X.dense()
        train = lightgbm.Dataset(data, y, weight=weight, categorical_feature=categorical, params=params)
        try:
            booster = lightgbm.train(params, train, self.rounds)
        except lightgbm.basic.LightGBMError as error:
            if self.device == "cpu":
                raise
            reason = str(error).split("\n")[0]
            raise DataError(f"LightGBM on {self.device}: {reason}; train with --learner.device cpu") from error
        booster.free_dataset()
        return FittedLightGBM(booster, X.names)


def _sequence(X: FeatureMatrix) -> "lightgbm.Sequence":
    """Rows of X as LightGBM asks for them: a chunk at a time, so no wide copy exists."""
    import lightgbm

    class Rows(lightgbm.Sequence):
        batch_size = max(256, DENSE_LIMIT // 16 // (8 * X.shape[1]))

        def __len__(self) -> int:
            return len(X)

        def __getitem__(self, index: int | slice | list[int]) -> np.ndarray:
            if isinstance(index, (int, np.integer)):
                return X.dense(slice(index, index + 1))[0].astype(np.float64)  # its sampling asks for float64
            return X.dense(index if isinstance(index, slice) else np.asarray(index))

    return Rows()
