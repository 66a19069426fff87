"""Picture files of unknown quality: header sizes, a decoder that never raises, and a census of a whole data set."""

import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image, ImageFile

from smp.disk.walk import below
from smp.errors import DataError
from smp.progress import progress

MAX_PIXELS = 64_000_000  # more than any camera of the data set; a few kilobytes can claim billions
SUFFIXES = (".jpg", ".jpeg", ".jfif", ".jpe", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff")
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF")  # no EPS: Pillow hands that to Ghostscript
ImageFile.LOAD_TRUNCATED_IMAGES = True
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # MAX_PIXELS is stricter


def header(path: Path) -> tuple[int, int, str]:
    """Width and height in pixels and Pillow's mode, from the header alone.

    Raises FileNotFoundError, or OSError for what is no picture or has more than MAX_PIXELS.
    """
    with _open(path) as picture:
        return picture.width, picture.height, picture.mode


def load_rgb(path: Path) -> Image.Image | None:
    """The picture in RGB, of an animation the first frame; None when missing, unreadable or over MAX_PIXELS.

    What a truncated file still holds is decoded; transparency is laid on white; 16 bits are scaled down to 8.
    """
    try:
        with _open(path) as picture:
            picture.load()
            if picture.mode[0] in "IF":  # convert("RGB") would clip these at 255
                levels = np.asarray(picture, dtype="float32")
                top = 65535 if picture.mode[0] == "I" else max(float(levels.max()), 1e-9)
                return Image.fromarray((levels / top * 255).clip(0, 255).astype("uint8")).convert("RGB")
            if picture.has_transparency_data:
                picture = picture.convert("RGBA")
                picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
            return picture.convert("RGB")
    except Exception:  # decoders raise whatever they like on damaged files: OSError, SyntaxError, struct.error, ...
        return None


def has_pictures(folder: Path) -> bool:
    """Whether a file below the folder is named like a picture, or is one and its name has no ending."""
    bare = (path for path in below(folder, ("",)) if not path.suffix and _row(folder.resolve(), str(path))[-1] == "ok")
    return next(below(folder, SUFFIXES), None) is not None or next(bare, None) is not None


def scan(folder: Path, image_paths: Sequence[str], workers: int = 16) -> pd.DataFrame:
    """One row a path, in its order (and under its index, if it has one): width, height, mode, file_size, status.

    Sizes are float32 pixels and float64 bytes, NaN where unknown; status is ok, missing or unreadable. Only headers are
    read. Raises DataError for a path that leaves `folder`, by its name or through a link; `folder` itself may be one.
    """
    root = folder.resolve()
    index = image_paths.index if isinstance(image_paths, pd.Series) else None
    paths = list(image_paths)
    chunks = [paths[i : i + 256] for i in range(0, len(paths), 256)]
    rows = []
    with progress(total=len(paths), desc="image headers", unit="image") as bar, ThreadPoolExecutor(workers) as pool:
        for part in pool.map(lambda chunk: [_row(root, path) for path in chunk], chunks):
            rows += part
            bar.update(len(part))
    table = pd.DataFrame(rows, columns=["width", "height", "mode", "file_size", "status"], index=index)
    kinds = {"width": "float32", "height": "float32", "file_size": "float64", "mode": "category"}
    return table.astype(kinds | {"status": pd.CategoricalDtype(["ok", "missing", "unreadable"])})


def leaves_folder(paths: pa.Array) -> pa.Array:
    """True for each path that is absolute, climbs with `..` or is empty: none may come from a data file."""
    return pc.match_substring_regex(paths, r"^$|^[/\\]|^[A-Za-z]:|(^|[/\\])\.\.([/\\]|$)|\x00")


def check_inside(folder: Path, file_paths: Sequence[str]) -> None:
    """Raises DataError where a link leads one of the paths below `folder` out of it; `folder` itself may be a link."""
    root = folder.resolve()
    for parent in {os.path.dirname(path) for path in file_paths}:
        _resolve(root, parent)
    with ThreadPoolExecutor(16) as pool:
        is_link = pool.map(lambda path: os.path.islink(root / path), file_paths, chunksize=1024)
        for path, linked in zip(file_paths, is_link):
            if linked:
                _resolve(root, path)


def _resolve(root: Path, image_path: str) -> Path:
    """The file itself, behind all links. Raises DataError where it lies outside `root`."""
    path = Path(os.path.realpath(root / image_path))  # Path.resolve raises RuntimeError on a loop of links
    if not path.is_relative_to(root):
        raise DataError(f"{root / image_path}: leads out of the data folder; move the files into it")
    return path


def _open(path: Path) -> Image.Image:
    if os.path.exists(path) and not os.path.isfile(path):  # a pipe would be waited for without end
        raise OSError(f"{path}: no regular file")
    try:
        picture = Image.open(path, formats=FORMATS)
    except OSError:
        raise
    except Exception as error:  # a damaged header, as for load_rgb
        raise OSError(f"{path}: {error}") from error
    if picture.width * picture.height > MAX_PIXELS:
        picture.close()
        raise OSError(f"{path}: {picture.width} x {picture.height} pixels, more than {MAX_PIXELS:,}")
    return picture


def _row(root: Path, image_path: str) -> tuple:
    try:
        path = _resolve(root, image_path)
        size = path.stat().st_size
    except (OSError, ValueError):  # the latter: a NUL in the name
        return np.nan, np.nan, None, np.nan, "missing"
    try:
        return *header(path), size, "ok"
    except OSError:
        return np.nan, np.nan, None, size, "unreadable"
