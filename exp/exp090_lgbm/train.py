"""LightGBM on lags and decayed counts. Parents: none. Asks: what do features by hand reach?"""

from dataclasses import dataclass

from smp.experiment import Experiment
from smp.learners import LightGBM
from smp.runner import run_cv

TRACK = "requests"
GROUP = "systems"
PARENTS = ()


@dataclass(frozen=True)
class Config(Experiment):
    features: tuple[str, ...] = ("decays", "lags", "thing")
    learner: LightGBM = LightGBM(objective="l2", rounds=200, learning_rate=0.05, num_leaves=31, bagging_fraction=0.5)
    seeds: tuple[int, ...] = (0, 1, 2)


if __name__ == "__main__":
    run_cv(__file__, Config, TRACK)
