"""CatBoost, a small one. Parents: none."""

from dataclasses import dataclass

from smp.experiment import Experiment
from smp.learners import CatBoost
from smp.runner import run_cv

TRACK = "image"
GROUP = "submission"
PARENTS = ()


@dataclass(frozen=True)
class Config(Experiment):
    features: tuple[str, ...] = ("post_stats",)
    learner: CatBoost = CatBoost(rounds=20, depth=4)
    seeds: tuple[int, ...] = (0,)


if __name__ == "__main__":
    run_cv(__file__, Config, TRACK)
