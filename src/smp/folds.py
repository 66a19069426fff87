"""The one fold table of a track: which fold a labelled item is predicted in, and whether it belongs to the holdout."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd

from smp import paths, tracks
from smp.disk.store import read_table, write_table
from smp.errors import DataError
from smp.tracks.base import Data, Split

Scheme = Literal["time", "user", "random"]


def time_blocks(time: pd.Series, n_blocks: int, shares: Sequence[float] = ()) -> np.ndarray:
    """(n,) int8: contiguous blocks, 0 the earliest, of near-equal size or the shares given; a moment lies in one.

    Equal blocks nest: those of a multiple of n_blocks lie inside these.
    """
    first_of_moment = time.rank(method="min").to_numpy().astype(np.int64) - 1
    if shares:
        cuts = np.round(np.cumsum(shares[:-1]) * len(time))
        return np.searchsorted(cuts, first_of_moment, side="right").astype(np.int8)
    return (first_of_moment * n_blocks // max(len(time), 1)).astype(np.int8)


def split_blocks(time: pd.Series, split: Split) -> np.ndarray:
    """(n,) int8: the blocks that a track's split cuts the times of its labelled items into."""
    if split.of == "items":
        return time_blocks(time, split.blocks, split.shares)
    moments, at = np.unique(time.to_numpy("datetime64[s]"), return_inverse=True)
    return time_blocks(pd.Series(moments), split.blocks, split.shares)[at]


def make_folds(data: Data, split: Split, scheme: Scheme = "time", seed: int = 0) -> pd.DataFrame:
    """Folds of the labelled items.

    Returns a frame indexed by post_id with `fold` (0..split.blocks-1) and `holdout` (the last block in time, whatever
    the scheme). `time`: contiguous blocks, as the test lies after the train; of a rolling split the first is no fold
    but -1. `user`: no user in two folds. `random`:
    the optimistic one. Raises DataError when the items do not fill every fold.
    """
    from sklearn.model_selection import GroupKFold, KFold

    train, k = data.items[data.labelled], split.blocks
    block = split_blocks(train["time"], split)
    try:
        fold = np.where(block == 0, -1, block) if split.rolling else block
        if scheme != "time":
            users = data.users[data.labelled] if scheme == "user" else None
            splitter = (KFold if users is None else GroupKFold)(k, shuffle=True, random_state=seed)
            fold = np.empty(len(train), np.int8)
            for number, (_, rows) in enumerate(splitter.split(train, groups=users)):
                fold[rows] = number
        filled = len(np.unique(fold)) == len(np.unique(block)) == k
    except ValueError:  # scikit-learn: fewer items or users than folds
        filled = False
    if not filled:
        raise DataError(
            f"train split: {len(train)} posts by {train['user_id'].nunique()} users at {train['time'].nunique()} "
            f"moments do not fill {k} folds of scheme '{scheme}'; use a larger train split or another scheme"
        )
    return pd.DataFrame({"fold": fold, "holdout": block == k - 1}, index=train.index)


def load_folds(track: str, data: Data, scheme: Scheme = "time") -> pd.DataFrame:
    """The track's stored fold table, made on the first call. Raises DataError when it was made for other posts."""
    path = paths.fold_table(track, scheme)
    if not path.exists():
        write_table(path, make_folds(data, tracks.get(track).split, scheme))
    folds = read_table(path)
    if not folds.index.equals(data.ids[data.labelled]):
        raise DataError(f"{path}: made for other posts; delete it, and the experiments that used it, and run again")
    return folds


def months(data: Data, count: int) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Expanding cuts: the last `count` calendar months (UTC) with labels, oldest first, each as (name, earlier, own).

    earlier, own: positions of the labelled items before the month and in it. The first labelled month is never used,
    as nothing comes before it.
    """
    day = data.items["time"].to_numpy("datetime64[s]")
    month, shown = day.astype("datetime64[M]"), data.labelled
    last = np.unique(month[shown])[1:][-count:] if count else []
    return [(str(m), np.flatnonzero(shown & (month < m)), np.flatnonzero(shown & (month == m))) for m in last]


def label_blocks(data: Data, rows: np.ndarray, n_blocks: int) -> np.ndarray:
    """(n,) int8: the time block of the items at positions `rows`, and n_blocks for all others, which count as later.

    For features made from labels: a row sees those of blocks before its own.
    """
    block = np.full(len(data), n_blocks, np.int8)
    block[rows] = time_blocks(data.items["time"].iloc[rows], n_blocks)
    return block


def label_level(data: Data, rows: np.ndarray, n_blocks: int) -> np.ndarray:
    """The level of the labels at the time of every item, learnt from the positions `rows`; (n,) or (n, k).

    The mean label of each of n_blocks blocks in time, linear between the middles of neighbouring blocks and flat before
    the first and after the last: what a model of the label less its level adds to its predictions of later posts.
    """
    time, y = data.items["time"].to_numpy("datetime64[s]").astype(np.float64), data.labels[rows]
    block = time_blocks(data.items["time"].iloc[rows], n_blocks)
    middle = [time[rows][block == b].mean() for b in np.unique(block)]
    means = np.stack([y[block == b].mean(axis=0) for b in np.unique(block)])
    columns = [np.interp(time, middle, column) for column in means.reshape(len(means), -1).T]
    return np.stack(columns, axis=1).reshape(len(time), *y.shape[1:])
