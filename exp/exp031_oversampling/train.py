"""Posts of labels over 12 learnt from more often: copied, or made up between neighbours (SMOTE). Parents: none. Asks:
does the error of the most popular posts fall, and what does it cost overall? (paper 4.2, Fig. 3)

Synthetic posts lie between a post of the tail and one of its nearest neighbours there, label included:
imbalanced-learn's SMOTENC on standardised columns. (The paper cites SOS, a score-based generative model, which no
maintained package holds.)
Where a data set has fewer than `least_share` of its labels over `tail`, the tail starts at that quantile instead.

Writes oversampling.csv and oversampling.png; answers in metrics.json.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from smp import features
from smp.disk.store import replacing
from smp.evidence import gain
from smp.experiment import Run, Settings
from smp.folds import load_folds
from smp.learners import CatBoost, LightGBM
from smp.matrix import FeatureMatrix
from smp.metrics import MAE, SRC, mae, src
from smp.oof import Part
from smp.present import COLORS, PALE, save, subplots
from smp.runner import run_make
from smp.study import Cell, cross_predict, run_cells, say
from smp.tracks.base import Data
from smp.tracks.load import load_data

import numpy as np
import pandas as pd

TRACK = "image"
GROUP = "studies"
PARENTS = ()
METHODS = {"none": "as they are", "copies": "copies", "smote": "SMOTE"}


@dataclass(frozen=True)
class Config(Settings):
    features: tuple[str, ...] = ("post_stats", "time_place", "user_behaviour")
    lightgbm: LightGBM = LightGBM(objective="huber", rounds=800, feature_fraction=0.3)
    catboost: CatBoost = CatBoost(rounds=800, depth=6, rsm=0.3)
    tail: float = 12.0  # labels above it are over-sampled
    least_share: float = 0.01
    factor: int = 5  # how many times as many posts the tail has afterwards
    neighbours: int = 5
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    processes: int = 1  # at work on the cells


SMALL = {
    "lightgbm": LightGBM(objective="huber", rounds=150, learning_rate=0.06, num_leaves=15, feature_fraction=0.3),
    "catboost": CatBoost(rounds=150, learning_rate=0.1, depth=4, rsm=0.3),
    "seeds": (0, 1, 2),
}


def tail_start(config: Config, y: np.ndarray) -> float:
    """The label over which posts are over-sampled, of the labels y."""
    return min(config.tail, float(np.quantile(y, 1 - config.least_share)))


def over_sample(
    method: str, X: FeatureMatrix, y: np.ndarray, tail: float, factor: int, neighbours: int, seed: int
) -> tuple[FeatureMatrix, np.ndarray]:
    """X (n, D) and y (n,) with `factor` times as many rows of y > tail, the new ones last."""
    rows = np.flatnonzero(y > tail)
    if method == "none" or len(rows) < 2:
        return X, y
    count = (factor - 1) * len(rows)
    if method == "copies":
        again = np.concatenate([np.arange(len(y)), np.random.default_rng(seed).choice(rows, count)])
        return X.take(again), y[again]
    values, label = smote(X.take(rows).dense(), np.isin(X.names, X.categorical), y[rows], count, neighbours, seed)
    everything = np.concatenate([X.dense(), values])
    return FeatureMatrix(X.names, X.categorical, (everything,), (np.arange(len(everything)),)), np.append(y, label)


def smote(
    values: np.ndarray, categorical: np.ndarray, y: np.ndarray, count: int, neighbours: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """`count` new rows between rows of values (n, D) and their neighbours, and their labels.

    Numbers are standardised for the distance, and a missing one is the column's median; categories (codes, NaN one
    of its own) are the commonest among the neighbours.
    """
    from imblearn.over_sampling import SMOTENC

    numbers = values[:, ~categorical].astype(np.float64)
    median = np.nan_to_num(np.nanmedian(np.where(np.isfinite(numbers).any(axis=0), numbers, 0), axis=0))
    numbers = np.column_stack([np.where(np.isfinite(numbers), numbers, median), y])
    center, scale = numbers.mean(axis=0), np.maximum(numbers.std(axis=0), 1e-6)
    codes = np.nan_to_num(values[:, categorical].astype(np.float64), nan=-1)
    table = np.hstack([(numbers - center) / scale, codes])
    # SMOTE looks only at the class it grows; the library wants another one, which a single row is.
    grown = SMOTENC(
        list(range(numbers.shape[1], table.shape[1])),
        sampling_strategy={1: len(y) + count},
        random_state=seed,
        k_neighbors=min(neighbours, len(y) - 1),
    ).fit_resample(np.vstack([table, table[:1]]), np.append(np.ones(len(y), int), 0))[0][len(y) + 1 :]
    made = grown[:, : numbers.shape[1]] * scale + center
    out = np.empty((count, values.shape[1]), np.float32)
    out[:, ~categorical] = made[:, :-1]
    out[:, categorical] = np.where(grown[:, numbers.shape[1] :] < 0, np.nan, grown[:, numbers.shape[1] :])
    return out, made[:, -1]


def make_cell(run: Run, name: str) -> Cell:
    """name: learner-method."""
    data, config, (learner, method) = load_data(TRACK), run.config, name.split("-")
    X, y = features.load(TRACK, config.features, data), data.labels

    def fit_predict(part: Part, seed: int) -> np.ndarray:
        tail = tail_start(config, y[part.train])
        more = config.factor, config.neighbours, seed
        train, label = over_sample(method, X.take(part.train), y[part.train], tail, *more)
        return getattr(config, learner).fit(train, label, seed=seed).predict(X.take(part.query))

    return cross_predict(TRACK, data, load_folds(TRACK, data, run.scheme), config.seeds, fit_predict)


def make(run: Run) -> dict:
    data, config = load_data(TRACK), run.config
    folds = load_folds(TRACK, data, run.scheme)
    y = data.labels[data.labelled]
    features.load(TRACK, config.features, data)
    cells = [f"{learner}-{method}" for learner in ("lightgbm", "catboost") for method in METHODS]
    made = run_cells(run.folder / "cells", cells, partial(make_cell, run), config.processes)
    tail = tail_start(config, y)
    held = folds["holdout"].to_numpy()
    table = pd.DataFrame([measure(*name.split("-"), cell[0], y, held, tail) for name, cell in made.items()])
    with replacing(run.folder / "oversampling.csv") as aside:
        table.round(4).to_csv(aside, index=False)
    predictions = {name: cell[0].drop(columns="fold").mean(axis=1).to_numpy() for name, cell in made.items()}
    draw(table, predictions, y, tail, run.folder / "oversampling.png")
    answers = []
    for learner, rows in table.groupby("learner", sort=False):
        answers += answer(learner, made, rows, data, tail)
    print(table.round(4).to_string(index=False))
    say(answers)
    return {"rows": len(y), "holdout_rows": int(held.sum()), "tail": tail, "answers": answers}


def measure(learner: str, method: str, made: pd.DataFrame, y: np.ndarray, held: np.ndarray, tail: float) -> dict:
    """Overall and in the tail: SRC, MAE and bias (mean of predicted less true), means and spread over seeds."""
    row = {"learner": learner, "method": method, "tail_rows": int((y > tail).sum()), "rows": len(y)}
    seeds = made.drop(columns="fold")
    every = np.full(len(y), True)
    parts = {"cv": every, "cv_tail": y > tail, "cv_rest": y <= tail, "holdout": held, "holdout_tail": held & (y > tail)}
    for name, rows in parts.items():
        for metric, function in {"src": src, "mae": mae, "bias": lambda true, pred: np.mean(pred - true)}.items():
            of_seed = [function(y[rows], p) for p in seeds.to_numpy()[rows].T] if rows.any() else [np.nan]
            row |= {f"{name}_{metric}": np.mean(of_seed), f"{name}_{metric}_sd": np.std(of_seed)}
    return row


def answer(learner: str, made: dict[str, Cell], rows: pd.DataFrame, data: Data, tail: float) -> list[dict]:
    """Whether the tail's error falls and SRC does not rise, on all rows out of fold, by the rule of smp.evidence."""
    answers, at, table = [], rows.set_index("method"), made[f"{learner}-none"][0]
    at_rows = data.ids.get_indexer(table.index)
    tried = 2 * sum(not name.endswith("-none") for name in made)  # MAE and SRC of all that over-sample
    y, user, fold = data.labels[at_rows], data.users[at_rows], table["fold"].to_numpy()
    for method in ("copies", "smote"):
        new, old = (made[f"{learner}-{m}"][0].drop(columns="fold").to_numpy() for m in (method, "none"))
        high = y > tail
        falls = gain(MAE, y[high], new[high], old[high], user[high], tried)
        rises = gain(SRC, y, new, old, user, tried, fold)
        found = "no" if falls.answer == "no" or rises.answer == "yes" else falls.answer
        was, now = at.loc["none"], at.loc[method]
        answers.append(
            {
                "claim": f"over-sampling labels over {tail:g} ({METHODS[method]}) lowers the tail's error but does not "
                f"improve SRC overall ({learner})",
                "answer": found,
                "numbers": f"the tail's {was['tail_rows']:,} posts: MAE gains {falls}; all: SRC gains {rises}, bias "
                f"{was['cv_bias']:+.3f} -> {now['cv_bias']:+.3f}",
            }
        )
    return answers


