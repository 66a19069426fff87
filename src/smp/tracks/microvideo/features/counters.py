"""What the observed snapshots say: levels of the counters, how fast they rise, and how long ago that was seen."""

import numpy as np
import pandas as pd

from smp.tracks.microvideo.read import COUNTERS
from smp.tracks.microvideo.snapshots import Snapshots

TRAJECTORY = (
    *("views", "views_an_hour", "views_slope", "views_a_day", "likes_share", "comments_share", "likes_a_day"),
    *("age", "ahead"),
)


def counters(items: pd.DataFrame, events: pd.DataFrame) -> pd.DataFrame:
    """The family `counters`: one row a video, logarithms to base 2, NaN where hidden or where one is too few.

    snapshots, their first and last age (h), silence since, ahead: hours to the age asked for, log_ahead: of the ratio
    of both ages, an hour more each. Of each counter its last level, `_an_hour` (of its life), the first level, and of
    the last two snapshots `_step`, `_a_day` and `_slope` (against the logarithm of age); of views also `_turn`, how the
    slope changed; shares of likes and comments in views and their steps; falls: snapshots with fewer views than the one
    before.
    """
    seen, table = Snapshots.of(items, events), {}
    age = _at(seen.age, (last := seen.place(0)))
    age_before, age_first = (
        _at(seen.age, (before := seen.place(1))),
        _at(seen.age, np.where(last < 0, -1, seen.start[:-1])),
    )
    horizon = items["horizon"].to_numpy(np.float64)
    table |= {"snapshots": seen.count, "age": age, "age_first": age_first}
    table |= {
        "silence": items["observation"] - age,
        "ahead": horizon - age,
        "log_ahead": np.log2((horizon + 1) / (age + 1)),
    }
    first = np.where(last < 0, -1, seen.start[:-1])
    ratio = np.log2((age + 1) / (age_before + 1))
    for j, name in enumerate(COUNTERS):
        log = seen.logs[:, j]
        level, earlier = _at(log, last), _at(log, before)
        table |= {name: level, f"{name}_an_hour": level - np.log2(1 + age), f"{name}_first": _at(log, first)}
        table |= {f"{name}_step": level - earlier, f"{name}_slope": (level - earlier) / ratio}
        table[f"{name}_a_day"] = 24 * (level - earlier) / (age - age_before)
    third = seen.place(2)
    slope = (_at(seen.logs[:, 0], before) - _at(seen.logs[:, 0], third)) / np.log2(
        (age_before + 1) / (_at(seen.age, third) + 1)
    )
    table["views_turn"] = table["views_slope"] - slope
    for name in COUNTERS[1:3]:
        table[f"{name}_share"] = table[name] - table["views"]
        table[f"{name}_share_step"] = table[f"{name}_step"] - table["views_step"]
    fell = np.append(np.diff(seen.logs[:, 0]) < 0, False) & np.append(np.diff(seen.video) == 0, False)
    table["falls"] = np.bincount(seen.video[fell], minlength=len(items))
    return pd.DataFrame(table, index=items.index).astype(np.float32)


def trajectory(items: pd.DataFrame, events: pd.DataFrame) -> pd.DataFrame:
    """The family `trajectory`: the columns of `counters` that tell how a video does, by which alike ones are found."""
    return counters(items, events)[list(TRAJECTORY)].add_prefix("trajectory_")


def level(items: pd.DataFrame) -> pd.DataFrame:
    """The family `level`: log2(1 + views) of the last observed snapshot alone."""
    return items[["last"]].astype(np.float32)


def _at(values: np.ndarray, place: np.ndarray) -> np.ndarray:
    """(n,) the values at each place, NaN at -1."""
    return np.where(place < 0, np.nan, np.append(values, np.nan)[place])
