"""The image track as the rest of the project sees it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from smp import paths
from smp.disk import pictures
from smp.metrics import MAE, SRC, Task, mae, src
from smp.tracks.base import Track
from smp.tracks.image import demo
from smp.tracks.image.read import SITE, read


def loss(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    """MAE as a share of the best constant's, less SRC."""
    return mae(y_true, y_pred) / mae(y_true, np.median(y_true)) - src(y_true, y_pred)


def item_loss(y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    return np.abs(np.asarray(y_true) - y_pred)


def weight(y: np.ndarray) -> np.ndarray:
    return np.ones(len(y))


def media(folder: Path, posts: pd.DataFrame) -> Iterator[tuple[str, str]]:
    """How many pictures are there and readable, and an example of those that are not."""
    status = pictures.scan(folder, posts["image_path"])["status"]
    counts = status.value_counts()
    yield "images", f"{counts['ok']:,} ok, {counts['missing']:,} missing, {counts['unreadable']:,} unreadable"
    for kind in ("missing", "unreadable"):
        if counts[kind]:
            remedy = "" if paths.is_demo("image") else f"; get it from {SITE}"  # the demo's are so on purpose
            yield "", f"{kind}, e.g. {folder / posts['image_path'][status == kind].iloc[0]}{remedy}"


TRACK = Track(
    name="image",
    task=Task(metrics=(SRC, MAE), loss=loss, item_loss=item_loss, error="mae", weight=weight),
    read=read,
    demo=demo.write,
    site=SITE,
    media=media,
)
