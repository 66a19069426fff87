"""How a channel's earlier videos grew, as far as that was known when a video's observation ended."""

import numpy as np
import pandas as pd


def channel(items: pd.DataFrame, y: np.ndarray, block: np.ndarray, seed: int) -> pd.DataFrame:
    """The family `channel`, of the labels that are shown: count (log1p), mean, sd and last growth, and the mean level
    (log2 views) that it started from, of the channel's videos whose label was known before this one is asked.

    y (n,) NaN where a label is hidden. What was known decides, not the block; a video never sees itself, for its own
    label comes after it is asked.
    """
    owner = items["user_id"].cat.codes.to_numpy().astype(np.int64)
    known, asked = (items[name].to_numpy("datetime64[s]").astype(np.int64) for name in ("known", "asked"))
    shown = np.flatnonzero(np.isfinite(y))
    shown = shown[np.lexsort((known[shown], owner[shown]))]
    low = min(known.min(initial=0), asked.min(initial=0))
    span = max(known.max(initial=0), asked.max(initial=0)) - low + 2
    key = owner[shown] * span + known[shown] - low
    first, end = np.searchsorted(key, owner * span), np.searchsorted(key, owner * span + asked - low)
    count = end - first

    def mean(values: np.ndarray) -> np.ndarray:
        total = np.concatenate([[0.0], np.cumsum(values[shown])])
        return np.divide(total[end] - total[first], count, out=np.full(len(items), np.nan), where=count > 0)

    middle = mean(y)
    table = {
        "count": np.log1p(count),
        "mean": middle,
        "sd": np.where(count > 1, np.sqrt(np.maximum(mean(y**2) - middle**2, 0)), np.nan),
        "last": np.where(count > 0, np.append(y[shown], np.nan)[np.where(count > 0, end - 1, -1)], np.nan),
        "level": mean(items["last"].to_numpy(np.float64)),
    }
    return pd.DataFrame(table, index=items.index, dtype=np.float32).add_prefix("channel_")
