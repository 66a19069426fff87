"""The music track as the rest of the project sees it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from smp.metrics import MAE, SRC, Metric, Task, absolute, even, mse, r2
from smp.tracks.base import Exhibit, Family, Split, Track
from smp.tracks.music import demo
from smp.tracks.music.features import career, songs
from smp.tracks.music.read import SITE, files, read

CLASSES = {"low": (-np.inf, 25), "middle": (25, 65), "high": (65, np.inf)}  # of popularity, as the papers cut it


def f1(y_true: np.ndarray, y_pred: np.ndarray, of: str) -> float:
    """2 TP / (2 TP + FP + FN) of a class of popularity; 0.0 where nothing is of it and nothing is said to be."""
    low, high = CLASSES[of]
    true, said = ((np.asarray(y) >= low) & (np.asarray(y) < high) for y in (y_true, y_pred))
    total = true.sum() + said.sum()
    return float(2 * (true & said).sum() / total) if total else 0.0


def macro_f1(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    """The mean F1 of the classes that are there."""
    there = [c for c, (low, high) in CLASSES.items() if ((y_true >= low) & (y_true < high)).any()]
    return float(np.mean([f1(y_true, y_pred, c) for c in there]))


def _metric_of(name: str) -> Metric:
    return Metric(f"f1_{name}", lambda y, p: f1(y, p, name), greater_is_better=True)


METRICS = (
    Metric("r2", r2, greater_is_better=True),
    MAE,
    SRC,
    Metric("macro_f1", macro_f1, greater_is_better=True),
    *map(_metric_of, CLASSES),
)


def media(folder: Path, items: pd.DataFrame) -> Iterator[tuple[str, str]]:
    """How many of the tracks have a recording."""
    found = sum((folder / "audio" / f"{post}.wav").is_file() for post in items.index)
    yield "audio", f"{found:,} of {len(items):,} tracks have a recording (none is needed)"


def write_demo(folder: Path, truth: Path, posts: int, images: bool, seed: int) -> dict:
    """Generated songs, a fifth as many as posts, and how well whoever knows every artist's level does on the last."""
    label, best, last = demo.write(folder, int(np.clip(posts // 5, 400, 4_000)), seed, SPLIT.shares[-1])
    return {"holdout": {m.name: round(m(label[last], best[last]), 4) for m in METRICS}}


# By date, 70 : 10 : 20, the first part being three: what no part predicts, and what is predicted from that.
SPLIT = Split(blocks=5, shares=(0.4, 0.15, 0.15, 0.1, 0.2), rolling=True, purge="known", copies="song")
TRACK = Track(
    name="music",
    task=Task(metrics=METRICS, loss=mse, item_loss=absolute, error="mae", weight=even),
    split=SPLIT,
    files=files,
    read=read,
    demo=write_demo,
    site=SITE,
    media=media,
    families={
        "sound": Family(songs.sound),
        "low_level": Family(songs.low_level, inputs=songs.feature_files),
        "lyrics": Family(songs.lyrics, inputs=songs.lyrics_file),
        "lyric_counts": Family(songs.lyric_counts, inputs=songs.feature_files),
        "release": Family(songs.release),
        "genres": Family(songs.genres),
        "history": Family(career.history, labels=True, events=True),
        "career": Family(career.career, labels=True, events=True),
        "history_as_released": Family(career.history_as_released, events=True),
        "career_as_released": Family(career.career_as_released, events=True),
    },
    final="exp089_fusion",
    exhibits=(
        Exhibit("exp084_leaks", "leaks.png", "How much of a song's popularity is told, and how much is leaked."),
        Exhibit("exp084_leaks", "leaks.csv", "The same model under every split and history"),
        Exhibit("exp085_ingredients", "ingredients.csv", "Each system beside its rivals, and without one ingredient"),
    ),
)
