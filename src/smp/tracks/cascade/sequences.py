"""Cascades as arrays of one length, for networks: thinned events on a logarithmic clock, and slices of time."""

from dataclasses import dataclass

import numpy as np

from smp.tracks.cascade.events import Events

MARKS = ("time", "clock", "gap", "depth", "parent_age", "parent_degree", "place", "stands_for")
SLICES = ("count", "depth", "breadth", "last_gap", "spread")
FINEST = 1 / 500  # of the observation: below this the clock runs evenly, above it by ratios


def clock(t: np.ndarray, observation: float) -> np.ndarray:
    """Seconds on a logarithmic clock, 0 at the root and 1 at the end of the observation.

    A cascade's rate falls by orders of magnitude within an hour: on this clock it is nearly even.
    """
    return np.log1p(np.asarray(t) / (FINEST * observation)) / np.log1p(1 / FINEST)


def seconds(at: np.ndarray, observation: float) -> np.ndarray:
    """The inverse of `clock`."""
    return np.expm1(np.asarray(at) * np.log1p(1 / FINEST)) * FINEST * observation


@dataclass(frozen=True)
class Sequences:
    """n cascades. marks: (n, L, 8) float32; clock, weight (how many events each stands for), mask: (n, L)."""

    marks: np.ndarray
    clock: np.ndarray
    weight: np.ndarray
    mask: np.ndarray


def thin(events: Events, observation: float, length: int) -> Sequences:
    """The events before `observation`, every k-th of a cascade that has more than `length`; its root and its last stay.

    What an event is marked with is known when it comes. The papers keep the first 100 instead, which hides the rest.
    """
    events = events.until(observation)
    count = events.count
    kept = np.minimum(count, length)
    slot = np.arange(length)
    # evenly spaced places from the root to the last event
    place = np.round(slot * ((count - 1) / np.maximum(kept - 1, 1))[:, None]).astype(np.int64)  # (n, L)
    mask = slot < kept[:, None]
    at = np.where(mask, events.start[:-1, None] + place, events.start[:-1, None])
    t = events.time[at]
    up = events.start[:-1, None] + np.maximum(events.parent[at], 0)
    gap = np.where(mask, np.diff(t, axis=1, prepend=0.0), 0.0)
    marks = np.stack(
        [
            t / observation,
            clock(t, observation),
            np.log1p(500 * gap / observation),
            np.log1p(events.depth[at]),
            np.log1p(500 * (t - events.time[up]) / observation),
            np.log1p(_answers_before(events)[at]),
            np.log2(1 + place),
            np.log2(1 + np.diff(place, axis=1, prepend=-1)),
        ],
        axis=2,
    )
    marks[~mask] = 0.0
    weight = np.where(mask, np.diff(place, axis=1, prepend=-1), 0)
    return Sequences(marks.astype(np.float32), marks[:, :, 1].astype(np.float32), weight.astype(np.float32), mask)


def _answers_before(events: Events) -> np.ndarray:
    """(E,) how many events had answered an event's parent before it came."""
    key = np.where(events.parent >= 0, events.start[events.cascade] + events.parent, -1)
    order = np.argsort(key, kind="stable")
    ranked = key[order]
    first = np.searchsorted(ranked, ranked)
    out = np.empty(len(key), np.int64)
    out[order] = np.arange(len(key)) - first
    return np.where(key >= 0, out, 0)


def slices(events: Events, edges: np.ndarray) -> np.ndarray:
    """(n, len(edges) - 1, 5) float32: what came in each slice of time [edges[j], edges[j + 1]), seconds.

    Events, mean depth, breadth (different parents), the time since the last event at the slice's end, and how widely
    the answers spread over parents.
    """
    n, k = len(events), len(edges) - 1
    j = np.searchsorted(edges, events.time, side="right") - 1
    inside = (j >= 0) & (j < k)
    cell = events.cascade[inside] * k + j[inside]
    count = np.bincount(cell, minlength=n * k)
    some = np.maximum(count, 1)
    depth = np.bincount(cell, events.depth[inside], n * k) / some
    up = (events.start[events.cascade] + np.maximum(events.parent, 0))[inside]
    parents = np.unique(cell * len(events.time) + up) // len(events.time)
    breadth = np.bincount(parents, minlength=n * k)
    latest = np.zeros(n * k)
    np.maximum.at(latest, cell, events.time[inside])
    latest = np.maximum.accumulate(latest.reshape(n, k), axis=1)
    gap = (edges[1:] - latest) / np.diff(edges)
    gap = np.log1p(np.maximum(gap, 0))
    table = [np.log2(1 + count), np.log1p(depth), np.log2(1 + breadth), gap, breadth / some]
    return np.stack([a.reshape(n, k) for a in table], axis=2).astype(np.float32)
