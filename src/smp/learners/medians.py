"""Weighted medians: with the weights 1/y, the prediction of least expected percentage error."""

import numpy as np

WIDTH = 0.8  # in label units, of the kernel of a local median


def weighted_median(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(q,) median of values (n,) under each row of weights (q, n) >= 0: the first with half the weight up to it.

    Under weights w(y)/y it minimises the mean of |y - p| / y when y has the density w. Raises ValueError on a row
    without weight.
    """
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[:, order], axis=1, dtype=np.float64)
    if not (reached[:, -1] > 0).all():
        raise ValueError("a row without weight has no median")
    return values[order][(reached < reached[:, -1:] / 2).sum(axis=1)]


def local_median(
    pred: np.ndarray, y: np.ndarray, weight: np.ndarray, at: np.ndarray, width: float = WIDTH, points: int = 64
) -> np.ndarray:
    """(q,) what to predict instead of `at` (q,): a smooth curve through local weighted medians.

    pred (n,): predictions of labels y (n,) by models that saw none of them; weight (n,). For a prediction m the labels
    stand at m + (y - pred), each with its weight times a Gaussian kernel of (pred - m) / width; their median is the
    curve's value. So a model of the mean becomes one of the (weighted) median, and where low labels spread more, the
    curve bends there. It is evaluated at `points` places between the predictions' extremes and linear between.
    """
    places = np.linspace(min(pred.min(), at.min()), max(pred.max(), at.max()), points)
    curve = np.empty(points)
    for i, m in enumerate(places):
        near = np.exp(-0.5 * ((pred - m) / width) ** 2) + 1e-12  # beyond all predictions: the nearest decide
        curve[i] = weighted_median(m + y - pred, (weight * near)[None])[0]
    return np.interp(at, places, curve)
