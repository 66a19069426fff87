"""Learning from a share of the training posts, those of least classification loss. Parents: exp001_clip_ft. Asks: does
77 % of them keep SRC within 1 % for less work, and do the losses choose better than chance? (paper 4.2, Fig. 4b)

Writes selection.csv (every share, method and learner beside the full set), selection.png and, in metrics.json, answers.
"""

from dataclasses import dataclass, field, replace
from functools import partial

from smp import features
from smp.disk.hashes import source_hash
from smp.disk.store import replacing
from smp.evidence import gain, judge
from smp.experiment import Run, Settings
from smp.folds import load_folds
from smp.learners import CatBoost, LightGBM
from smp.metrics import SRC
from smp.oof import Part
from smp.present import COLORS, PALE, save, subplots
from smp.runner import run_make
from smp.selection import Selection
from smp.study import Cell, cross_predict, held_gain, run_cells, say, seed_scores, spread
from smp.tracks.base import Data
from smp.tracks.load import load_data

import numpy as np
import pandas as pd

TRACK = "image"
GROUP = "studies"
PARENTS = ("exp001_clip_ft",)
PAPER_SHARE, PAPER_LOSS = 0.77, 0.01  # "only 77 % of selected training samples ... less than 1 % degradation"
COSTS = ("fit_seconds", "fit_wall_seconds", "fit_mb")  # of a cell
METHODS = {"class": "least loss of each class", "loss": "least loss", "recent": "the latest", "chance": "random"}


@dataclass(frozen=True)
class Config(Settings):
    features: tuple[str, ...] = ("post_stats", "time_place", "user_behaviour", "clip_ft_pca")
    lightgbm: LightGBM = LightGBM(objective="huber", rounds=800, feature_fraction=0.3)
    catboost: CatBoost = CatBoost(rounds=800, depth=6, rsm=0.3)
    shares: tuple[float, ...] = (0.3, 0.5, 0.7, PAPER_SHARE, 0.9)
    keep: Selection = field(default_factory=lambda: Selection(PAPER_SHARE))  # of it only the run that gives the losses
    seeds: tuple[int, ...] = (0, 1, 2)
    processes: int = 1  # at work on the cells

    def inputs(self, track: str) -> dict[str, str]:
        return {self.keep.losses: source_hash(self.keep.file(track))}


SMALL = {
    "lightgbm": LightGBM(objective="huber", rounds=150, learning_rate=0.06, num_leaves=15, feature_fraction=0.2),
    "catboost": CatBoost(rounds=150, learning_rate=0.1, depth=4, rsm=0.2),
    "shares": (0.3, 0.5, PAPER_SHARE, 0.9),
    "seeds": (0, 1, 2),
}


def make_cell(run: Run, name: str) -> Cell:
    """name: learner-method-share, or learner-full."""
    data, config = load_data(TRACK), run.config
    X, y = features.load(TRACK, config.features, data), data.labels
    learner, method, *share = name.split("-")
    keep = replace(config.keep, share=float(share[0]) if share else 1.0, per_class=method == "class")

    def fit_predict(part: Part, seed: int) -> np.ndarray:
        count = round(keep.share * len(part.train))
        if method == "recent":
            latest = data.items["time"].iloc[part.train].argsort(kind="stable").to_numpy()[-count:]
            train = part.train[np.sort(latest)]
        elif method == "chance":
            train = np.sort(np.random.default_rng(seed).choice(part.train, count, replace=False))
        else:
            train = keep.rows(TRACK, data.items, part.train)
        fitted = getattr(config, learner).fit(X.take(train), y[train], seed=seed)
        return fitted.predict(X.take(part.query))

    return cross_predict(TRACK, data, load_folds(TRACK, data, run.scheme), config.seeds, fit_predict)


def make(run: Run) -> dict:
    data, config = load_data(TRACK), run.config
    folds = load_folds(TRACK, data, run.scheme)
    features.load(TRACK, config.features, data)
    cells = [
        f"{learner}-{rest}"
        for learner in ("lightgbm", "catboost")
        for rest in ("full", *(f"{method}-{share:g}" for method in METHODS for share in config.shares))
    ]
    rows, made = [], run_cells(run.folder / "cells", cells, partial(make_cell, run), config.processes)
    for name, (table, costs) in made.items():
        learner, method, *share = name.split("-")
        scores = spread(seed_scores(TRACK, data, folds, table))
        row = {"learner": learner, "method": method, "share": float(share[0]) if share else 1.0}
        rows.append(row | scores | {name: costs[name] for name in COSTS})
    table = relate(pd.DataFrame(rows))
    with replacing(run.folder / "selection.csv") as aside:
        table.round(4).to_csv(aside, index=False)
    draw(table, run.folder / "selection.png")
    print(table.round(4).to_string(index=False))
    say(answers := answer(data, folds, made, table))
    return {"rows": len(folds), "holdout_rows": int(folds["holdout"].sum()), "answers": answers}


def relate(table: pd.DataFrame) -> pd.DataFrame:
    """Adds every row's SRC, fit time and memory relative to the same learner's on the full set: 0.99 is 1 % less."""
    for column in ("cv_src", "holdout_src", *COSTS):
        full = table["learner"].map(table[table["method"] == "full"].set_index("learner")[column])
        table[f"{column}_of_full"] = 1 + (table[column] - full) / full.abs()
    return table


