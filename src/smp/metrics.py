"""What predictions are judged by: metrics with their direction, and a track's task made of them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import rankdata


@dataclass(frozen=True)
class Metric:
    """A score of predictions (n,) or (n, k) against labels of the same shape."""

    name: str
    function: Callable[..., float]  # of labels, predictions and the columns named by `beside`
    greater_is_better: bool
    beside: tuple[str, ...] = ()  # the items' columns that it needs too, as what labels count from, or what is ranked

    def __call__(self, y_true: np.ndarray, y_pred: np.ndarray, items: pd.DataFrame | None = None) -> float:
        """items: those of the labels, in their order; needed where there are columns `beside`."""
        columns = (items[name].to_numpy() for name in self.beside)
        return float(self.function(np.asarray(y_true), np.asarray(y_pred), *columns))

    @property
    def sign(self) -> int:
        """+1 where greater is better, else -1."""
        return 1 if self.greater_is_better else -1

    @property
    def better(self) -> str:
        """In words."""
        return "higher" if self.greater_is_better else "lower"

    def share(self, value: float, best: float) -> float:
        """How much of the best reachable score a score is: 1 is all of it, whichever way the metric goes."""
        return value / best if self.greater_is_better else best / value


@dataclass(frozen=True)
class Task:
    """What a track asks of its predictions."""

    metrics: tuple[Metric, ...]  # the first is the headline
    loss: Callable[[np.ndarray, np.ndarray], float]  # (y, p) -> what searches and blends minimise
    item_loss: Callable[[np.ndarray, np.ndarray], np.ndarray]  # (y, p) -> (n,) what each item adds to the mean error
    error: str  # name of the metric that is the mean of `item_loss`
    weight: Callable[[np.ndarray], np.ndarray]  # y -> (n,) of each label in the median that minimises the mean error

    def scores(self, y_true: np.ndarray, y_pred: np.ndarray, items: pd.DataFrame) -> dict[str, float]:
        """Every metric by its name; items: those of the labels, in their order."""
        return {metric.name: metric(y_true, y_pred, items) for metric in self.metrics}


def src(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    """Spearman's rank correlation with average ranks for ties (paper eq. 9); 0.0 where either side is constant."""
    if np.ptp(y_true) == 0 or np.ptp(y_pred) == 0:
        return 0.0
    y, p = (rank - rank.mean() for rank in map(rankdata, (y_true, y_pred)))  # spearmanr: ten times as long
    return float(y @ p / np.sqrt((y @ y) * (p @ p)))


def absolute(y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    """(n,) what each item adds to the mean absolute error."""
    return np.abs(np.asarray(y_true) - y_pred)


def squared(y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    """(n,) what each item adds to the mean squared error."""
    return (np.asarray(y_true) - y_pred) ** 2


def even(y: np.ndarray) -> np.ndarray:
    """(n,) of ones: the median that minimises a mean absolute error is the plain one."""
    return np.ones(len(y))


def mae(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    """Mean absolute error, in units of the label (paper eq. 10)."""
    return float(np.mean(absolute(y_true, y_pred)))


def mse(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    """Mean squared error; of labels log2(1 + count) the papers' MSLE."""
    return float(np.mean(squared(y_true, y_pred)))


def r2(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    """1 - mean squared error / variance of the labels; 0.0 where all labels are one."""
    spread = np.var(y_true)
    return 1 - mse(y_true, y_pred) / float(spread) if spread else 0.0


def mape(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    """Mean absolute percentage error as a share of the true label: mean(|y - p| / y)."""
    return float(np.mean(np.abs(np.asarray(y_true) - y_pred) / y_true))


SRC = Metric("src", src, greater_is_better=True)
MAE = Metric("mae", mae, greater_is_better=False)
MAPE = Metric("mape", mape, greater_is_better=False)


def mean_and_errors(values: np.ndarray, group: np.ndarray) -> dict[str, float]:
    """Mean of (n,) values, its standard error over the values, and that over the means of the groups (n,).

    Of differences between the losses of two models on the same posts this is the paired comparison. The error over
    groups is NaN for one group.
    """
    _, group = np.unique(group, return_inverse=True)
    of_group = np.bincount(group, values) / np.bincount(group)
    k = len(of_group)
    return {
        "mean": float(np.mean(values)),
        "se_posts": float(np.std(values, ddof=1) / len(values) ** 0.5),
        "mean_of_groups": float(of_group.mean()),
        "se_groups": float(np.std(of_group, ddof=1) / k**0.5) if k > 1 else float("nan"),
    }
