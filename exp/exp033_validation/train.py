"""One model under every fold scheme. Parents: none. Asks: which cross-validation tells the score on later posts?

Each scheme's cv predicts what the model scores on the chronological holdout when it learned from earlier posts only;
users seen and unseen in the training rows are scored apart. Writes validation.csv and validation.png.
"""

from dataclasses import dataclass
from pathlib import Path

from smp import features, tracks
from smp.disk.store import replacing
from smp.experiment import Run, Settings
from smp.folds import make_folds
from smp.learners import LightGBM
from smp.metrics import mae, src
from smp.oof import Made, Part, cross_fit, fold_parts, parts_of
from smp.runner import run_make
from smp.tracks.base import Data
from smp.tracks.load import load_data

import matplotlib
import numpy as np
import pandas as pd

matplotlib.use("Agg")
import matplotlib.pyplot as plt

TRACK = "image"
GROUP = "studies"
PARENTS = ()
SCHEMES = ("time", "user", "random")


@dataclass(frozen=True)
class Config(Settings):
    features: tuple[str, ...] = ("post_stats", "time_place", "user_behaviour")
    learner: LightGBM = LightGBM(objective="huber", rounds=400, feature_fraction=0.4)
    seeds: tuple[int, ...] = (0, 1, 2)


def make(run: Run) -> dict:
    data, config, split = load_data(TRACK), run.config, tracks.get(TRACK).split
    X, y = features.load(TRACK, config.features, data), data.labels

    def fit_predict(part: Part) -> np.ndarray:
        train, query = X.take(part.train), X.take(part.query)
        return np.column_stack([config.learner.fit(train, y[part.train], seed=s).predict(query) for s in config.seeds])

    rows = []
    for scheme in SCHEMES:
        parts = fold_parts(parts_of(data, make_folds(data, split, scheme), split))
        made = cross_fit(run.folder / scheme, data.ids, parts, fit_predict)
        rows += measure(f"cv, {scheme} folds", made, data)
        if scheme == "time":
            rows += measure("chronological holdout", made[-1:], data)
    table = pd.DataFrame(rows)
    with replacing(run.folder / "validation.csv") as aside:
        table.to_csv(aside, index=False)
    draw(table, run.folder / "validation.png")
    print(table.to_string(index=False))
    return {}


def measure(name: str, made: Made, data: Data) -> list[dict]:
    """Scores with their spread over seeds, of all rows and of those by users seen and unseen in the training rows."""
    user, y = data.users, data.labels
    query = np.concatenate([part.query for part, _ in made])
    pred = np.vstack([table.to_numpy() for _, table in made])
    seen = np.concatenate([np.isin(user[part.query], user[part.train]) for part, _ in made])
    rows = []
    for users, mask in (("all", np.full(len(seen), True)), ("seen", seen), ("unseen", ~seen)):
        row = {"validation": name, "users": users, "rows": int(mask.sum())}
        for metric in (src, mae):
            of_seed = [metric(y[query[mask]], p[mask]) for p in pred.T] if mask.any() else [np.nan]
            row |= {metric.__name__: np.mean(of_seed).round(4), f"{metric.__name__}_sd": np.std(of_seed).round(4)}
        rows.append(row)
    return rows


def draw(table: pd.DataFrame, path: Path) -> None:
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.6), sharey=True, layout="constrained")
    names, height = list(table["validation"].unique()), 0.26
    for axis, metric in zip(axes, ("src", "mae")):
        for i, (users, color) in enumerate((("all", "#0b6e4f"), ("seen", "#6ba292"), ("unseen", "#c8553d"))):
            part = table[table["users"] == users].set_index("validation").loc[names]
            at = np.arange(len(names)) + (i - 1) * height
            axis.barh(at, part[metric], height, xerr=part[f"{metric}_sd"], color=color, label=f"{users} users")
        axis.set_xlabel(f"{metric.upper()} ({'higher' if metric == 'src' else 'lower'} is better)")
        axis.set_yticks(range(len(names)), names)
    axes[0].invert_yaxis()
    axes[1].legend(fontsize=8)
    with replacing(path) as aside:
        figure.savefig(aside, dpi=110, format="png", metadata={"Software": None})


if __name__ == "__main__":
    run_make(__file__, Config, TRACK, make, {"seeds": (0,)}, shared=True)
