"""Generated cascades from a branching (Hawkes) process whose best score is known, in the layout of the real files.

Cascade c is published at s_c and has the reproduction number R_c; its event i, at t_i with mark m_i, draws children at
lag u at the rate

    R_c m_i b exp(-b u) a(s_c + t_i + u)        a(t) = 1 + 0.5 cos(2 pi (hour of t - 20) / 24)

    R_c   exp(N(log 0.5, 0.4^2)), at most 0.9        b     1 / (2 hours)
    m_0   Gamma, shape 1, mean 120: the root's reach     m_i   Gamma, shape 0.5, mean 1: most are answered by nobody

What was chosen and why. Children are Poisson given R and m, and marks are Gamma, so that both can be summed out: the
best predictor (`ceiling`) is exact but for its draws. It knows the constants and sees what a model sees, the observed
tree, and takes R from its posterior on a grid, the marks from their Gamma posteriors, lets the process run on to the
horizon DRAWS times, and predicts the mean of log2(1 + events): what minimises the MSLE.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from smp.tracks.cascade.events import Events

DAY, OBSERVATION, HORIZON = 86_400.0, 3600.0, 86_400.0
RATE, SWING, PEAK_HOUR = 1 / 7200, 0.5, 20
LOG_R, SPREAD_R, LARGEST_R = np.log(0.5), 0.4, 0.9
ROOT_SHAPE, ROOT_MEAN, SHAPE = 1.0, 120.0, 0.5
START, SPAN = 1_577_836_800, 366 * DAY  # the year 2020
MIN_EVENTS, DRAWS, GRID = 10, 200, 80


@dataclass(frozen=True)
class Trees:
    """Events of many cascades, in no order: cascade, time (s), mark and the position of the parent (-1: a root)."""

    cascade: np.ndarray
    time: np.ndarray
    mark: np.ndarray
    parent: np.ndarray


def rhythm(t: np.ndarray) -> np.ndarray:
    """The day's factor a(t) at unix seconds t."""
    return 1 + SWING * np.cos(2 * np.pi * (t / DAY - PEAK_HOUR / 24))


def exposure(published: np.ndarray, time: np.ndarray, until: float) -> np.ndarray:
    """Share of its children that an event at `time` draws before `until`: the integral of b exp(-b u) a(.)."""
    w, phase = 2 * np.pi / DAY, 2 * np.pi * ((published + time) / DAY - PEAK_HOUR / 24)
    u = until - time
    fade = np.exp(-RATE * u)
    wave = RATE * np.cos(phase) - w * np.sin(phase) - fade * (RATE * np.cos(phase + w * u) - w * np.sin(phase + w * u))
    return 1 - fade + SWING * RATE * wave / (RATE**2 + w**2)


def grow(
    rng: np.random.Generator, published: np.ndarray, r: np.ndarray, seeds: Trees, since: float, until: float
) -> Trees:
    """All events that the seeds draw in [since, until), and their offspring; parents are positions in the result,
    which begins with the seeds. published (n,) unix seconds, r (n,) reproduction numbers."""
    parts, born, first = [seeds], seeds, 0
    while len(born.time):
        lag = np.maximum(since - born.time, 0.0)  # the exponential forgets: what comes later comes as from there
        mean = r[born.cascade] * born.mark * (1 + SWING) * np.exp(-RATE * lag)
        count = rng.poisson(mean)
        parent = np.repeat(np.arange(len(count)), count)
        time = (born.time + lag)[parent] + rng.exponential(1 / RATE, len(parent))
        cascade = born.cascade[parent]
        kept = (time < until) & (rng.random(len(time)) * (1 + SWING) < rhythm(published[cascade] + time))
        following = first + len(born.time)
        mark = rng.gamma(SHAPE, 1 / SHAPE, kept.sum())
        born, first = Trees(cascade[kept], time[kept], mark, first + parent[kept]), following
        parts.append(born)
    return Trees(*(np.concatenate([getattr(p, f) for p in parts]) for f in ("cascade", "time", "mark", "parent")))


