"""What was requested in which window, looked up for any object at any window before the one that is ranked."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

FASTER, SLOWER = 2.0, 8.0  # half-lives of a series' decayed counts, windows
REACH = 32  # windows before a series that its decayed counts begin at
MARKS = 5  # numbers of a series' step


@dataclass(frozen=True)
class History:
    """Counts above 0, sorted by object and window: every object requested in a window is a candidate then."""

    windows: int
    key: np.ndarray  # (m,) int64 object * windows + window
    count: np.ndarray  # (m,) float32 requests
    standing: np.ndarray  # (m,) float32 share of the window's objects that were not requested more often

    @classmethod
    def of(cls, items: pd.DataFrame) -> "History":
        seen = items[items["count"] > 0]
        windows = int(items["window"].max()) + 1
        key = seen["user_id"].cat.codes.to_numpy().astype(np.int64) * windows + seen["window"].to_numpy()
        standing = seen.groupby("window")["count"].rank(pct=True, method="max").to_numpy(np.float32)
        order = np.argsort(key)
        return cls(windows, key[order], seen["count"].to_numpy(np.float32)[order], standing[order])

    def look(self, objects: np.ndarray, windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Count and standing of objects in windows (same shape); 0 where there was no request or no such window."""
        key = objects.astype(np.int64) * self.windows + windows
        at = np.searchsorted(self.key, key).clip(max=len(self.key) - 1)
        hit = (self.key[at] == key) & (windows >= 0)
        return np.where(hit, self.count[at], 0.0), np.where(hit, self.standing[at], 0.0)

    def series(self, rows: pd.DataFrame, length: int) -> tuple[np.ndarray, np.ndarray]:
        """The last `length` windows of every row (b,), its own the last: marks (b, length, MARKS) float32 and there
        (b, length), whether the object had been seen by then.

        Marks: log2(1 + x) of the count and of two decayed counts, the standing, and log2(1 + windows since the last
        request).
        """
        objects, window, first = (c.to_numpy() for c in (rows["user_id"].cat.codes, rows["window"], rows["first"]))
        at = window[:, None] + np.arange(1 - length - REACH, 1)
        count, standing = self.look(np.broadcast_to(objects[:, None], at.shape), at)
        decayed = [_decayed(count, half_life)[:, REACH:] for half_life in (FASTER, SLOWER)]
        steps = np.arange(at.shape[1])
        ago = steps - np.maximum.accumulate(np.where(count > 0, steps, -1), axis=1)
        marks = [np.log2(1 + count[:, REACH:]), *(np.log2(1 + d) for d in decayed), standing[:, REACH:]]
        marks = np.stack([*marks, np.log2(1.0 + ago[:, REACH:])], axis=2, dtype=np.float32)
        there = at[:, REACH:] >= first[:, None]
        return marks * there[:, :, None], there


def _decayed(count: np.ndarray, half_life: float) -> np.ndarray:
    """(b, l) the decayed counts at every step of (b, l) counts, from 0 before the first."""
    from scipy.signal import lfilter

    keep = 0.5 ** (1 / half_life)
    return lfilter([1 - keep], [1, -keep], count, axis=1)
