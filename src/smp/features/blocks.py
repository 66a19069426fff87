"""Sums over the labels that a row may see: those of earlier time blocks, never of its own or of later ones."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class GroupSums:
    """What each of n rows sees of its group: arrays (n,) float64, all 0 where it sees nothing."""

    count: np.ndarray
    total: np.ndarray
    squares: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """Mean label (n,), NaN where nothing is seen."""
        return np.divide(self.total, self.count, out=np.full(len(self.count), np.nan), where=self.count > 0)

    @property
    def std(self) -> np.ndarray:
        """Standard deviation over the count, not count - 1; (n,), NaN below two labels."""
        mean = self.mean
        variance = np.divide(self.squares, self.count, out=np.full_like(mean, np.nan), where=self.count > 1) - mean**2
        return np.sqrt(np.maximum(variance, 0))

    def shrunk(self, strength: float) -> np.ndarray:
        """total / (count + strength): the mean of a group of few labels drawn towards 0, the prior of residuals."""
        return self.total / (self.count + strength)


def group_sums(key: np.ndarray, y: np.ndarray, block: np.ndarray) -> GroupSums:
    """Count, sum and sum of squares of the labels with a row's key in earlier blocks.

    key (n,) int codes, -1 = missing (sees and shows nothing); y (n,) with NaN where a label is hidden; block (n,) int.
    Sums are made per (key, block) cell and then cell by cell over the blocks before it, not as a total
    minus the row's own part: so not even the last bit of a result depends on a label of the row's own block. Time
    and memory go with n + largest key * blocks. Raises ValueError when the lengths differ.
    """
    if not len(key) == len(y) == len(block):
        raise ValueError(f"key, y and block differ in length: {len(key)}, {len(y)}, {len(block)}")
    blocks, column = np.unique(block, return_inverse=True)
    row = np.asarray(key, np.int64) + 1  # the first is that of missing keys
    cell, shape = row * len(blocks) + column, (int(row.max(initial=0)) + 1, len(blocks))
    shown = np.isfinite(y) & (key >= 0)
    label = np.asarray(y, np.float64)[shown]

    def seen(weights: np.ndarray | None) -> np.ndarray:
        own = np.bincount(cell[shown], weights, minlength=shape[0] * shape[1]).reshape(shape).astype(np.float64)
        reach = np.zeros_like(own)
        if len(blocks) > 1:
            reach[:, 1:] = own[:, :-1].cumsum(axis=1)
        return np.where(key >= 0, reach.reshape(-1)[cell], 0.0)

    return GroupSums(seen(None), seen(label), seen(label * label))


def block_residual(y: np.ndarray, block: np.ndarray) -> np.ndarray:
    """Label minus the mean of the labels shown in its own block (n,): what is left when the drift is taken out.

    It depends on labels of the row's own block alone, so under the block rule it may be used wherever the label may.
    """
    blocks, column = np.unique(block, return_inverse=True)
    shown = np.isfinite(y)
    count = np.bincount(column[shown], minlength=len(blocks))
    total = np.bincount(column[shown], np.asarray(y, np.float64)[shown], minlength=len(blocks))
    return y - (total / np.maximum(count, 1))[column]
