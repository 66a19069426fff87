"""The only K-fold loop: which rows a model learns from and predicts, and the out-of-fold tables that come of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from smp import paths
from smp.disk.locks import locked
from smp.disk.store import read_table, write_table
from smp.errors import DataError
from smp.folds import months


@dataclass(frozen=True)
class Part:
    """One fit: positions in the posts table of the rows to learn from and of those to predict."""

    # fold<k>, month<yyyy-mm>, holdout (only where no fold is that already) or full (fitted on all labels, for the test)
    name: str
    train: np.ndarray
    query: np.ndarray
    month: bool = False  # later posts that are treated as the test is: their labels belong to no time block


def parts_of(posts: pd.DataFrame, folds: pd.DataFrame, n_months: int = 0) -> list[Part]:
    """The fits of one experiment. `folds` (smp.folds) names the labelled rows; every other row is test.

    n_months: of the last labelled months, each predicted from all earlier ones (smp.folds.months).
    """
    at = posts.index.get_indexer(folds.index)
    fold, holdout = folds["fold"].to_numpy(), folds["holdout"].to_numpy()
    parts = [Part(f"fold{k}", at[fold != k], at[fold == k]) for k in np.unique(fold)]
    if not np.array_equal(fold == fold.max(), holdout):  # the time scheme's last fold is the holdout itself
        parts.append(Part("holdout", at[~holdout], at[holdout]))
    parts += [Part(f"month{name}", earlier, own, month=True) for name, earlier, own in months(posts, n_months)]
    test = np.setdiff1d(np.arange(len(posts)), at)
    return [*parts, Part("full", at, test)]


def cross_fit(
    folder: Path, ids: pd.Index, parts: Sequence[Part], fit_predict: Callable[[Part], np.ndarray]
) -> dict[str, pd.DataFrame]:
    """Fit every part that has no file yet and return all predictions: part -> (post_id x seed) frame.

    `fit_predict(part)` returns (len(part.query), seeds). Each part is stored as `<part>.parquet`, renamed into place
    when whole, so that a killed run goes on at the first unfinished part. Several processes may call this on one
    folder: they share the parts. Raises DataError on a prediction that is not finite.
    """
    files = {p.name: folder / f"{p.name}.parquet" for p in parts}
    for wait in (False, True):  # first the parts that no other process is at, then those it has not finished
        todo = [p for p in parts if not files[p.name].exists()]
        if not todo:
            break
        for part in tqdm(todo, desc=folder.name, unit="fit", initial=len(parts) - len(todo), total=len(parts)):
            path = files[part.name]
            lock = path.with_name(f".{part.name}.lock")
            with locked(lock, wait=wait) as mine:
                if not mine or path.exists():
                    continue
                try:
                    pred = fit_predict(part)
                    if not np.isfinite(pred).all():
                        wrong = (~np.isfinite(pred)).sum()
                        raise DataError(f"{folder.name} {part.name}: {wrong} predictions are not finite")
                    columns = [f"seed{s}" for s in range(pred.shape[1])]
                    write_table(path, pd.DataFrame(pred, index=ids[part.query], columns=columns))
                finally:
                    lock.unlink(missing_ok=True)  # whoever gets it still looks for the part's file first
    return {name: read_table(path) for name, path in files.items()}


def write_predictions(folder: Path, folds: pd.DataFrame, predictions: dict[str, pd.DataFrame]) -> None:
    """Write `oof.parquet` (post_id, fold, pred) in the order of `folds`, and `test.parquet` (post_id, pred).

    Predictions of months, where there are any, go to `months.parquet` (post_id, month, pred).
    """
    oof = pd.concat([v for k, v in predictions.items() if k.startswith("fold")]).mean(axis=1)
    write_table(folder / "oof.parquet", folds[["fold"]].assign(pred=oof.reindex(folds.index)))
    write_table(folder / "test.parquet", predictions["full"].mean(axis=1).rename("pred").to_frame())
    by_month = {k.removeprefix("month"): v.mean(axis=1) for k, v in predictions.items() if k.startswith("month")}
    if by_month:
        table = pd.concat(by_month, names=["month"]).rename("pred").reset_index("month")
        write_table(folder / "months.parquet", table)


def finished(track: str, name: str) -> Path:
    """Folder of a finished experiment. Raises DataError naming the command that makes it."""
    folder = paths.output(track) / name
    if not (folder / "metrics.json").exists():
        script, _, variant = name.partition("@")
        option = f" --variant {variant}" if variant else ""
        raise DataError(f"{folder}: not finished; make it with: python exp/{script}/train.py{option}")
    return folder


def load_months(track: str, experiments: Sequence[str]) -> pd.DataFrame:
    """Finished experiments' predictions of the last months, each from earlier ones: (post_id) x month, experiment...

    Raises DataError where an experiment is unfinished or predicted other posts.
    """
    found = None
    for name in experiments:
        path = finished(track, name) / "months.parquet"
        if not path.exists():
            raise DataError(f"{path}: no such predictions; make the experiment again with --force")
        table = read_table(path).rename(columns={"pred": name})
        if found is not None and not (found.index.equals(table.index) and found["month"].equals(table["month"])):
            raise DataError(f"{path}: other posts or months than {experiments[0]}'s; make it again with --force")
        found = table if found is None else found.assign(**{name: table[name]})
    return found


def load_oof(
    track: str, experiments: Sequence[str], folds: pd.DataFrame, posts: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Level-1 predictions of finished experiments: labelled posts x experiment, and test posts x experiment.

    Rows come in the order of `folds` and of the test rows of `posts`, matched by id. Raises DataError where an
    experiment is unfinished (naming the command that makes it), used other folds, lacks a post or is not finite.
    """
    oof, test = {}, {}
    test_ids = posts.index[posts["label"].isna()]
    for name in experiments:
        folder = finished(track, name)
        table, later = read_table(folder / "oof.parquet"), read_table(folder / "test.parquet")
        if not table.index.is_unique or not later.index.is_unique:
            raise DataError(f"{folder}/oof.parquet: a post is there twice; make it again with --force")
        table, later = table.reindex(folds.index), later.reindex(test_ids)
        if not (np.isfinite(table["pred"]).all() and np.isfinite(later["pred"]).all()):
            raise DataError(
                f"{folder}/oof.parquet: lacks posts of the fold table or is not finite; --force makes it again"
            )
        if not np.array_equal(table["fold"], folds["fold"]):
            raise DataError(f"{folder}/oof.parquet: made under other folds; make it again with --force")
        oof[name], test[name] = table["pred"], later["pred"]
    return pd.DataFrame(oof), pd.DataFrame(test)
