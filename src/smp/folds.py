"""The one fold table of a track: which fold a labelled post is predicted in, and whether it belongs to the holdout."""

from typing import Literal

import numpy as np
import pandas as pd

from smp import paths
from smp.disk.store import read_table, write_table
from smp.errors import DataError

Scheme = Literal["time", "user", "random"]
N_FOLDS = 5


def time_blocks(time: pd.Series, n_blocks: int = N_FOLDS) -> np.ndarray:
    """(n,) int8: contiguous blocks of near-equal size, 0 the earliest; posts of one moment share a block."""
    first_of_moment = time.rank(method="min").to_numpy().astype(np.int64) - 1
    return (first_of_moment * n_blocks // max(len(time), 1)).astype(np.int8)


def make_folds(posts: pd.DataFrame, scheme: Scheme = "time", seed: int = 0) -> pd.DataFrame:
    """Folds of the labelled rows of `posts`.

    Returns a frame indexed by post_id with `fold` (0..N_FOLDS-1) and `holdout` (the last block in time, whatever the
    scheme). `time`: contiguous blocks, as the test lies after the train. `user`: no user in two folds. `random`: the
    optimistic one. Raises DataError when the posts do not fill every fold.
    """
    from sklearn.model_selection import GroupKFold, KFold

    train = posts[posts["label"].notna()]
    block = time_blocks(train["time"])
    try:
        fold = block
        if scheme != "time":
            users = train["user_id"].cat.codes if scheme == "user" else None
            splitter = (KFold if users is None else GroupKFold)(N_FOLDS, shuffle=True, random_state=seed)
            fold = np.empty(len(train), np.int8)
            for k, (_, rows) in enumerate(splitter.split(train, groups=users)):
                fold[rows] = k
        filled = len(np.unique(fold)) == len(np.unique(block)) == N_FOLDS
    except ValueError:  # scikit-learn: fewer posts or users than folds
        filled = False
    if not filled:
        raise DataError(
            f"train split: {len(train)} posts by {train['user_id'].nunique()} users at {train['time'].nunique()} "
            f"moments do not fill {N_FOLDS} folds of scheme '{scheme}'; use a larger train split or another scheme"
        )
    return pd.DataFrame({"fold": fold, "holdout": block == N_FOLDS - 1}, index=train.index)


def load_folds(track: str, posts: pd.DataFrame, scheme: Scheme = "time") -> pd.DataFrame:
    """The track's stored fold table, made on the first call. Raises DataError when it was made for other posts."""
    path = paths.fold_table(track, scheme)
    if not path.exists():
        write_table(path, make_folds(posts, scheme))
    folds = read_table(path)
    if not folds.index.equals(posts.index[posts["label"].notna()]):
        raise DataError(f"{path}: made for other posts; delete it, and the experiments that used it, and run again")
    return folds


def months(posts: pd.DataFrame, count: int) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Expanding cuts: the last `count` calendar months (UTC) with labels, oldest first, each as (name, earlier, own).

    earlier, own: positions of the labelled posts before the month and in it. The first labelled month is never used,
    as nothing comes before it.
    """
    day = posts["time"].to_numpy("datetime64[s]")
    month, shown = day.astype("datetime64[M]"), posts["label"].notna().to_numpy()
    last = np.unique(month[shown])[1:][-count:] if count else []
    return [(str(m), np.flatnonzero(shown & (month < m)), np.flatnonzero(shown & (month == m))) for m in last]


def label_blocks(posts: pd.DataFrame, train: np.ndarray | None = None) -> np.ndarray:
    """(n,) int8: the time block of every labelled post and N_FOLDS for the rest, for features made from labels.

    train: positions of the labelled posts to divide into blocks, where not all: then every other post counts as later.
    """
    block = np.full(len(posts), N_FOLDS, np.int8)
    train = np.flatnonzero(posts["label"].notna()) if train is None else train
    block[train] = time_blocks(posts["time"].iloc[train])
    return block
