"""The cascade track as the rest of the project sees it."""

from pathlib import Path

import numpy as np
import pandas as pd

from smp.folds import split_blocks
from smp.metrics import SRC, Metric, Task, even, mse, r2, squared
from smp.tracks.base import Exhibit, Family, Split, Track
from smp.tracks.cascade import demo
from smp.tracks.cascade.features import publish, structural, temporal
from smp.tracks.cascade.read import files, read


def mape(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    """mean |log2(p + 2) - log2(y + 2)| / log2(y + 2) of counts p, y, as ConCat and CasFT measure it."""
    true, made = (np.log2(2.0 ** np.asarray(z) + 1) for z in (y_true, y_pred))
    return float(np.mean(np.abs(true - made) / true))


METRICS = (
    Metric("msle", mse, greater_is_better=False),
    Metric("mape", mape, greater_is_better=False),
    SRC,
    Metric("r2", r2, greater_is_better=True),
)


def write_demo(folder: Path, truth: Path, posts: int, images: bool, seed: int) -> dict:
    """Generated cascades, a tenth as many as posts, and the best scores that their model allows on the last block."""
    published, events = demo.write(folder, int(np.clip(posts // 10, 300, 5_000)), seed)
    label = np.log2(1.0 + events.until(demo.HORIZON).count - events.until(demo.OBSERVATION).count)
    last = split_blocks(pd.to_datetime(pd.Series(published), unit="s", utc=True), SPLIT) == SPLIT.blocks - 1
    best = demo.best(published[last], events.take(np.flatnonzero(last)), seed)
    return {"holdout": {m.name: round(m(label[last], best), 4) for m in METRICS}}


STUDY = "exp064_ingredients"
EXHIBITS = (
    Exhibit(
        STUDY,
        "forecast.png",
        "Cascades being predicted: events, intensity, and the forecast with its interval.",
        section="a cascade being predicted",
    ),
    Exhibit(STUDY, "ingredients.csv", "Each system beside its rivals, and beside itself without one ingredient"),
    Exhibit(
        STUDY, "process.csv", "Log-likelihood of a held-out event, and distance of rescaled times from exponential"
    ),
    Exhibit(STUDY, "trend.csv", "What CasFT's draws know of the trend"),
)
# As the papers cut it, 70 : 15 : 15, the first part being two: what no part predicts, and what early parts predict.
SPLIT = Split(blocks=5, shares=(0.4, 0.15, 0.15, 0.15, 0.15), rolling=True, purge="known")
TRACK = Track(
    name="cascade",
    task=Task(metrics=METRICS, loss=mse, item_loss=squared, error="msle", weight=even),
    split=SPLIT,
    files=files,
    read=read,
    demo=write_demo,
    site="https://github.com/CaoQi92/DeepHawkes, https://github.com/Xovee/casflow or https://github.com/jx123456/CasFT",
    families={
        "size": Family(temporal.size, events=True),
        "counts": Family(temporal.counts, events=True),
        "temporal": Family(temporal.build, events=True),
        "structural": Family(structural.build, events=True),
        "waves": Family(structural.waves, events=True),
        "publish": Family(publish.build),
        "circle": Family(publish.circle),
    },
    final="exp069_fusion",
    exhibits=EXHIBITS,
)
