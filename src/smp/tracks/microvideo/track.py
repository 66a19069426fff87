"""The micro-video track as the rest of the project sees it."""

from pathlib import Path

import numpy as np

from smp.folds import split_blocks
from smp.metrics import MAE, SRC, Metric, Task, absolute, even, mse, src
from smp.tracks.base import Exhibit, Family, Split, Track
from smp.tracks.microvideo import demo
from smp.tracks.microvideo.features import about, channel, counters
from smp.tracks.microvideo.read import files, read


def nmse(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    """Mean squared error / variance of the labels; that error alone where all labels are one."""
    return mse(y_true, y_pred) / (float(np.var(y_true)) or 1.0)


def nmse_of_level(growth: np.ndarray, predicted: np.ndarray, last: np.ndarray) -> float:
    """The same of log2(1 + views): what was seen last, and its growth."""
    return nmse(last + growth, last + predicted)


def src_of_level(growth: np.ndarray, predicted: np.ndarray, last: np.ndarray) -> float:
    return src(last + growth, last + predicted)


METRICS = (
    Metric("nmse_growth", nmse, greater_is_better=False),
    Metric("nmse", nmse_of_level, greater_is_better=False, beside=("last",)),
    MAE,
    Metric(SRC.name, src_of_level, greater_is_better=True, beside=("last",)),
)


def write_demo(folder: Path, truth: Path, posts: int, images: bool, seed: int) -> dict:
    """Generated videos, an eighth as many as posts, and how well whoever knows each one's numbers does on the last."""
    begun = demo.write(folder, int(np.clip(posts // 8, 300, 4_000)), seed)
    data, _ = read(folder)
    labelled = np.flatnonzero(data.labelled)
    late = labelled[split_blocks(data.items["time"].iloc[labelled], SPLIT) == SPLIT.blocks - 1]
    items = data.items.iloc[late]
    level = demo.best(begun, items.index.astype(int).to_numpy(), items["horizon"].to_numpy(), seed)
    best = level - items["last"].to_numpy()
    return {"holdout": {m.name: round(m(data.labels[late], best, items), 4) for m in METRICS}}


STUDY = "exp072_ingredients"
# By publish time, 70 : 15 : 15, the first part being two: what no part predicts, and what early parts predict.
SPLIT = Split(blocks=5, shares=(0.4, 0.15, 0.15, 0.15, 0.15), rolling=True, purge="known")
TRACK = Track(
    name="microvideo",
    task=Task(metrics=METRICS, loss=mse, item_loss=absolute, error="mae", weight=even),
    split=SPLIT,
    files=files,
    read=read,
    demo=write_demo,
    site="any crawl that looks at videos' counters about once a day, in the layout of input/README.md",
    families={
        "level": Family(counters.level),
        "counters": Family(counters.counters, events=True),
        "trajectory": Family(counters.trajectory, events=True),
        "about": Family(about.about),
        "content": Family(about.content),
        "channel": Family(channel.channel, labels=True),
    },
    final="exp079_fusion",
    exhibits=(
        Exhibit(STUDY, "ingredients.csv", "M3TR beside its rivals, and without one ingredient"),
        Exhibit(STUDY, "process.csv", "How likely a held-out video's feedback is under M3TR's process and others"),
    ),
)
