"""A feature matrix whose columns stay in the blocks they came in: small tables and memory-mapped embeddings."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from smp.errors import DataError


@dataclass(frozen=True)
class FeatureMatrix:
    """Blocks of columns side by side; rows are picked from a block only when they are read.

    blocks: arrays (n_b, d_b), float32 or a float16 memory map. rows: for every block the (n,) positions of this
    matrix's rows in it. names: (D,) one a column. categorical: the names whose values are codes (NaN = missing).
    """

    names: tuple[str, ...]
    categorical: tuple[str, ...]
    blocks: tuple[np.ndarray, ...]
    rows: tuple[np.ndarray, ...]

    @classmethod
    def from_table(cls, table: pd.DataFrame) -> "FeatureMatrix":
        """A float32 block from a frame (n, d); pandas categories become their codes."""
        values = np.empty(table.shape, np.float32, order="F")
        for j, (_, column) in enumerate(table.items()):
            if isinstance(column.dtype, pd.CategoricalDtype):
                codes = column.cat.codes.to_numpy()
                values[:, j] = np.where(codes < 0, np.nan, codes)
            else:
                values[:, j] = column.to_numpy(dtype=np.float32, na_value=np.nan)
        categorical = tuple(table.columns[[isinstance(t, pd.CategoricalDtype) for t in table.dtypes]])
        return cls(tuple(table.columns), categorical, (values,), (np.arange(len(table)),))

    @classmethod
    def from_array(cls, array: np.ndarray, names: Sequence[str], rows: np.ndarray) -> "FeatureMatrix":
        """A block that stays where it is (a memory map): row i of the matrix is `array[rows[i]]`."""
        return cls(tuple(names), (), (array,), (rows,))

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.rows[0]), len(self.names)

    def __len__(self) -> int:
        return len(self.rows[0])

    def take(self, index: np.ndarray) -> "FeatureMatrix":
        """The rows at `index` (positions or a mask), without copying values."""
        return FeatureMatrix(self.names, self.categorical, self.blocks, tuple(r[index] for r in self.rows))

    def split(self) -> tuple["FeatureMatrix | None", list["FeatureMatrix"]]:
        """The tables as one matrix (None without any), and every embedding (a float16 block) as one of its own."""
        tables, embeddings, start = [], [], 0
        for block, rows in zip(self.blocks, self.rows):
            names = self.names[start : start + block.shape[1]]
            categorical = tuple(n for n in names if n in self.categorical)
            part = FeatureMatrix(names, categorical, (block,), (rows,))
            (embeddings if block.dtype == np.float16 else tables).append(part)
            start += block.shape[1]
        return (tables[0].join(*tables[1:]) if tables else None), embeddings

    def join(self, *others: "FeatureMatrix") -> "FeatureMatrix":
        """Columns of several matrices of the same rows, side by side. Raises DataError on a name given twice."""
        parts = (self, *others)
        names = tuple(n for p in parts for n in p.names)
        twice = sorted(name for name, n in Counter(names).items() if n > 1)
        if twice:
            what = f"columns in two feature families: {', '.join(twice[:5])}"
            raise DataError(f"{what}; leave one out, or rename the column of a file of your own")
        if len({len(p) for p in parts}) > 1:
            raise ValueError(f"matrices of {[len(p) for p in parts]} rows cannot stand side by side")
        return FeatureMatrix(
            names,
            tuple(n for p in parts for n in p.categorical),
            tuple(b for p in parts for b in p.blocks),
            tuple(r for p in parts for r in p.rows),
        )

    def dense(self, rows: slice | np.ndarray = slice(None)) -> np.ndarray:
        """(n, D) float32, C order: the one place where values are copied out."""
        picked = [r[rows] for r in self.rows]
        out = np.empty((len(picked[0]), len(self.names)), np.float32)
        start = 0
        for block, at in zip(self.blocks, picked):
            out[:, start : start + block.shape[1]] = block[at]
            start += block.shape[1]
        return out
