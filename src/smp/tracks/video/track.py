"""The video track as the rest of the project sees it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from smp.disk.pictures import check_inside
from smp.metrics import MAPE, Task, mape
from smp.tracks.base import Track
from smp.tracks.video import demo
from smp.tracks.video.read import SITE, read


def item_loss(y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    return np.abs(np.asarray(y_true) - y_pred) / y_true


def weight(y: np.ndarray) -> np.ndarray:
    return 1 / y


def media(folder: Path, posts: pd.DataFrame) -> Iterator[tuple[str, str]]:
    """How many of the videos are there."""
    named = [path for path in posts["video_path"] if path]
    check_inside(folder, named)
    found = sum((folder / path).is_file() for path in named)
    yield "videos", f"{found:,} of {len(posts):,} files there (none is needed)"


TRACK = Track(
    name="video",
    task=Task(metrics=(MAPE,), loss=mape, item_loss=item_loss, error="mape", weight=weight),
    read=read,
    demo=demo.write,
    site=SITE,
    media=media,
    months=6,
)