def answer(data: Data, folds: pd.DataFrame, made: dict[str, Cell], table: pd.DataFrame) -> list[dict]:
    """The paper's claim for each learner, and whether its losses choose better than chance: on the holdout, by the rule
    of smp.evidence; keeping SRC within 1 % is to lose less than that. And the least share that is shown to keep it
    before the holdout, where a share may be chosen."""
    answers, least = [], []
    tried = table["learner"].nunique() * (3 + table["share"][table["method"] == "class"].nunique())
    for learner, rows in table.groupby("learner", sort=False):
        at = rows[np.isclose(rows["share"], PAPER_SHARE)].set_index("method")
        shares = sorted(rows["share"][rows["method"] == "class"])
        tables = {share: made[f"{learner}-class-{share:g}"][0] for share in shares}
        whole = made[f"{learner}-full"][0]
        shown = (share for share, kept in tables.items() if keeps_before(data, folds, kept, whole, tried))
        if (share := next(shown, None)) is not None:
            least.append(f"{learner} {share:g}")
        if not {"class", "recent", "chance"} <= set(at.index):
            continue
        loss, memory = at.loc["class"], at.loc["class", "fit_mb_of_full"] - 1
        ways = ("full", *(f"{method}-{PAPER_SHARE:g}" for method in ("class", "chance", "recent")))
        full, kept, chance, recent = (made[f"{learner}-{way}"][0] for way in ways)
        borne = -PAPER_LOSS * abs(rows.set_index("method").loc["full", "holdout_src"])
        keeps = judge(
            f"{PAPER_SHARE:.0%} of the training posts, chosen by classification loss, keep SRC within {PAPER_LOSS:.0%} "
            f"for less work ({learner})",
            [held_gain(TRACK, data, folds, SRC, kept, full, tried=tried, over=borne)],
        )
        keeps["numbers"] += (
            f"; SRC {loss['cv_src_of_full'] - 1:+.1%} cv, {loss['holdout_src_of_full'] - 1:+.1%} holdout; a fit's "
            f"processor time {loss['fit_seconds_of_full'] - 1:+.0%}, "
            f"wall time {loss['fit_wall_seconds_of_full'] - 1:+.0%}, "
            + (f"memory {memory:+.0%}" if np.isfinite(memory) else "memory not measured")
        )
        costs = (made[f"{learner}-{way}"][1] for way in (f"class-{PAPER_SHARE:g}", "full"))
        if keeps["answer"] == "yes" and not is_less(*costs):
            keeps["answer"] = "not resolved"
        answers.append(keeps)
        for control, other in (("by chance", chance), ("the latest", recent)):
            claim = f"choosing {PAPER_SHARE:.0%} by loss is better than {control} (SRC, {learner})"
            answers.append(judge(claim, [held_gain(TRACK, data, folds, SRC, kept, other, tried=tried)]))
    answers.append(
        {
            "claim": f"least share by loss that is shown to keep SRC within {PAPER_LOSS:.0%} before the holdout",
            "answer": ", ".join(least) or "none shown",
            "numbers": "switch it on with: python exp/exp010_lgbm/train.py --keep.share SHARE --variant kept",
        }
    )
    return answers


def keeps_before(data: Data, folds: pd.DataFrame, kept: pd.DataFrame, full: pd.DataFrame, tried: int) -> bool:
    """Whether `kept` is shown to lose less than 1 % of the full set's SRC on the folds before the holdout."""
    before = ~folds["holdout"].to_numpy()
    at, fold = data.ids.get_indexer(folds.index[before]), folds["fold"].to_numpy()[before]
    a, b = (table.drop(columns="fold").to_numpy()[before] for table in (kept, full))
    y, user = data.labels[at], data.users[at]
    full_src = np.mean([SRC(y[fold == k], pred[fold == k]) for k in np.unique(fold) for pred in b.T])
    return gain(SRC, y, a, b, user, tried, fold, over=-PAPER_LOSS * abs(full_src)).answer == "yes"


def is_less(ours: dict, full: dict) -> bool:
    """Whether a fit takes less time, of processors and by the clock: paired over seeds, by more than the spread."""
    saved = [np.subtract(full[name], ours[name]) for name in ("fit_seconds_of_seed", "fit_wall_seconds_of_seed")]
    return all(len(s) > 1 and s.mean() > s.std(ddof=1) for s in saved)


def draw(table: pd.DataFrame, path) -> None:
    figure, axes = subplots(2, 3)
    titles = {"holdout_src": "holdout SRC", "holdout_mae": "holdout MAE", "fit_seconds": "seconds a fit"}
    for line, (learner, rows) in zip(axes, table.groupby("learner", sort=False)):
        full = rows[rows["method"] == "full"].iloc[0]
        for axis, (column, title) in zip(line, titles.items()):
            axis.axhline(full[column], color=PALE, linestyle="--", label="all posts")
            for (method, label), color in zip(METHODS.items(), COLORS):
                part = rows[rows["method"] == method]
                error = part.get(f"{column}_sd")
                axis.errorbar(part["share"], part[column], error, color=color, marker="o", markersize=4, label=label)
            axis.axvline(PAPER_SHARE, color="black", linewidth=0.6, linestyle=":")
            axis.set_title(f"{learner}: {title}", fontsize=10)
            axis.set_xlabel("share of the training posts")
    axes[0][0].legend(fontsize=8)
    save(figure, path)


if __name__ == "__main__":
    run_make(__file__, Config, TRACK, make, SMALL, shared=True)
