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
    def metric_names(self) -> list[str]:
        return [m.name for m in tracks.get(self.track).task.metrics]

    @property
    def main_metric(self) -> str:
        return self.metric_names[0]

    @cached_property
    def final(self) -> str:
        """The experiment the submission is made from; before it is finished, the best on the holdout; or empty."""
        final = tracks.get(self.track).final
        if final in self.metrics or self.scores.empty:
            return final if final in self.metrics else ""
        ordered = self.scores.sort_values(f"holdout_{self.main_metric}", ascending=self.main_metric != "src")
        return ordered["experiment"].iloc[0]

    @cached_property
    def data(self) -> Data:
        return load_data(self.track)

    @cached_property
    def posts(self) -> pd.DataFrame:
        """The items with their label, to be shown side by side."""
        return self.data.items.assign(label=self.data.labels)

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """Labelled posts with the final experiment's out-of-fold prediction.

        Columns: time, category (where there is one), fold, holdout, label, pred, error (as the track is scored:
        absolute, or relative for videos), seen (the user has posts among those the prediction was learnt from).
        """
        oof, folds = read_table(self.folder / self.final / "oof.parquet"), read_table(paths.fold_table(self.track))
        rows = self.posts.loc[folds.index]
        table = rows[["time", "label"]].assign(fold=folds["fold"], holdout=folds["holdout"], pred=oof["pred"])
        if rows["category"].notna().any():
            table["category"] = rows["category"].astype("str")
        table["error"] = tracks.get(self.track).task.item_loss(table["label"].to_numpy(), table["pred"].to_numpy())
        user = rows["user_id"].cat.codes.to_numpy()
        in_fold = pd.Series(1, index=[user, table["fold"]]).groupby(level=[0, 1]).sum()
        own = in_fold.reindex(pd.MultiIndex.from_arrays([user, table["fold"]])).to_numpy()
        table["seen"] = np.bincount(user, minlength=user.max() + 1)[user] > own
        return table

    @cached_property
    def test(self) -> pd.Series:
        """The final experiment's predictions of the test posts."""
        return read_table(self.folder / self.final / "test.parquet")["pred"]

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
