"""The mean growth of the 50 videos of most alike trajectories. Parents: none. Asks: what do neighbours reach?"""

from dataclasses import dataclass

from smp import features
from smp.experiment import Run, Settings
from smp.oof import Part
from smp.runner import Model, run_experiment
from smp.tracks.base import Data

import numpy as np
import pandas as pd
from sklearn.neighbors import KNeighborsRegressor

TRACK = "microvideo"
GROUP = "systems"
PARENTS = ()


@dataclass(frozen=True)
class Config(Settings):
    features: tuple[str, ...] = ("trajectory",)
    neighbours: int = 50


class Neighbours(Model):
    """Distances between columns in units of their spread; what is missing lies in the middle."""

    def __init__(self, run: Run, data: Data, folds: pd.DataFrame):
        super().__init__(run, data, folds)
        self.X = features.load(run.track, self.config.features, data).dense().astype(np.float64)

    def predict(self, part: Part) -> np.ndarray:
        if not len(part.query):
            return np.empty((0, 1))
        X = self.X[:, np.isfinite(self.X[part.train]).any(axis=0)]
        train = X[part.train]
        X = np.nan_to_num((X - np.nanmean(train, axis=0)) / (np.nanstd(train, axis=0) + 1e-9))
        model = KNeighborsRegressor(min(self.config.neighbours, len(part.train)))
        return model.fit(X[part.train], self.data.labels[part.train]).predict(X[part.query])[:, None]


if __name__ == "__main__":
    run_experiment(__file__, Config, TRACK, Neighbours)
