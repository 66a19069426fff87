"""LightGBM trained over the workers of a Dask cluster, each of which holds some partitions of the rows."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from smp.learners.lgbm import FittedLightGBM, LightGBM
from smp.matrix import FeatureMatrix


@dataclass(frozen=True)
class DaskLightGBM(LightGBM):
    """LightGBM through its Dask interface: rows in partitions, histograms summed over the workers (data parallel).

    The cluster is that of DASK_SCHEDULER_ADDRESS, which Dask itself reads, else this machine's cores. Memory-mapped
    embeddings are read by each worker from the file system, which all must see; tables are sent. Trees differ a little
    from one process's, as every worker bins columns by the rows it holds.
    """

    partitions: int = 8

    def fit(self, X: FeatureMatrix, y: np.ndarray, weight: np.ndarray | None = None, seed: int = 0) -> FittedLightGBM:
        """Train on X (n, D) and labels y (n,), optionally weighted (n,)."""
        import dask
        import dask.array as da
        import lightgbm
        from dask.distributed import Client

        chunks = np.array_split(np.arange(len(X)), self.partitions)
        sizes = (tuple(len(c) for c in chunks),)

        def spread(values: np.ndarray) -> da.Array:
            return da.from_array(np.asarray(values, np.float32), chunks=sizes)

        parts = [dask.delayed(_dense)([_piece(b, r[c]) for b, r in zip(X.blocks, X.rows)]) for c in chunks]
        rows = da.concatenate(
            [da.from_delayed(part, (len(c), X.shape[1]), np.float32) for part, c in zip(parts, chunks)]
        )
        params = self.parameters(X, seed) | {"tree_learner": "data", "num_threads": self.threads}
        with Client() as client:
            model = lightgbm.DaskLGBMRegressor(client=client, n_estimators=self.rounds, **params)
            model.fit(
                rows,
                spread(y),
                sample_weight=None if weight is None else spread(weight),
                categorical_feature=[X.names.index(c) for c in X.categorical],
            )
            return FittedLightGBM(model.booster_, X.names)


class _Mapped(NamedTuple):
    """Some rows of an array in a file."""

    file: str
    offset: int
    shape: tuple[int, ...]
    dtype: str
    rows: np.ndarray


def _piece(block: np.ndarray, rows: np.ndarray) -> np.ndarray | _Mapped:
    if isinstance(block, np.memmap) and block.flags.c_contiguous:
        return _Mapped(str(block.filename), block.offset, block.shape, block.dtype.str, rows)
    return block[rows]


def _dense(pieces: list[np.ndarray | _Mapped]) -> np.ndarray:
    """(rows, D) float32, made on a worker."""
    values = [
        np.memmap(p.file, p.dtype, "r", p.offset, p.shape)[p.rows] if isinstance(p, _Mapped) else p for p in pieces
    ]
    return np.concatenate(values, axis=1, dtype=np.float32)
