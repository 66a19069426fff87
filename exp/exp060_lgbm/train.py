"""LightGBM on temporal, structural and publish-time features. Parents: none. Asks: what do features by hand reach?"""

from dataclasses import dataclass

from smp.experiment import Experiment
from smp.learners import LightGBM
from smp.runner import run_cv

TRACK = "cascade"
GROUP = "systems"
PARENTS = ()


@dataclass(frozen=True)
class Config(Experiment):
    features: tuple[str, ...] = ("temporal", "structural", "publish", "circle")
    learner: LightGBM = LightGBM(objective="l2", rounds=300, learning_rate=0.03, num_leaves=15, feature_fraction=0.5)
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)


if __name__ == "__main__":
    run_cv(__file__, Config, TRACK)
