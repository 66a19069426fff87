"""The challenge's metrics, each `(y_true, y_pred) -> float`."""

import numpy as np
from scipy.stats import spearmanr


def src(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    """Spearman's rank correlation with average ranks for ties (paper eq. 9); 0.0 where either side is constant."""
    if np.ptp(y_true) == 0 or np.ptp(y_pred) == 0:
        return 0.0
    return float(spearmanr(y_true, y_pred).statistic)


def mae(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    """Mean absolute error, in units of the label (paper eq. 10)."""
    return float(np.mean(np.abs(np.asarray(y_true) - y_pred)))


def mape(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    """Mean absolute percentage error as a share of the true label: mean(|y - p| / y)."""
    return float(np.mean(np.abs(np.asarray(y_true) - y_pred) / y_true))


# What each track is scored by.
TRACK_METRICS = {"image": {"src": src, "mae": mae}, "video": {"mape": mape}}


def post_losses(track: str, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    """(n,) what each post adds to the track's mean error: its absolute error, for videos as a share of the label."""
    error = np.abs(np.asarray(y_true) - y_pred)
    return error / y_true if track == "video" else error


def error_weight(track: str, y: np.ndarray) -> np.ndarray:
    """(n,) weight of each label in the median that minimises the track's mean error: 1 / y for videos."""
    return 1 / y if track == "video" else np.ones(len(y))


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


def loss(track: str, y_true: np.ndarray, y_pred: np.ndarray) -> float:
    """What searches minimise: MAPE for the video track; MAE as a share of the best constant's, less SRC, for images."""
    if track == "video":
        return mape(y_true, y_pred)
    return mae(y_true, y_pred) / mae(y_true, np.median(y_true)) - src(y_true, y_pred)
