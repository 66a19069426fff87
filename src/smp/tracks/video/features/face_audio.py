"""Faces and sound of the videos, extracted beforehand: an optional file beside the official data, used where it is."""

from pathlib import Path

import numpy as np
import pandas as pd

from smp import paths
from smp.disk.store import read_table
from smp.errors import DataError


def files() -> list[Path]:
    """The optional file, where it is there."""
    return [path for path in (_file(),) if path.exists()]


def build(posts: pd.DataFrame) -> pd.DataFrame:
    """The columns of `features/face_audio.parquet` in the track's data folder, keyed there by `pid`; texts become
    categories, the rest float32. A post without a row is left missing; without the file the frame has no columns.

    Raises DataError on a file without pid or with a post twice. A submission made with it must declare it.
    """
    if not files():
        return pd.DataFrame(index=posts.index)
    table = read_table(_file())
    if "pid" not in table:
        raise DataError(f"{_file()}: no column pid; add one that names the post of every row")
    table = table.set_index(table.pop("pid").astype(str))
    if not table.index.is_unique:
        twice = table.index[table.index.duplicated()][0]
        raise DataError(f"{_file()}: post {twice} is there twice; keep one row a post")
    table = table.reindex(posts.index)
    texts = table.columns[[not pd.api.types.is_numeric_dtype(t) for t in table.dtypes]]
    return table.astype({c: "category" if c in texts else np.float32 for c in table})


def _file() -> Path:
    return paths.extra_features("video") / "face_audio.parquet"
