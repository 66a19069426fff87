"""Faces and sound of the videos, extracted beforehand: an optional file beside the official data, used where it is."""

from pathlib import Path

import pandas as pd

from smp import paths
from smp.features import own


def files() -> list[Path]:
    """The optional file, where it is there."""
    return [path for path in (_file(),) if path.is_file()]


def build(posts: pd.DataFrame) -> pd.DataFrame:
    """The columns of `features/face_audio.parquet` in the track's data folder, read as a user's own features are.

    Without the file the frame has no columns. Raises DataError. A submission made with it must declare it.
    """
    return own.read(_file(), posts.index) if files() else pd.DataFrame(index=posts.index)


def _file() -> Path:
    return paths.extra_features("video") / "face_audio.parquet"
