"""The observed snapshots of many videos as flat arrays, one video after the other."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from smp.tracks.microvideo.read import COUNTERS


@dataclass(frozen=True)
class Snapshots:
    """Every video's snapshots in the order of age; a video may have none.

    start: (n + 1,) int64, where each video's begin. age: (E,) float64, hours. logs: (E, 4) float64, log2(1 + counter)
    of views, likes, comments and countries, NaN where hidden.
    """

    start: np.ndarray
    age: np.ndarray
    logs: np.ndarray

    @classmethod
    def of(cls, items: pd.DataFrame, events: pd.DataFrame) -> "Snapshots":
        """Those of the items, younger than each item's observation: no later one is handed on."""
        row, age = items.index.get_indexer(events.index), events["age_h"].to_numpy(np.float64)
        kept = np.flatnonzero((row >= 0) & (age < items["observation"].to_numpy()[row]))
        kept = kept[np.lexsort((age[kept], row[kept]))]
        start = np.searchsorted(row[kept], np.arange(len(items) + 1))
        counts = events[list(COUNTERS)].to_numpy(np.float64)
        return cls(start, age[kept], np.log2(1 + counts[kept]))

    @cached_property
    def count(self) -> np.ndarray:
        """(n,) int64 snapshots of each video."""
        return np.diff(self.start)

    @cached_property
    def video(self) -> np.ndarray:
        """(E,) int64 position of each snapshot's video."""
        return np.repeat(np.arange(len(self.count)), self.count)

    def place(self, from_last: int) -> np.ndarray:
        """(n,) int64 position of the snapshot so many before each video's last; -1 where there is none."""
        return np.where(self.count > from_last, self.start[1:] - 1 - from_last, -1)
