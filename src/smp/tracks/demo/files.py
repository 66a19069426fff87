"""Writers of rows and labels as the official files have them."""

from pathlib import Path

import numpy as np
import orjson
import pandas as pd

CHUNK = 50_000  # rows turned into Python objects at a time


def write_rows(path: Path, columns: dict[str, np.ndarray], lines: bool = False) -> None:
    """An array of objects, or one object per line, from equally long columns."""
    n = len(next(iter(columns.values())))
    begin, between, end = (b"", b"\n", b"\n") if lines else (b"[", b",", b"]")
    with path.open("wb") as file:
        file.write(begin)
        for start in range(0, n, CHUNK):
            part = [column[start : start + CHUNK].tolist() for column in columns.values()]
            rows = [orjson.dumps(dict(zip(columns, row, strict=True))) for row in zip(*part, strict=True)]
            file.write((between if start else b"") + between.join(rows))
        file.write(end)


def write_labels(path: Path, ids: np.ndarray, label: np.ndarray) -> None:
    """The labels of a test split, `post_id,label`."""
    pd.DataFrame({"post_id": ids, "label": label}).to_csv(path, index=False, float_format="%.2f")
