"""How tables and pictures are shown everywhere: Markdown, and figures of one look, drawn without a window."""

import io
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from smp.disk.store import replacing

COLORS = ("#0b6e4f", "#c8553d", "#4c6ea8", "#d9a21b", "#7a5195", "#8a8f98")
PALE = "#9aa5b1"  # what the rest is compared with


def subplots(rows: int, columns: int, width: float = 4.2, height: float = 3.4, **more) -> tuple[plt.Figure, np.ndarray]:
    """A figure of panels of so many inches each; the axes as an array (rows, columns)."""
    size = (width * columns, height * rows)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained", **more)
    for axis in axes.flat:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25)
    return figure, axes


def png(figure: plt.Figure, note: str = "") -> bytes:
    """The figure as PNG, and closed; same figure, same bytes. note: kept in the file as its Description."""
    buffer = io.BytesIO()
    metadata = {"Software": None, **({"Description": note} if note else {})}
    figure.savefig(buffer, dpi=110, format="png", metadata=metadata)
    plt.close(figure)
    return buffer.getvalue()


def save(figure: plt.Figure, path: Path) -> None:
    """Write the figure as PNG, aside and then renamed."""
    with replacing(path) as aside:
        aside.write_bytes(png(figure))


def markdown(table: pd.DataFrame) -> str:
    """A Markdown table of the columns (not the index): numbers to the right, NaN as a dash."""
    right = [pd.api.types.is_numeric_dtype(t) for t in table.dtypes]
    lines = [list(map(str, table.columns)), ["---:" if r else "---" for r in right]]
    lines += [[cell(v) for v in row] for row in table.itertuples(index=False)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def cell(value: object) -> str:
    """What a table shows of a value: at most 4 digits behind the point, a dash where there is none."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return "–"
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, (int, np.integer)):
        return f"{value:,}"
    if isinstance(value, (float, np.floating)):
        return f"{value:,.4f}".rstrip("0").rstrip(".")
    return str(value)