def draw(table: pd.DataFrame, predictions: dict[str, np.ndarray], y: np.ndarray, tail: float, path: Path) -> None:
    figure, axes = subplots(1, 3)
    bins = np.linspace(y.min(), y.max(), 40)
    for axis, learner in zip(axes[0], ("lightgbm", "catboost")):
        axis.hist(y, bins, color=PALE, alpha=0.4, label="true")
        for (method, label), color in zip(METHODS.items(), COLORS):
            pred = predictions[f"{learner}-{method}"]
            axis.hist(pred, bins, histtype="step", color=color, linewidth=1.6, label=label)
        axis.axvline(tail, color="black", linewidth=0.6, linestyle=":")
        axis.set(title=f"{learner}: predicted out of fold", xlabel="label", ylabel="posts", yscale="log")
        axis.legend(fontsize=8)
    names = [f"{learner}\n{part}" for learner in ("lightgbm", "catboost") for part in ("tail", "all")]
    for j, ((method, label), color) in enumerate(zip(METHODS.items(), COLORS)):
        rows = table[table["method"] == method]
        height, error = (rows[[f"cv_tail_mae{s}", f"cv_mae{s}"]].to_numpy().ravel() for s in ("", "_sd"))
        axes[0][2].bar(np.arange(4) + (j - 1) * 0.27, height, 0.27, color=color, yerr=error, label=label)
    axes[0][2].set_xticks(range(4), names, fontsize=8)
    axes[0][2].set(title="out-of-fold error", ylabel="MAE")
    axes[0][2].legend(fontsize=8)
    save(figure, path)


if __name__ == "__main__":
    run_make(__file__, Config, TRACK, make, SMALL, shared=True)
