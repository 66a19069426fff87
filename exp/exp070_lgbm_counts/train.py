"""LightGBM on counters alone. Parents: none. Asks: what do levels and steps of the counters reach?"""

from dataclasses import dataclass

from smp.experiment import Experiment
from smp.learners import LightGBM
from smp.runner import run_cv

TRACK = "microvideo"
GROUP = "systems"
PARENTS = ()


@dataclass(frozen=True)
class Config(Experiment):
    features: tuple[str, ...] = ("counters",)
    learner: LightGBM = LightGBM(objective="l2", rounds=400, learning_rate=0.03, num_leaves=31, feature_fraction=0.5)
    seeds: tuple[int, ...] = (0, 1, 2)


if __name__ == "__main__":
    run_cv(__file__, Config, TRACK)
