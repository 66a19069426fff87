"""What the report is made of: the artifacts of finished experiments, read back and put beside the posts."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from smp import paths, tracks
from smp.disk.store import read_table
from smp.errors import DataError
from smp.metrics import Task
from smp.tracks.base import Data
from smp.tracks.load import load_data


@dataclass(frozen=True)
class Results:
    """A track's results. Whatever is not there yet is empty."""

    track: str

    @property
    def folder(self) -> Path:
        return paths.output(self.track)

    @cached_property
    def metrics(self) -> dict[str, dict]:
        """metrics.json of every finished experiment of the track, by name."""
        found = {p.parent.name: json.loads(p.read_text()) for p in sorted(self.folder.glob("exp*/metrics.json"))}
        return {name: m for name, m in found.items() if m["track"] == self.track}

    @cached_property
    def scores(self) -> pd.DataFrame:
        """The track's rows of scores.csv."""
        return read_scores(self.folder / "scores.csv").query("track == @self.track")

    @property
    def task(self) -> Task:
        return tracks.get(self.track).task

    @property
    def unit(self) -> str:
        """Of the errors of posts, in words."""
        return f"{self.task.error.upper()} of a post"

    @property
    def best_first(self) -> pd.DataFrame:
        """`scores`, the best on the holdout first."""
        headline = self.task.metrics[0]
        return self.scores.sort_values(f"holdout_{headline.name}", ascending=not headline.greater_is_better)

    @cached_property
    def final(self) -> str:
        """The experiment the submission is made from; before it is finished, the best on the holdout; or empty."""
        final = tracks.get(self.track).final
        if final in self.metrics or self.scores.empty:
            return final if final in self.metrics else ""
        return self.best_first["experiment"].iloc[0]

    @cached_property
    def data(self) -> Data:
        return load_data(self.track)

    @cached_property
    def posts(self) -> pd.DataFrame:
        """The items with their label (of several the first), to be shown side by side."""
        return self.data.items.assign(label=self.data.labels.reshape(len(self.data), -1)[:, 0])

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """Labelled posts with the final experiment's out-of-fold prediction.

        Columns: time, category (where there is one), fold, holdout, label and pred (of several labels the first), error
        (what the post adds to the track's error), seen (the user has posts among those the prediction was learnt from).
        """
        oof, folds = read_table(self.folder / self.final / "oof.parquet"), read_table(paths.fold_table(self.track))
        folds = folds[folds["fold"] >= 0]  # of a rolling split the first block is predicted by nothing
        rows, pred = self.posts.loc[folds.index], oof.loc[folds.index].filter(like="pred").to_numpy()
        table = rows[["time", "label"]].assign(fold=folds["fold"], holdout=folds["holdout"], pred=pred[:, 0])
        if "category" in rows and rows["category"].notna().any():
            table["category"] = rows["category"].astype("str")
        y = self.data.labels[self.data.ids.get_indexer(folds.index)]
        table["error"] = self.task.item_loss(y, pred.reshape(y.shape))
        user, _ = pd.factorize(rows["user_id"])
        in_fold = pd.Series(1, index=[user, table["fold"]]).groupby(level=[0, 1]).sum()
        own = in_fold.reindex(pd.MultiIndex.from_arrays([user, table["fold"]])).to_numpy()
        table["seen"] = np.bincount(user)[user] > own
        return table

    @cached_property
    def test(self) -> pd.Series:
        """The final experiment's predictions of the test posts (of several labels the first)."""
        return read_table(self.folder / self.final / "test.parquet").iloc[:, 0]

    def table(self, experiment: str, name: str) -> pd.DataFrame | None:
        """A finished study's csv, or None."""
        path = self.folder / experiment / name
        return pd.read_csv(path, keep_default_na=False, na_values=[""]) if path.exists() else None

    @property
    def answers(self) -> pd.DataFrame:
        """Every claim that a study checked: claim, answer, numbers, study."""
        rows = [{**a, "study": name} for name, m in self.metrics.items() for a in m.get("answers", [])]
        return pd.DataFrame(rows, columns=["claim", "answer", "numbers", "study"])


def read_scores(path: Path) -> pd.DataFrame:
    """A scores.csv, with a share_of_ceiling that is empty for official data. Raises DataError where it is not there."""
    try:
        table = pd.read_csv(path)
        return table.assign(share_of_ceiling=table.get("share_of_ceiling", np.nan))
    except FileNotFoundError:
        raise DataError(f"{path}: no scores yet; make them with: bash run_all.sh") from None
