"""Reading official files: their bytes with every quirk counted, numbers that may be none, posts named once."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from smp.errors import DataError

BOM = b"\xef\xbb\xbf"


def read_lines(path: Path, quirks: Counter) -> list[bytes]:
    """The lines of a text file without byte order mark, valid UTF-8 (other bytes become U+FFFD), empty ones at the end
    left out; what was met on the way is counted.
    """
    data = path.read_bytes()
    quirks["files with a byte order mark"] += data.startswith(BOM)
    quirks["files with CRLF line ends"] += b"\r\n" in data
    if is_bad_utf8(data):
        quirks["files with bytes that are not UTF-8"] += 1
        data = data.decode(errors="replace").encode()
    return data.removeprefix(BOM).rstrip().split(b"\n")


def is_bad_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return True
    return False


def check_unique(parts: Sequence[tuple[Path, pd.Series]], unit: str, remedy: str) -> None:
    """Raises DataError where a post is twice in a file's ids, or in the second file (test) and the first (train) too.

    unit: what the files are counted in, row or line.
    """
    for path, ids in parts:
        if (row := first(ids.duplicated())) is not None:
            where = f"there twice ({unit} {first(ids == ids.iloc[row]) + 1})"
            raise DataError(f"{path}: {unit} {row + 1}: post {ids.iloc[row]} is {where}; {remedy}")
    (_, train), *tests = parts
    for path, test in tests:
        if (row := first(test.isin(set(train)))) is not None:
            where = f"in train too ({unit} {first(train == test.iloc[row]) + 1})"
            raise DataError(f"{path}: {unit} {row + 1}: post {test.iloc[row]} is {where}; {remedy}")


def numbers(values: pd.Series) -> np.ndarray:
    """(n,) float64, NaN where a value is no finite number."""
    found = pd.to_numeric(values, errors="coerce").to_numpy(dtype="float64", na_value=np.nan)
    return np.where(np.isfinite(found), found, np.nan)


def first(mask) -> int | None:
    """Position of the first true value."""
    mask = np.asarray(mask, dtype=bool)
    return int(mask.argmax()) if mask.any() else None


def count(mask) -> int:
    """How many are true."""
    return int(np.count_nonzero(np.asarray(mask)))
