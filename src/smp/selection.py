"""Which training posts a model learns from: those whose subcategory a classifier finds easiest (paper 4.2, Fig. 4b)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from smp.disk.store import read_table
from smp.errors import DataError
from smp.oof import finished

Loss = Literal["loss", "loss_global", "loss_local", "loss_cross"]


@dataclass(frozen=True)
class Selection:
    """A share of every fit's training posts, by their classification loss."""

    share: float = 1.0  # 1: all, and no losses are read
    per_class: bool = True  # the share of each subcategory; losses of all would drop the hard ones whole
    losses: str = "exp001_clip_ft"  # the run whose out-of-fold losses rank the posts
    loss: Loss = "loss"  # which of them: the sum of eq. 8, or one of its three parts

    def file(self, track: str) -> Path:
        """Where the losses are. Raises DataError naming the command that makes them."""
        return finished(track, self.losses) / "losses.parquet"

    def rows(self, track: str, items: pd.DataFrame, train: np.ndarray) -> np.ndarray:
        """Those of the positions `train` of the items that are kept, in their order."""
        if not 0 < self.share <= 1:
            raise DataError(f"a share of {self.share} of the training posts: must be over 0 and at most 1")
        if self.share == 1:
            return train
        loss = read_table(self.file(track))[self.loss].reindex(items.index[train]).to_numpy()
        classes = items["subcategory"].cat.codes.to_numpy()[train] if self.per_class else None
        return train[least(loss, self.share, classes)]


def least(loss: np.ndarray, share: float, classes: np.ndarray | None = None, seed: int = 0) -> np.ndarray:
    """(n,) bool: the share of least loss, rounded to whole rows; of every class apart where classes (n,) are given.

    Equals come in their order. Of rows without a loss (NaN: no picture, no text, no class) the same share is kept,
    drawn by the seed: a loss says nothing against them. A class keeps at least one row.
    """
    classes = np.zeros(len(loss), np.int64) if classes is None else classes
    rng, lacking = np.random.default_rng(seed), np.isnan(loss)
    place, size = _places(np.where(lacking, rng.random(len(loss)), loss), np.stack([classes, lacking]))
    # Both kinds spread over (0, 1): the first of a class's places are as large a share of either.
    quantile = (place + np.where(lacking, rng.random(len(loss)), 0.5)) / size
    place, size = _places(quantile, classes[None])
    return place < np.maximum(np.rint(share * size), 1)


def _places(value: np.ndarray, group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n,) each row's place among its group's by value (n,), from 0, and (n,) the group's size; group (k, n)."""
    _, group, size = np.unique(group, axis=1, return_inverse=True, return_counts=True)
    order = np.lexsort((value, group))
    place = np.empty(len(value), np.int64)
    place[order] = np.arange(len(value)) - (np.cumsum(size) - size)[group[order]]
    return place, size[group]
