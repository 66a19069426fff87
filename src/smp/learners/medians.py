"""Weighted medians: with the weights 1/y, the prediction of least expected percentage error."""

from dataclasses import dataclass

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


@dataclass(frozen=True)
class Bend:
    """A smooth curve from a model's predictions to what is predicted instead: linear between its places, of slope 1
    beyond them.
    """

    places: list[float]  # ascending
    values: list[float]

    def __call__(self, at: np.ndarray) -> np.ndarray:
        inside = at.clip(self.places[0], self.places[-1])
        return np.interp(inside, self.places, self.values) + (at - inside)


def median_bend(pred: np.ndarray, y: np.ndarray, weight: np.ndarray, width: float = WIDTH, points: int = 64) -> Bend:
    """The curve through local weighted medians, which makes a model of the mean one of the (weighted) median.

    pred (n,): predictions of labels y (n,) by models that saw none of them; weight (n,). For a prediction m the labels
    stand at m + (y - pred), each with its weight times a Gaussian kernel of (pred - m) / width; their median is the
    curve's value: where low labels spread more, it bends. It has `points` places between the predictions' extremes, so
    that what becomes of a prediction does not depend on what else is predicted.
    """
    places, values = np.linspace(pred.min(), pred.max(), points), []
    for m in places:
        near = np.exp(-0.5 * ((pred - m) / width) ** 2) + 1e-12
        values.append(float(weighted_median(m + y - pred, (weight * near)[None])[0]))
    return Bend(places.tolist(), values)
