"""The events of many cascades as flat arrays, one cascade after the other."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Events:
    """Every cascade's events in the order of time, its root first, at 0.

    start: (n + 1,) int64, where each cascade's events begin. time: (E,) float64, seconds since the root. parent: (E,)
    int32, position inside the cascade of the event that this one answers; -1 at the root. user: (E,) int32, a code
    that tells the users of one cascade apart.
    """

    start: np.ndarray
    time: np.ndarray
    parent: np.ndarray
    user: np.ndarray

    @classmethod
    def of(cls, items: pd.DataFrame, table: pd.DataFrame) -> "Events":
        """From what `to_table` made, whatever rows were taken out of items and table."""
        row = items.index.get_indexer(table.index)
        table, row = table[row >= 0], row[row >= 0]
        if (np.diff(row) < 0).any():
            order = np.argsort(row, kind="stable")
            table, row = table.iloc[order], row[order]
        start = np.searchsorted(row, np.arange(len(items) + 1))
        return cls(start, *(table[name].to_numpy() for name in ("delay", "parent", "user")))

    def to_table(self, items: pd.DataFrame) -> pd.DataFrame:
        """A row an event, index post_id: time (UTC, whole seconds), delay (s), parent, user."""
        time = items["time"].to_numpy("datetime64[s]")[self.cascade] + self.time.astype("timedelta64[s]")
        table = {"time": pd.DatetimeIndex(time, tz="UTC"), "delay": self.time, "parent": self.parent, "user": self.user}
        return pd.DataFrame(table, index=items.index[self.cascade])

    def __len__(self) -> int:
        return len(self.start) - 1

    @cached_property
    def count(self) -> np.ndarray:
        """(n,) int64 events of each cascade."""
        return np.diff(self.start)

    @cached_property
    def cascade(self) -> np.ndarray:
        """(E,) int64 position of each event's cascade."""
        return np.repeat(np.arange(len(self)), self.count)

    @cached_property
    def place(self) -> np.ndarray:
        """(E,) int64 position of each event inside its cascade."""
        return np.arange(len(self.time)) - self.start[self.cascade]

    @cached_property
    def depth(self) -> np.ndarray:
        """(E,) int32 steps up to the root."""
        steps = (self.parent >= 0).astype(np.int32)
        up = self.start[self.cascade] + np.maximum(self.parent, 0)  # the root is above itself, 0 steps away
        while steps[up].any():  # each round doubles how far everybody looks
            steps, up = steps + steps[up], up[up]
        return steps

    @cached_property
    def children(self) -> np.ndarray:
        """(E,) int64 events that answer this one."""
        up = self.start[self.cascade] + self.parent
        return np.bincount(up[self.parent >= 0], minlength=len(self.time))

    def until(self, t: float | np.ndarray) -> "Events":
        """The events before t (seconds; one for all, or one of each cascade): a parent comes before its child."""
        return self._keep(self.time < (np.asarray(t)[self.cascade] if np.ndim(t) else t))

    def take(self, rows: np.ndarray) -> "Events":
        """The named cascades (m,), in that order."""
        count = self.count[rows]
        start = np.concatenate([[0], np.cumsum(count)])
        at = np.arange(start[-1]) + np.repeat(self.start[rows] - start[:-1], count)
        return Events(start, self.time[at], self.parent[at], self.user[at])

    def histogram(self, edges: np.ndarray) -> np.ndarray:
        """(n, len(edges) - 1) int64: each cascade's events in [edges[j], edges[j + 1])."""
        bins = np.searchsorted(edges, self.time, side="right") - 1
        inside = (bins >= 0) & (bins < len(edges) - 1)
        cell = self.cascade[inside] * (len(edges) - 1) + bins[inside]
        return np.bincount(cell, minlength=len(self) * (len(edges) - 1)).reshape(len(self), -1)

    def _keep(self, mask: np.ndarray) -> "Events":
        count = np.bincount(self.cascade[mask], minlength=len(self))
        return Events(np.concatenate([[0], np.cumsum(count)]), self.time[mask], self.parent[mask], self.user[mask])


def observed(
    items: pd.DataFrame, events: pd.DataFrame, table_of: Callable[[Events, float], pd.DataFrame]
) -> pd.DataFrame:
    """`table_of(events before the observation's end, that end)`, rows as in the items. No later event is handed on."""
    end = float(items["observation"].iloc[0])
    return table_of(Events.of(items, events).until(end), end).set_axis(items.index)
