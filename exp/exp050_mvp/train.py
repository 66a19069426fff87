"""The recipe of MVP, the winner of 2025, as published. Parents: none. Asks: what does each of its steps give?

CatBoost (Huber) over five random folds, the round with the least MAPE on each inner fold, the mean times 1.05. Every
step is a switch. Writes steps.csv: each step turned off alone, on the last months, against the recipe as it is.
The final factor was tuned on the leaderboard: it is measured here and used nowhere else.
"""

import time
from dataclasses import dataclass, replace

from smp import features
from smp.disk.store import replacing
from smp.experiment import Run, Settings
from smp.matrix import FeatureMatrix
from smp.metrics import mean_and_errors
from smp.oof import Part, cross_fit, forward_parts
from smp.runner import Model, run_experiment
from smp.tracks.base import Data

import joblib
import numpy as np
import pandas as pd
from sklearn.model_selection import KFold

TRACK = "video"
GROUP = "studies"
PARENTS = ()
LOGGED = tuple(f"mvp_{c}" for c in ("likes", "heart", "follower", "following", "digg"))


@dataclass(frozen=True)
class Config(Settings):
    features: tuple[str, ...] = ("mvp", "mvp_text")
    log_counts: bool = True  # log1p of five counts
    drop_outliers: bool = True  # training labels outside 1.5 interquartile ranges
    text: bool = True  # 2 x 20 columns of TF-IDF and SVD
    tag_dates: bool = True  # avg_tag_popularity
    huber: bool = True  # else RMSE
    inner_folds: int = 5
    factor: float = 1.05
    rounds: int = 20_000  # 100,000 at most as published, stopped 5,000 after the best
    patience: int = 2_000
    learning_rate: float = 0.01
    depth: int = 10
    seeds: tuple[int, ...] = (0,)


SMALL = {"rounds": 150, "patience": 30, "learning_rate": 0.2, "depth": 5}
STEPS = {
    "log transforms": {"log_counts": False},
    "outlier rule": {"drop_outliers": False},
    "TF-IDF + SVD": {"text": False},
    "tag dates": {"tag_dates": False},
    "Huber loss": {"huber": False},
    "factor 1.05": {"factor": 1.0},
}


def fit_predict(config: Config, X: FeatureMatrix, y: np.ndarray, part: Part) -> np.ndarray:
    """(len(part.query), seeds) predictions of the recipe with the switches of `config`."""
    import catboost
    import torch

    frame = pd.DataFrame(X.dense(), columns=list(X.names))
    frame = frame.assign(**{c: frame[c].fillna(-1).astype(np.int32) for c in X.categorical})
    if config.log_counts:
        frame[list(LOGGED)] = np.log1p(frame[list(LOGGED)])
    if not config.text:
        frame = frame[[c for c in frame if not c.startswith("mvp_text_")]]
    if not config.tag_dates:
        frame = frame.drop(columns="mvp_avg_tag_popularity")
    train = part.train
    if config.drop_outliers:
        low, high = np.quantile(y[train], (0.25, 0.75)) @ np.array([[2.5, -1.5], [-1.5, 2.5]])
        train = train[(y[train] >= low) & (y[train] <= high)]
    gpu, columns = torch.cuda.is_available(), []
    for seed in config.seeds:
        predictions = []
        for fit, stop in KFold(config.inner_folds, shuffle=True, random_state=seed).split(train):
            model = catboost.CatBoostRegressor(
                loss_function="Huber:delta=1" if config.huber else "RMSE",
                eval_metric="MAPE",
                iterations=config.rounds,
                early_stopping_rounds=config.patience,
                learning_rate=config.learning_rate,
                depth=config.depth,
                l2_leaf_reg=3,
                max_ctr_complexity=1,
                leaf_estimation_method="Gradient",
                random_seed=seed,
                thread_count=joblib.cpu_count(),  # those that this process may use; by itself it takes all
                task_type="GPU" if gpu else "CPU",
                allow_writing_files=False,
                verbose=False,
            )
            pools = [catboost.Pool(frame.iloc[train[i]], y[train[i]], list(X.categorical)) for i in (fit, stop)]
            model.fit(pools[0], eval_set=pools[1], use_best_model=True)
            predictions.append(model.predict(frame.iloc[part.query]))
        columns.append(np.mean(predictions, axis=0) * config.factor)
    return np.column_stack(columns)


class Recipe(Model):
    """The recipe as it is; and, on the forward parts, with each of its steps turned off."""

    config: Config

    def __init__(self, run: Run, data: Data, folds: pd.DataFrame):
        super().__init__(run, data, folds)
        self.X = features.load(TRACK, self.config.features, data)
        self.compare()

    def predict(self, part: Part) -> np.ndarray:
        return fit_predict(self.config, self.X, self.data.labels, part)

    def compare(self) -> None:
        """Write steps.csv: each step turned off alone, on the last months, against the recipe as it is."""
        started, y, rows = time.perf_counter(), self.data.labels, []
        parts = list(forward_parts(self.parts, self.track.split).values())
        made, base = cross_fit(self.run.folder, self.data.ids, parts, self.predict), None
        for name, change in {"the recipe": {}, **STEPS}.items():
            if change:
                config, folder = replace(self.config, **change), self.run.folder / f"without {name}"
                made = cross_fit(folder, self.data.ids, parts, lambda part, c=config: fit_predict(c, self.X, y, part))
            query = np.concatenate([part.query for part, _ in made])
            pred = np.concatenate([table.mean(axis=1) for _, table in made])
            month = np.repeat([part.key for part, _ in made], [len(part.query) for part, _ in made])
            losses = self.task.item_loss(y[query], pred)
            row = {"step": name, "rows": len(pred), "mape": mean_and_errors(losses, month)["mean"]}
            base = losses if base is None else base
            given = mean_and_errors(losses - base, month)  # above 0: the step helps
            rows.append(row | ({f"given_{k}": v for k, v in given.items()} if change else {}))
        table = pd.DataFrame(rows).round(4)
        with replacing(self.run.folder / "steps.csv") as aside:
            table.to_csv(aside, index=False)
        print(f"{table.to_string(index=False)}\n{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    run_experiment(__file__, Config, TRACK, Recipe, SMALL)
