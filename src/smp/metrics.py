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


def loss(track: str, y_true: np.ndarray, y_pred: np.ndarray) -> float:
    """What searches minimise: MAPE for the video track; MAE as a share of the best constant's, less SRC, for images."""
    if track == "video":
        return mape(y_true, y_pred)
    return mae(y_true, y_pred) / mae(y_true, np.median(y_true)) - src(y_true, y_pred)
