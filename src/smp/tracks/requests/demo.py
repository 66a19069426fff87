"""Generated requests whose best ranking is known, in the layout of MovieLens.

Object o is born in window b_o (four of ten before the first) with popularity v_o, Pareto of shape 0.8; it is requested
in window w, at age a = w - b_o, at the rate

    v_o (1 + a / 2) exp(-a / l_o)        l_o  its life: 2 to 40 windows, log-uniform; of one in four without an end:
                                              v_o (1 + a / 2) / (1 + a / 4), which grows and stays

and a window's requests are a draw from the rates of all objects that are born. The best ranking is that by the rates of
the next window (`rates`): it knows lives and popularities, which a model can only guess from counts.
"""

from pathlib import Path

import numpy as np
import pandas as pd

REQUESTS = 1_000  # of a window
START, SECONDS = 1_577_836_800, 3_600  # the year 2020; a window lasts an hour


def world(windows: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Births (n,), popularities (n,) and lives (n,), inf for those without an end."""
    rng = np.random.default_rng(seed)
    n = 40 * windows
    born = np.where(rng.random(n) < 0.4, -rng.integers(0, 40, n), rng.integers(1, windows, n))
    popular = rng.pareto(0.8, n) + 0.05
    life = np.where(rng.random(n) < 0.25, np.inf, np.exp(rng.uniform(np.log(2), np.log(40), n)))
    return born, np.minimum(popular, 50), life


def rates(window: int, born: np.ndarray, popular: np.ndarray, life: np.ndarray) -> np.ndarray:
    """(n,) of every object in a window; 0 before its birth."""
    age = np.maximum(window - born, 0)
    with np.errstate(invalid="ignore"):
        fade = np.where(np.isinf(life), 1 / (1 + age / 4), np.exp(-age / life))
    return np.where(window >= born, popular * (1 + age / 2) * fade, 0.0)


def write(folder: Path, windows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Write `ratings.csv`; the same seed gives the same bytes. Returns what `world` made."""
    objects, rng, parts = world(windows, seed), np.random.default_rng([seed, 1]), []
    for w in range(windows):
        rate = rates(w, *objects)
        movie = rng.choice(len(rate), REQUESTS, p=rate / rate.sum())
        time = START + w * SECONDS + np.sort(rng.integers(0, SECONDS, REQUESTS))
        columns = rng.integers(1, 5_000, REQUESTS), movie, rng.integers(1, 11, REQUESTS) / 2, time
        parts.append(pd.DataFrame(dict(zip(("userId", "movieId", "rating", "timestamp"), columns))))
    folder.mkdir(parents=True, exist_ok=True)
    pd.concat(parts).to_csv(folder / "ratings.csv", index=False)
    return objects
