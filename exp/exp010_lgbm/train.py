"""LightGBM on post and user statistics. Parents: none. Asks: what do metadata alone reach?"""

from dataclasses import dataclass

from smp.learners import LightGBM
from smp.runner import Experiment, run_cv


@dataclass(frozen=True)
class Config(Experiment):
    features: tuple[str, ...] = ("post_stats", "time_place", "user_behaviour")
    learner: LightGBM = LightGBM(objective="l2", rounds=600, learning_rate=0.03)


if __name__ == "__main__":
    run_cv(__file__, Config, track="image")
