"""The toy track: two targets, a metric of its own, labels that take a week to come."""

import numpy as np
import pandas as pd
from smp.tracks.toy import demo, features
from smp.tracks.toy.read import files, read

from smp.features.shared import pick
from smp.metrics import Metric, Task
from smp.tracks.base import Family, Split, Track


def rmse(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    """Root of the mean over messages and targets of the squared error."""
    return float(np.sqrt(np.mean(item_loss(y_true, y_pred))))


def msle(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    return float(np.mean(item_loss(y_true, y_pred)))


def item_loss(y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    return ((y_true - y_pred) ** 2).mean(axis=1)


def weight(y: np.ndarray) -> np.ndarray:
    return np.ones(len(y))


TRACK = Track(
    name="toy",
    task=Task((Metric("rmse", rmse, False), Metric("msle", msle, False)), rmse, item_loss, "msle", weight),
    split=Split(blocks=4, purge=pd.Timedelta(days=7)),
    files=files,
    read=read,
    demo=demo.write,
    site="nowhere",
    families={
        "message": Family(features.message),
        "first_hour": Family(features.first_hour, events=True),
        **pick("user_labels"),
    },
)
