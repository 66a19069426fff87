"""Rules without anything to learn: the objects ranked by one number."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from smp import features
from smp.experiment import Run, Settings
from smp.oof import Part
from smp.runner import Model, run_experiment
from smp.tracks.base import Data


@dataclass(frozen=True)
class Rule(Settings):
    """What such an experiment states."""

    columns: tuple[str, ...]  # of the features, log2(1 + requests a window); of several the best is taken
    features: tuple[str, ...] = ("decays", "lags")


class Column(Model):
    """Of the columns the one that ranks the windows best that a part learns from, by the track's first metric."""

    config: Rule

    def __init__(self, run: Run, data: Data, folds: pd.DataFrame):
        super().__init__(run, data, folds)
        X = features.load(run.track, self.config.features, data)
        self.columns = {name: column for name, column in zip(X.names, X.dense().T) if name in self.config.columns}

    def predict(self, part: Part) -> np.ndarray:
        headline, y, items = self.task.metrics[0], self.data.labels[part.train], self.data.items.iloc[part.train]
        best = max(self.columns, key=lambda name: headline.sign * headline(y, self.columns[name][part.train], items))
        return self.columns[best][part.query, None].astype(np.float64)


def run_rule(script: str, config_class: type, track: str) -> None:
    """Entry point of an experiment that ranks by a rule."""
    run_experiment(script, config_class, track, Column)
