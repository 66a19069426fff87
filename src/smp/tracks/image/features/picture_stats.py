"""Size, shape and weight of a post's picture file, read from headers only: no pixel is decoded."""

from pathlib import Path

import numpy as np
import pandas as pd

from smp import paths
from smp.disk import pictures


def folders() -> list[Path]:
    """The picture folders: their times change when pictures of a user are added."""
    return sorted(p for name in ("train", "test") for p in paths.data("image").glob(f"**/{name}") if p.is_dir())


def build(posts: pd.DataFrame) -> pd.DataFrame:
    """One row a post: picture_width and _height in pixels, their ratio, ln of pixels and of 1 + bytes, bits a pixel,
    and the mode as a category; NaN where the file is missing or unreadable, which two flags say. Raises DataError for a
    path out of the data folder.
    """
    headers = pictures.scan(paths.data("image"), posts["image_path"])
    pixels = headers["width"].astype(np.float64) * headers["height"]
    frame = pd.DataFrame(
        {
            "picture_missing": headers["status"] == "missing",
            "picture_unreadable": headers["status"] == "unreadable",
            "picture_width": headers["width"],
            "picture_height": headers["height"],
            "picture_aspect": headers["width"] / headers["height"],
            "picture_pixels": np.log(pixels),
            "picture_bytes": np.log1p(headers["file_size"]),
            "picture_bits_per_pixel": 8 * headers["file_size"] / pixels,
        }
    ).astype(np.float32)
    frame["picture_mode"] = headers["mode"]
    return frame
