"""The mean of the training labels. Parents: none. Asks: what is reached without looking at a song?"""

from dataclasses import dataclass

import numpy as np

from smp.experiment import Settings
from smp.oof import Part
from smp.runner import Model, run_experiment

TRACK = "music"
GROUP = "systems"
PARENTS = ()


@dataclass(frozen=True)
class Config(Settings):
    pass


class Mean(Model):
    """One number for every song."""

    def predict(self, part: Part) -> np.ndarray:
        return np.full((len(part.query), 1), self.data.labels[part.train].mean())


if __name__ == "__main__":
    run_experiment(__file__, Config, TRACK, Mean)
