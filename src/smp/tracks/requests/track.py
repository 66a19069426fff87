"""The requests track as the rest of the project sees it."""

from pathlib import Path

import numpy as np

from smp.folds import split_blocks
from smp.metrics import Metric, Task, even, mse, squared
from smp.tracks.base import Exhibit, Family, Split, Track
from smp.tracks.requests import demo
from smp.tracks.requests.features import counts
from smp.tracks.requests.ranking import RANKINGS, requested
from smp.tracks.requests.read import SITE, files, read


def deviance(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    """Mean Poisson deviance of the requests, less what predictions do not change: an object often requested counts
    more, as it does in a cache."""
    came, expected = requested(y_true), np.maximum(requested(y_pred), 1e-3)
    return float(np.mean(expected - came * np.log(expected)))


FIRST = ("hit_5", "ndcg_50")
METRICS = (
    *sorted(RANKINGS, key=lambda m: FIRST.index(m.name) if m.name in FIRST else len(FIRST)),
    Metric("msle", mse, greater_is_better=False),
)
# The last three of ten windows are judged; the first fourth is never predicted.
SPLIT = Split(blocks=5, shares=(0.25, 0.15, 0.15, 0.15, 0.3), of="moments", rolling=True, purge="known")


def write_demo(folder: Path, truth: Path, posts: int, images: bool, seed: int) -> dict:
    """Generated requests, a window for a hundred posts, and the scores of the ranking by the rates to come."""
    objects = demo.write(folder, int(np.clip(posts // 100, 20, 100)), seed)
    data, _ = read(folder)
    items, y, last = data.items, data.labels, np.flatnonzero(data.labelled)
    last = last[split_blocks(items["time"].iloc[last], SPLIT) == SPLIT.blocks - 1]
    movie, window = items["user_id"].astype(str).astype(int).to_numpy()[last], items["window"].to_numpy()[last]
    rate = np.empty(len(last))
    for w in np.unique(window):
        of_all = demo.rates(w + 1, *objects)
        rate[window == w] = demo.REQUESTS * of_all[movie[window == w]] / of_all.sum()
    return {"holdout": {m.name: round(m(y[last], np.log2(1 + rate), items.iloc[last]), 4) for m in METRICS}}


STUDY = "exp093_rankings"
EXHIBITS = (
    Exhibit(STUDY, "rankings.csv", "Each system beside its rivals, window by window"),
    Exhibit(STUDY, "lengths.csv", "What a ranking costs by the length of the series, on this machine's cores"),
    Exhibit(STUDY, "reactive.csv", "Policies that change the cache at every request, for comparison"),
)
TRACK = Track(
    name="requests",
    task=Task(metrics=METRICS, loss=deviance, item_loss=squared, error="msle", weight=even),
    split=SPLIT,
    files=files,
    read=read,
    demo=write_demo,
    site=SITE,
    families={
        "decays": Family(counts.decays),
        "lags": Family(counts.lags),
        "thing": Family(counts.thing),
    },
    final="exp094_fusion",
    exhibits=EXHIBITS,
)
