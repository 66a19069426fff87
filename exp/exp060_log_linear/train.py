"""A line through the logarithm of the observed count. Parents: none. Asks: what does the count alone tell?

Szabo and Huberman (2010): later counts are proportional to earlier ones on a logarithmic scale.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from smp import features
from smp.experiment import Run, Settings
from smp.oof import Part
from smp.runner import Model, run_experiment
from smp.tracks.base import Data

TRACK = "cascade"
GROUP = "systems"
PARENTS = ()


@dataclass(frozen=True)
class Config(Settings):
    features: tuple[str, ...] = ("size",)


class Line(Model):
    """Least squares on one column."""

    def __init__(self, run: Run, data: Data, folds: pd.DataFrame):
        super().__init__(run, data, folds)
        self.size = features.load(run.track, self.config.features, data).dense()[:, 0].astype(np.float64)

    def predict(self, part: Part) -> np.ndarray:
        line = np.polyfit(self.size[part.train], self.data.labels[part.train], 1)
        return np.polyval(line, self.size[part.query])[:, None]


if __name__ == "__main__":
    run_experiment(__file__, Config, TRACK, Line)
