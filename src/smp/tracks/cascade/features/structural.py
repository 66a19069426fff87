"""What the tree of a cascade's observed events looks like."""

import numpy as np
import pandas as pd

from smp.tracks.cascade.events import Events, observed

LEVELS = 4
SCALES = (0.5, 2.0, 8.0)  # how long the heat of `waves` spreads, in steps of the walk
POINTS = (0.5, 2.0)  # where its characteristic function is read


def build(items: pd.DataFrame, events: pd.DataFrame) -> pd.DataFrame:
    """The family `structural`: `table_of` the observed events."""
    return observed(items, events, table_of)


def waves(items: pd.DataFrame, events: pd.DataFrame) -> pd.DataFrame:
    """The family `waves`: `waves_of` the observed events."""
    return observed(items, events, waves_of)


def table_of(events: Events, observation: float) -> pd.DataFrame:
    """One row a cascade, from its events before `observation` seconds: depths, degrees, breadths, virality."""
    events = events.until(observation)
    n, count, depth, children = len(events), events.count, events.depth, events.children
    root, inner = events.start[:-1], events.place > 0
    reposts = np.maximum(count - 1, 1)

    def mean(values: np.ndarray) -> np.ndarray:
        return np.bincount(events.cascade, np.where(inner, values, 0), n) / reposts

    degree = np.where(inner, children, 0)
    table = {
        "depth_max": np.maximum.reduceat(depth, root),
        "depth_mean": mean(depth),
        "depth_spread": np.sqrt(np.maximum(mean(depth.astype(float) ** 2) - mean(depth) ** 2, 0)),
        "root_degree": np.log2(1 + children[root]),
        "root_share": children[root] / reposts,
        "degree_max": np.log2(1 + np.maximum.reduceat(degree, root)),
        "degree_max_share": np.maximum.reduceat(degree, root) / reposts,
        "leaves": mean(children == 0),
        "spreaders": np.log2(1 + reposts * mean(children > 0)),
        "degree_entropy": _entropy(children, events),
        "virality": _virality(events),
        "users": _distinct_users(events) / count,
    }
    level = np.clip(depth, 1, LEVELS) - 1
    at_level = np.bincount(events.cascade * LEVELS + level, inner, n * LEVELS).reshape(n, -1)
    table |= {f"level_{k + 1}": np.log2(1 + at_level[:, k]) for k in range(LEVELS)}
    late = np.where(inner & (events.time > observation / 2), depth, 0)
    table["late_depth"] = np.bincount(events.cascade, late, n) / np.maximum(
        np.bincount(events.cascade, inner & (events.time > observation / 2), n), 1
    )
    return pd.DataFrame(table, dtype=np.float32)


def waves_of(events: Events, observation: float) -> pd.DataFrame:
    """One row a cascade: how heat put on the root lies over the observed tree (GraphWave, Donnat et al. 2018).

    The heat is that of a walk in continuous time after SCALES steps; what is kept is the characteristic function, at
    POINTS, of the heat on each event times their number.
    """
    events = events.until(observation)
    n, inner = len(events), np.flatnonzero(events.parent >= 0)
    up = (events.start[events.cascade] + events.parent)[inner]
    degree = np.maximum(events.children + (events.parent >= 0), 1)
    terms = int(max(SCALES) + 6 * max(SCALES) ** 0.5) + 8  # of Poisson weights: the rest is below 1e-6
    heat = np.zeros((len(SCALES), len(events.time)))
    walker = np.zeros(len(events.time))
    walker[events.start[:-1]] = 1.0
    weight = np.exp(-np.array(SCALES))
    for k in range(terms):
        heat += weight[:, None] * walker
        leaving = walker / degree
        walker = np.bincount(up, leaving[inner], len(walker))
        walker[inner] += leaving[up]
        weight = weight * np.array(SCALES) / (k + 1)
    table = {}
    for scale, of_scale in zip(SCALES, heat * events.count[events.cascade]):
        for point in POINTS:
            for name, wave in (("cos", np.cos), ("sin", np.sin)):
                mean = np.bincount(events.cascade, wave(point * of_scale), n) / events.count
                table[f"wave_{scale:g}_{point:g}_{name}"] = mean
    return pd.DataFrame(table, dtype=np.float32)


def subtree_sizes(events: Events) -> np.ndarray:
    """(E,) int64 events below each, itself among them."""
    size = np.ones(len(events.time), np.int64)
    up = events.start[events.cascade] + events.parent
    by_depth = np.argsort(events.depth, kind="stable")
    levels = np.searchsorted(events.depth[by_depth], np.arange(events.depth.max() + 2))
    for level in range(len(levels) - 2, 0, -1):  # the deepest first: what lies below is complete
        at = by_depth[levels[level] : levels[level + 1]]
        np.add.at(size, up[at], size[at])
    return size


def _virality(events: Events) -> np.ndarray:
    """(n,) the mean distance between two events of the tree (Goel et al. 2016): an edge parts size from n - size."""
    size = subtree_sizes(events).astype(float)
    of = events.count[events.cascade].astype(float)
    pairs = np.bincount(events.cascade, np.where(events.parent >= 0, size * (of - size), 0), len(events))
    return pairs / np.maximum(events.count * (events.count - 1.0) / 2, 1)


def _entropy(children: np.ndarray, events: Events) -> np.ndarray:
    share = children / np.maximum(events.count[events.cascade] - 1, 1)
    return -np.bincount(events.cascade, np.where(share > 0, share * np.log(np.maximum(share, 1e-12)), 0), len(events))


def _distinct_users(events: Events) -> np.ndarray:
    pair = np.unique(events.cascade * (np.int64(events.user.max()) + 1) + events.user)
    return np.bincount(pair // (np.int64(events.user.max()) + 1), minlength=len(events))