def sample(n: int, seed: int) -> tuple[np.ndarray, Events, np.ndarray]:
    """Publish times (n,), events with whole seconds, and R (n,), of n cascades that reach MIN_EVENTS when observed."""
    rng = np.random.default_rng(seed)
    many = 2 * n + 50  # about two of three are large enough
    published = np.sort(rng.integers(START, START + int(SPAN), many)).astype(float)
    r = np.minimum(np.exp(rng.normal(LOG_R, SPREAD_R, many)), LARGEST_R)
    reach = rng.gamma(ROOT_SHAPE, ROOT_MEAN / ROOT_SHAPE, many)
    roots = Trees(np.arange(many), np.zeros(many), reach, np.full(many, -1))
    trees = grow(rng, published, r, roots, 0.0, HORIZON)
    # Within a second the order stays that of the generations, so that a parent comes before its children.
    order = np.lexsort((np.floor(trees.time), trees.cascade))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    start = np.searchsorted(trees.cascade[order], np.arange(many + 1))
    parent = trees.parent[order]
    inside = np.where(parent < 0, -1, place[parent] - start[trees.cascade[order]])
    events = Events(start, np.floor(trees.time[order]), inside.astype(np.int32), np.arange(len(order), dtype=np.int32))
    large = np.flatnonzero(events.until(OBSERVATION).count >= MIN_EVENTS)[:n]
    return published[large], events.take(large), r[large]


def best(published: np.ndarray, events: Events, seed: int = 0) -> np.ndarray:
    """(n,) the exact predictor of log2(1 + events in [OBSERVATION, HORIZON)) from the observed events."""
    rng = np.random.default_rng([seed, 1])
    seen = events.until(OBSERVATION)
    n, children = len(seen), seen.children
    share = exposure(published[seen.cascade], seen.time, OBSERVATION)
    is_root = seen.parent < 0
    shape = np.where(is_root, ROOT_SHAPE, SHAPE)
    scale = np.where(is_root, ROOT_MEAN / ROOT_SHAPE, 1 / SHAPE)
    at = LOG_R + SPREAD_R * np.linspace(-4, 4, GRID)
    grid = np.minimum(np.exp(at), LARGEST_R)
    log = np.tile(-0.5 * np.linspace(-4, 4, GRID) ** 2, (n, 1))
    for j, r in enumerate(grid):  # negative binomial: Poisson children of a Gamma mark
        own = children * np.log(r) - (shape + children) * np.log1p(r * share * scale)
        log[:, j] += np.bincount(seen.cascade, own, n)
    posterior = np.exp(log - log.max(axis=1, keepdims=True)).cumsum(axis=1)
    total = np.zeros(n)
    for _ in range(DRAWS):
        j = (posterior < rng.random((n, 1)) * posterior[:, -1:]).sum(axis=1)
        r = grid[j]
        mark = rng.gamma(shape + children) * scale / (1 + r[seen.cascade] * share * scale)
        seeds = Trees(seen.cascade, seen.time, mark, np.full(len(mark), -1))
        later = grow(rng, published, r, seeds, OBSERVATION, HORIZON)
        total += np.log2(1.0 + np.bincount(later.cascade, minlength=n) - seen.count)
    return total / DRAWS


def write(folder: Path, n: int, seed: int = 0) -> tuple[np.ndarray, Events]:
    """Write `dataset.txt` and `window.json` of n cascades; the same seed gives the same bytes."""
    published, events, _ = sample(n, seed)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "dataset.txt").open("w") as file:
        for c in range(n):
            rows = slice(events.start[c], events.start[c + 1])
            paths: list[str] = []
            for parent, user in zip(events.parent[rows], events.user[rows]):
                paths.append(f"{paths[parent]}/{user}" if parent >= 0 else str(user))
            steps = " ".join(f"{path}:{t:.0f}" for path, t in zip(paths, events.time[rows]))
            file.write(f"{c}\t{paths[0]}\t{published[c]:.0f}\t{len(paths) - 1}\t{steps}\n")
    window = {"observation": int(OBSERVATION), "horizon": int(HORIZON), "min_events": MIN_EVENTS}
    (folder / "window.json").write_text(json.dumps(window) + "\n")
    return published, events
