"""The observed snapshots of many videos as flat arrays, one video after the other."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from smp.tracks.microvideo.read import COUNTERS

KINDS = COUNTERS[:3]  # of feedback: views, likes, comments
DAY = 24.0


def clock(age: np.ndarray) -> np.ndarray:
    """Doublings of age, log2(1 + hours): on this clock counters double at a nearly even rate (a power law)."""
    return np.log2(1 + age)


@dataclass(frozen=True)
class Steps:
    """n videos as sequences of one length, padding before them.

    marks: (n, L, 12) float32, NaN where hidden: log gap, log age, the four levels and what came since the step before
    of three kinds, in all and a day. gap: (n, L) float32, on the clock since the step before or since publishing.
    counts: (n, L, 3) float32, doublings of each kind in the gap, NaN where hidden. mask: (n, L).
    """

    marks: np.ndarray
    gap: np.ndarray
    counts: np.ndarray
    mask: np.ndarray


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

    def steps(self, length: int) -> Steps:
        """As sequences; of more than `length` snapshots evenly chosen ones, with the first and the last."""
        kept = np.minimum(self.count, length)[:, None]
        slot = np.arange(length) - (length - kept)
        mask = slot >= 0
        place = np.round(slot * ((self.count[:, None] - 1) / np.maximum(kept - 1, 1))).astype(np.int64)
        at = np.where(mask, self.start[:-1, None] + place, -1)
        age = np.where(mask, np.append(self.age, 0.0)[at], 0.0)
        level = np.concatenate([self.logs, np.zeros((1, self.logs.shape[1]))])[at]  # (n, L, 4), 0 before the first
        hours, gap = (np.where(mask, np.diff(a, axis=1, prepend=0.0), 0.0) for a in (age, clock(age)))
        came = np.diff(level[..., : len(KINDS)], axis=1, prepend=0.0)
        counts = np.where(mask[..., None], np.maximum(came, 0.0), np.nan)
        a_day = came / np.maximum(hours, 1.0)[..., None] * DAY
        marks = np.concatenate([np.log1p(np.stack([hours, age], 2)), level, came, a_day], 2)
        return Steps(*(v.astype(np.float32) for v in (marks, gap, counts)), mask)
