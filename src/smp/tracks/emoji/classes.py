"""What predictions of classes and of popularity are judged by.

Classes: labels and chances (n, k), a column a class of a task; -1 in the labels where a class is of another task than
the post's (smp.tracks.emoji.read). Popularity: (n,). Every measure is defined for both, so that the track has one list.
"""

import numpy as np

from smp.metrics import SRC


def tasks_of(y: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """The rows and the columns of each task in the labels (n, k); posts without a label are of none."""
    own = y >= 0
    seen, which = np.unique(own, axis=0, return_inverse=True)
    return [
        (np.flatnonzero(which.reshape(-1) == t), np.flatnonzero(columns))
        for t, columns in enumerate(seen)
        if columns.any()
    ]


def decided(y: np.ndarray, p: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of each task the true and the predicted class of its posts; of popularity: above the median or not."""
    y, p = np.asarray(y), np.asarray(p)
    if y.ndim == 1:
        return [(y > np.median(y), p > np.median(p))]
    return [(y[np.ix_(r, c)].argmax(axis=1), p[np.ix_(r, c)].argmax(axis=1)) for r, c in tasks_of(y)]


def macro_f1(y: np.ndarray, p: np.ndarray) -> float:
    """The mean over tasks of the mean F1 of the classes that are there; 0.0 of a class that is never predicted."""
    return float(np.mean([_macro(true, said) for true, said in decided(y, p)]))


def _macro(true: np.ndarray, said: np.ndarray) -> float:
    f1 = [2 * ((true == c) & (said == c)).sum() / ((true == c).sum() + (said == c).sum()) for c in np.unique(true)]
    return float(np.mean(f1))


def accuracy(y: np.ndarray, p: np.ndarray) -> float:
    """The mean over tasks of the share of posts whose class is predicted."""
    return float(np.mean([np.mean(true == said) for true, said in decided(y, p)]))


def src(y: np.ndarray, p: np.ndarray) -> float:
    """Spearman's rank correlation of popularity; of classes the mean over them of their chance's with being it."""
    if np.ndim(y) == 1:
        return SRC(y, p)
    return float(np.mean([SRC(y[r, j], p[r, j]) for r, c in tasks_of(y) for j in c]))


def mae(y: np.ndarray, p: np.ndarray) -> float:
    """The mean absolute error of log(1 + likes), or of the chances of a post's own task."""
    return float(np.mean(item_loss(y, p)))


def item_loss(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    """(n,) what each post adds to the mean absolute error."""
    return _mean_of_own(y, np.abs(np.asarray(y) - p))


def loss(y: np.ndarray, p: np.ndarray) -> float:
    """The mean squared error, of chances Brier's score: what a blend is chosen by."""
    return float(np.mean(_mean_of_own(y, (np.asarray(y) - p) ** 2)))


def _mean_of_own(y: np.ndarray, error: np.ndarray) -> np.ndarray:
    if np.ndim(y) == 1:
        return error
    own = np.asarray(y) >= 0
    return (error * own).sum(axis=1) / own.sum(axis=1)
