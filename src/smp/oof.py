"""The only K-fold loop: which rows a model learns from and predicts, and the prediction tables that come of it."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from smp import paths
from smp.disk.locks import locked
from smp.disk.store import read_table, write_table
from smp.errors import DataError
from smp.folds import label_blocks, months, split_blocks
from smp.progress import progress
from smp.tracks.base import Data, Split

log = logging.getLogger("smp")
LEAST = 20  # rows that a part learns from, whether or not their labels were known


@dataclass(frozen=True, eq=False)
class Part:
    """One fit: positions in the data of the rows to learn from and of those to predict.

    fold: a fold of the table, from all others (key: its number). holdout: the last block in time from all earlier ones;
    under scheme `time` it is the last fold too, and where forward parts are blocks it is the last of them. forward:
    an earlier such part (key: the block's number, or the month). full: the test from all labels. inner: a part that
    never leaves the fit it belongs to. unknown: how many of the labels learnt from were not known before the first row
    asked, where too few were.
    """

    kind: Literal["fold", "holdout", "forward", "full", "inner"]
    key: str
    train: np.ndarray
    query: np.ndarray
    unknown: int = 0

    @property
    def name(self) -> str:
        return f"{self.kind}{self.key}"

    def label_blocks(self, data: Data, n_blocks: int) -> np.ndarray:
        """(n,) the time block of every item, for features made from labels (smp.folds.label_blocks).

        What a part predicts lies later than all it learns from and belongs to no block, as the test does; but a fold
        stands between others, in its place.
        """
        return label_blocks(data, np.flatnonzero(data.labelled) if self.kind == "fold" else self.train, n_blocks)


Made = list[tuple[Part, pd.DataFrame]]  # parts with their predictions: post_id x seed (of each label, where several)


def parts_of(data: Data, folds: pd.DataFrame, split: Split) -> list[Part]:
    """The fits of one experiment. `folds` (smp.folds) names the labelled rows; every other row is test.

    Raises DataError where no label was known before the holdout.
    """
    at, time = data.ids.get_indexer(folds.index), data.items["time"]
    is_rolling = (folds["fold"] < 0).any()
    fold, holdout = folds["fold"].to_numpy(), folds["holdout"].to_numpy()
    apart = [k for k in np.unique(fold) if not (is_rolling or np.array_equal(fold == k, holdout))]
    cuts = [("fold", str(k), at[fold != k], at[fold == k]) for k in apart]
    cuts.append(("holdout", "", at[~holdout], at[holdout]))
    if split.forward == "months":
        cuts += [("forward", *month) for month in months(data, split.months)]
    else:
        block = split_blocks(time.iloc[at], split)
        cuts += [("forward", str(b), at[block < b], at[block == b]) for b in range(1, split.blocks - 1)]
    parts = [_honest(Part(*cut), data.items, split) for cut in cuts]
    return [*parts, Part("full", "", at, np.setdiff1d(np.arange(len(data)), at))]


def _honest(part: Part, items: pd.DataFrame, split: Split) -> Part:
    """Without copies of what is asked, and learning from rows alone whose label was known before the first of those, or
    that lie after it.

    From all where that leaves fewer than LEAST, as where labels take longer than the data last: `unknown` says so.
    """
    train, query = part.train, part.query
    if split.copies:
        of = items[split.copies]
        train = train[~of.iloc[train].isin(of.iloc[query].unique()).to_numpy()]
    if split.purge is None:
        return replace(part, train=train)
    start, when = items["time"].iloc[query].min(), items["time"].iloc[train]
    known = items[split.purge].iloc[train] if isinstance(split.purge, str) else when + split.purge
    kept = train[((when >= start) | (known <= start)).to_numpy()]
    if len(kept) >= min(LEAST, len(train)):
        return replace(part, train=kept)
    if part.kind == "holdout" and not len(kept):
        raise DataError(
            f"no label of the {len(train)} items before {items.index[query[0]]} ({start:%Y-%m-%d %H:%M}), the first of "
            "the holdout, was known by then; use data that last longer, or labels that take less time"
        )
    log.warning("%s: only %d of %d labels were known by then: learns from all", part.name, len(kept), len(train))
    return replace(part, train=train, unknown=len(train) - len(kept))


def holdout_of(parts: Sequence[Part]) -> Part:
    """The one part of kind holdout."""
    return next(part for part in parts if part.kind == "holdout")


def fold_parts(parts: Sequence[Part]) -> list[Part]:
    """The parts that together predict every labelled row once: the folds, the holdout among them where it is one.

    Of a rolling split the forward parts, which leave out the first block.
    """
    kind, last = "fold" if any(p.kind == "fold" for p in parts) else "forward", holdout_of(parts)
    folds = [p for p in parts if p.kind == kind]
    is_fold = not folds or not np.isin(last.query[0], np.concatenate([p.query for p in folds]))
    return [*folds, last] if is_fold else folds


def forward_parts(parts: Sequence[Part], split: Split) -> dict[str, Part]:
    """The parts that predict later rows from earlier ones, in the order of time, by key."""
    found = {p.key: p for p in parts if p.kind == "forward"}
    return found | ({str(split.blocks - 1): holdout_of(parts)} if split.forward == "blocks" else {})


def choosing_parts(parts: Sequence[Part]) -> list[Part]:
    """What may be looked at to choose anything: the forward parts, as inner parts, without a row of the holdout.

    Raises DataError where there is none.
    """
    before = holdout_of(parts).train
    kept = [Part("inner", p.key, p.train, np.intersect1d(p.query, before)) for p in parts if p.kind == "forward"]
    kept = [p for p in kept if len(p.query)]
    if not kept:
        raise DataError("no forward part lies before the holdout, so nothing can be chosen on one; use more posts")
    return kept


def cross_fit(folder: Path, ids: pd.Index, parts: Sequence[Part], fit_predict: Callable[[Part], np.ndarray]) -> Made:
    """Fit every part that has no file yet and return all parts with their predictions.

    `fit_predict(part)` returns (len(part.query), seeds), or (len(part.query), seeds, k) of k labels. Each part is
    stored as `<part>.parquet`, renamed into place when whole, so that a killed run goes on at the first unfinished
    part. Several processes may call this on one folder: they share the parts. Raises DataError on a prediction that is
    not finite.
    """
    files = {p.name: folder / f"{p.name}.parquet" for p in parts}
    for wait in (False, True):  # first the parts that no other process is at, then those it has not finished
        todo = [p for p in parts if not files[p.name].exists()]
        if not todo:
            break
        for part in progress(todo, desc=folder.name, unit="fit", initial=len(parts) - len(todo), total=len(parts)):
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
                    names = [f"seed{s}" for s in range(pred.shape[1])]
                    if pred.ndim == 3:
                        names = [f"{name}_{j}" for name in names for j in range(pred.shape[2])]
                    table = pd.DataFrame(pred.reshape(len(pred), len(names)), index=ids[part.query], columns=names)
                    write_table(path, table)
                finally:
                    lock.unlink(missing_ok=True)  # whoever gets it still looks for the part's file first
    return [(part, read_table(files[part.name])) for part in parts]


def by_seed(table: pd.DataFrame, labels: np.ndarray) -> np.ndarray:
    """The predictions of a part: (q, seeds), or (q, seeds, k) where labels are (n, k)."""
    return table.to_numpy().reshape(len(table), table.shape[1] // labels[:1].size, *labels.shape[1:])


def write_predictions(folder: Path, data: Data, folds: pd.DataFrame, split: Split, made: Made) -> None:
    """Write `oof.parquet` (post_id, fold, pred) in the order of `folds`, `forward.parquet` (post_id, part, pred) and
    `test.parquet` (post_id, pred), the mean over seeds; of k labels pred0, pred1, ...
    """
    parts, of_part = [part for part, _ in made], {}
    for part, table in made:
        mean = by_seed(table, data.labels).mean(axis=1).reshape(len(table), data.labels[:1].size)
        names = ["pred"] if data.labels.ndim == 1 else [f"pred{j}" for j in range(mean.shape[1])]
        of_part[part] = pd.DataFrame(mean, index=table.index, columns=names)
    oof = pd.concat([of_part[p] for p in fold_parts(parts)]).reindex(folds.index)
    write_table(folder / "oof.parquet", folds[["fold"]].join(oof)[folds["fold"] >= 0])
    forward = [of_part[p].assign(part=key) for key, p in forward_parts(parts, split).items()]
    if forward:
        write_table(folder / "forward.parquet", pd.concat(forward).iloc[:, np.r_[-1, : len(names)]])
    write_table(folder / "test.parquet", next(table for part, table in of_part.items() if part.kind == "full"))


def finished(track: str, name: str) -> Path:
    """Folder of a finished experiment. Raises DataError naming the command that makes it."""
    folder = paths.output(track) / name
    if not (folder / "metrics.json").exists():
        script, _, variant = name.partition("@")
        option = f" --variant {variant}" if variant else ""
        raise DataError(f"{folder}: not finished; make it with: python exp/{script}/train.py{option}")
    return folder


def load_forward(track: str, experiments: Sequence[str]) -> tuple[pd.Series, pd.DataFrame]:
    """Finished experiments' predictions of later rows from earlier ones: the part of each row, and rows x experiment
    (x label, where there are several), both by post_id.

    Raises DataError where an experiment is unfinished or predicted other posts.
    """
    part, found = None, {}
    for name in experiments:
        path = finished(track, name) / "forward.parquet"
        if not path.exists():
            raise DataError(f"{path}: no such predictions; make the experiment again with --force")
        found[name] = read_table(path)
        own = found[name].pop("part")
        if not np.isfinite(found[name].to_numpy()).all():
            raise DataError(f"{path}: holds predictions that are not finite; make the experiment again with --force")
        if part is not None and not (own.index.equals(part.index) and own.equals(part)):
            raise DataError(f"{path}: other posts or parts than {experiments[0]}'s; make it again with --force")
        part = own
    return part, _beside(found)


def load_oof(
    track: str, experiments: Sequence[str], folds: pd.DataFrame, data: Data
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Level-1 predictions of finished experiments: labelled posts x experiment, and test posts x experiment (each x
    label, where there are several).

    Rows come in the order of `folds`, without fold -1, and of the test rows, matched by id. Raises DataError where an
    experiment is unfinished (naming the command that makes it), used other folds, lacks a post or is not finite.
    """
    oof, test = {}, {}
    test_ids, folds = data.ids[~data.labelled], folds[folds["fold"] >= 0]
    for name in experiments:
        folder = finished(track, name)
        table, later = read_table(folder / "oof.parquet"), read_table(folder / "test.parquet")
        if not table.index.is_unique or not later.index.is_unique:
            raise DataError(f"{folder}/oof.parquet: a post is there twice; make it again with --force")
        table, later = table.reindex(folds.index), later.reindex(test_ids)
        fold = table.pop("fold")
        if not (np.isfinite(table.to_numpy()).all() and np.isfinite(later.to_numpy()).all()):
            raise DataError(
                f"{folder}/oof.parquet: lacks posts of the fold table or is not finite; --force makes it again"
            )
        if not np.array_equal(fold, folds["fold"]):
            raise DataError(f"{folder}/oof.parquet: made under other folds; make it again with --force")
        oof[name], test[name] = table, later
    return _beside(oof), _beside(test)


def _beside(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One column an experiment, or one an experiment and label."""
    several = any(table.shape[1] > 1 for table in tables.values())
    return pd.concat(tables, axis=1) if several else pd.DataFrame({n: t.iloc[:, 0] for n, t in tables.items()})
