"""The stream a post swims in: how densely posts of the same key come before it, after it and around it."""

import numpy as np
import pandas as pd

from smp.features.keys import keys
from smp.features.tags import arrow, encode
from smp.features.time_place import seconds

BEFORE = (1, 3, 10, 30)  # how many posts of the key back
AFTER = (1, 3, 10)
WINDOWS = {"hour": 3600, "day": 86_400, "week": 7 * 86_400}
KEYS = (
    *("category", "subcategory", "concept", "user", "title", "tag_1", "tag_2"),
    *("concept_tags", "subcategory_tags"),
)


def build(posts: pd.DataFrame) -> pd.DataFrame:
    """One row a post, float32, from times and keys (smp.features.keys) of train and test alone, no label.

    For all posts and for the posts of each of KEYS: stream_<key>_since<k>, ln(1 + seconds since the k-th earlier post
    of the key); _until<k>, to the k-th later one; _hour, _day, _week, ln(1 + posts of the key so long before this one);
    _today, ln(1 + its posts on this UTC day). For each of KEYS too _rate, ln of how many times longer its last 10 posts
    took than the last 10 of all. NaN where there is no such post, or the post has no key. Posts of one moment stand in
    the order of their ids. Time and memory go with posts x keys.
    """
    time = seconds(posts["time"]).astype(np.int64)
    order = np.lexsort((encode(arrow(posts.index.to_series()))[0], time))
    codes = keys(posts)
    every = _of_key(np.zeros(len(posts), np.int64), time, order)
    columns = {f"stream_all_{name}": values for name, values in every.items()}
    for key in KEYS:
        found = _of_key(codes[key], time, order)
        found["rate"] = found["since10"] - every["since10"]
        columns |= {f"stream_{key}_{name}": values for name, values in found.items()}
    return pd.DataFrame(columns, index=posts.index)


def _of_key(code: np.ndarray, time: np.ndarray, order: np.ndarray) -> dict[str, np.ndarray]:
    """The columns of one key; code (n,) with -1 = none, time (n,) s, order (n,) rows by time."""
    rows = order[np.argsort(code[order], kind="stable")]
    rows = rows[np.searchsorted(code[rows], 0) :]  # without those that have no key
    group, at = code[rows], time[rows]
    columns = {}
    for k in BEFORE:
        columns[f"since{k}"] = _gap(group, at, k)
    for k in AFTER:
        columns[f"until{k}"] = _gap(group[::-1], -at[::-1], k)[::-1]
    first, last = time.min(initial=0), time.max(initial=0)
    width = last - first + max(WINDOWS.values()) + 1  # posts of one key lie further from the next than any window
    line = group * width + (at - first)
    for name, length in WINDOWS.items():
        columns[name] = np.arange(len(rows)) - np.searchsorted(line, line - length)
    day = group * (last // 86_400 - first // 86_400 + 1) + (at // 86_400 - first // 86_400)
    columns["today"] = np.searchsorted(day, day, side="right") - np.searchsorted(day, day)
    out = {name: np.full(len(code), np.nan, np.float32) for name in columns}
    for name, values in columns.items():
        out[name][rows] = np.log1p(values)
    return out


def _gap(group: np.ndarray, at: np.ndarray, k: int) -> np.ndarray:
    """(m,) seconds since the k-th element before, NaN where that is of another group."""
    gap = np.full(len(group), np.nan)
    same = group[k:] == group[:-k]
    gap[k:][same] = (at[k:] - at[:-k])[same]
    return gap
