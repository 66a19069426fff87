"""When a cascade's events came: counts, rates, gaps and memories of the observed events."""

import numpy as np
import pandas as pd

from smp.tracks.cascade.events import Events, observed

BINS = 12  # log-spaced and even, each
FRACTIONS = (0.1, 0.25, 0.5, 0.75, 0.9)
FIRST = (2, 5, 10, 20)  # the time of the nth event, the root being the first
MEMORIES = (0.02, 0.05, 0.1, 0.25, 0.5, 1.0)  # time constants, as shares of the observation


def log_edges(observation: float) -> np.ndarray:
    """(BINS + 1,) edges of log-spaced bins over the observation, the first ends at a 500th of it."""
    return np.concatenate([[0.0], np.geomspace(observation / 500, observation, BINS)])


def build(items: pd.DataFrame, events: pd.DataFrame) -> pd.DataFrame:
    """The family `temporal`: `table_of` the observed events."""
    return observed(items, events, table_of)


def size(items: pd.DataFrame, events: pd.DataFrame) -> pd.DataFrame:
    """The family `size`: log2(1 + events observed) alone."""
    return build(items, events)[["n_obs"]]


def counts(items: pd.DataFrame, events: pd.DataFrame) -> pd.DataFrame:
    """The family `counts`: what every network is told of the events beside themselves, which may be thinned."""
    return build(items, events)[["n_obs", "silence", *(f"log_{j}" for j in range(BINS))]]


def table_of(events: Events, observation: float) -> pd.DataFrame:
    """One row a cascade, from its events before `observation` seconds; times as shares of it, counts as log2(1 + n)."""
    events = events.until(observation)
    n, count = len(events), events.count
    t = events.time / observation
    last = events.start[1:] - 1
    table = {"n_obs": np.log2(1 + count), "silence": 1 - t[last], "last": t[last]}
    for name, edges in (("log", log_edges(1.0)), ("even", np.linspace(0, 1, BINS + 1))):
        inside = _scaled(events, t).histogram(edges)
        table |= {f"{name}_{j}": np.log2(1 + inside[:, j]) for j in range(BINS)}
    even = inside.astype(float)
    table["late"] = np.log2((even[:, BINS // 2 :].sum(1) + 1) / (even[:, : BINS // 2].sum(1) + 1))
    table["latest"] = np.log2((even[:, -2:].sum(1) + 1) / (even[:, -4:-2].sum(1) + 1))
    table["peak"] = even.argmax(1) / BINS
    table["burstiness"] = even.std(1) / even.mean(1)
    for share in FRACTIONS:
        table[f"quantile_{share:g}"] = t[events.start[:-1] + np.floor(share * (count - 1)).astype(int)]
    for k in FIRST:
        table[f"event_{k}"] = np.where(count >= k, t[np.minimum(events.start[:-1] + k - 1, last)], 1.0)
    gap = np.diff(t, prepend=0.0)
    gap[events.start[:-1]] = 0.0
    gaps = np.maximum(count - 1, 1)
    mean = np.bincount(events.cascade, gap, n) / gaps
    table["gap_mean"] = np.log(mean + 1e-6)
    variance = np.maximum(np.bincount(events.cascade, gap**2, n) / gaps - mean**2, 0)
    table["gap_spread"] = np.sqrt(variance) / (mean + 1e-9)
    inner = events.place > 0
    table["gap_log"] = np.bincount(events.cascade, np.where(inner, np.log(gap + 1e-6), 0), n) / gaps
    table["ties"] = np.bincount(events.cascade, inner & (gap == 0), n) / gaps
    for memory in MEMORIES:
        table[f"memory_{memory:g}"] = np.log2(1 + np.bincount(events.cascade, np.exp((t - 1) / memory), n))
    return pd.DataFrame(table, dtype=np.float32)


def _scaled(events: Events, time: np.ndarray) -> Events:
    return Events(events.start, time, events.parent, events.user)
