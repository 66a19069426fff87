"""How far a prediction may be off: split-conformal intervals of the errors that forward predictions made.

Later posts are predicted by models of earlier ones, as a new post is; the quantile of their absolute errors is the
half-width that covers so many (Vovk et al., Algorithmic Learning in a Random World, 2005; apart for users with and
without a known label, as Mondrian predictors do). An error counts by the rows that its model learnt from, as in the
fusion: earlier models err more than the one that is asked in the end (weights: Barber et al., Conformal prediction
beyond exchangeability, Annals of Statistics 2023). No library is asked: of predictions that are there it is a quantile.
"""

import math

import numpy as np
import pandas as pd

from smp import tracks
from smp.disk.store import read_table
from smp.folds import load_folds
from smp.oof import finished, forward_parts, holdout_of, load_forward, parts_of
from smp.tracks.base import Data

LEVEL = 0.8  # share of later posts that an interval is to cover
FEWEST = 100  # errors that a group has a quantile of its own from; of fewer that of all is taken
NAMES = {True: "seen", False: "unseen"}  # whether the user has an earlier labelled post


def forward_errors(track: str, experiment: str, data: Data) -> pd.DataFrame:
    """The errors of predictions made from earlier posts alone; index post_id, twice where two such parts hold a post.

    Columns: error (label less prediction), user (a number, -1 for none), seen (the user has a post among those learnt
    from), learnt (how many these are), holdout. The holdout's are those of its own part; what else lies in its time
    (months) is left out.
    """
    folds, split = load_folds(track, data), tracks.get(track).split
    parts = parts_of(data, folds, split)
    last, oof = holdout_of(parts), read_table(finished(track, experiment) / "oof.parquet")["pred"]
    keys, forward = load_forward(track, [experiment])
    made = [(p, forward.iloc[:, 0][(keys == key).to_numpy()]) for key, p in forward_parts(parts, split).items()]
    made = [(p, pred[pred.index.isin(data.ids[last.train])], False) for p, pred in made if p is not last]
    tables = []
    for part, pred, is_holdout in [*made, (last, oof.reindex(data.ids[last.query]), True)]:
        rows = data.ids.get_indexer(pred.index)
        is_seen = seen(data, rows, part.train)
        table = pd.DataFrame({"error": data.labels[rows] - pred, "user": data.users[rows], "seen": is_seen})
        tables.append(table.assign(learnt=len(part.train), holdout=is_holdout))
    return pd.concat(tables)


def seen(data: Data, rows: np.ndarray, train: np.ndarray) -> np.ndarray:
    """(q,) bool: whether the users of the positions `rows` have posts among the positions `train`."""
    user = data.users
    return np.isin(user[rows], user[train]) & (user[rows] >= 0)


def half_widths(errors: pd.DataFrame) -> dict[bool, float]:
    """By whether the user was seen: what the absolute error stays within in LEVEL of all cases; inf without errors."""
    widths = {}
    for is_seen in (True, False):
        own = errors[errors["seen"] == is_seen]
        own = (own if len(own) >= FEWEST else errors).assign(error=lambda t: t["error"].abs()).sort_values("error")
        weight = np.cumsum(own["learnt"].to_numpy())
        wanted = LEVEL * (weight[-1] + own["learnt"].max()) if len(own) else 0  # the one more is the post to come
        at = np.searchsorted(weight, wanted)
        widths[is_seen] = float(own["error"].iloc[at]) if at < len(own) else math.inf
    return widths


def coverage(errors: pd.DataFrame) -> pd.DataFrame:
    """How many posts of the holdout lie in intervals made of the forward errors before it, by users seen and unseen.

    Columns: users, posts, calibrated_on (errors), half_width, coverage; coverage_se is its standard error
    over users, whose posts are alike.
    """
    before, last = errors[~errors["holdout"]], errors[errors["holdout"]]
    widths, rows = half_widths(before), []
    inside = last["error"].abs() <= last["seen"].map(widths)
    for name, own, earlier in (
        ("all", slice(None), slice(None)),
        *((NAMES[s], (last["seen"] == s).to_numpy(), (before["seen"] == s).to_numpy()) for s in (True, False)),
    ):
        if posts := len(found := inside[own]):
            share, user = found.mean(), last["user"][own].to_numpy()
            user = np.where(user < 0, user.max() + 1 + np.arange(posts), user)  # a post of no user is its own
            of_user = np.bincount(np.unique(user, return_inverse=True)[1], found - share)
            rows.append(
                {
                    "users": name,
                    "posts": posts,
                    "calibrated_on": len(before[earlier]),
                    "half_width": last["seen"][own].map(widths).mean(),
                    "coverage": share,
                    "coverage_se": float((of_user**2).sum() ** 0.5 / posts),
                }
            )
    return pd.DataFrame(rows)
