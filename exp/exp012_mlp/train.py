"""A neural network on the same features. Parents: none. Asks: what does a smooth model add to the trees?"""

from dataclasses import dataclass

from smp.learners import MLP
from smp.runner import Experiment, run_cv


@dataclass(frozen=True)
class Config(Experiment):
    features: tuple[str, ...] = ("post_stats", "time_place", "user_behaviour")
    learner: MLP = MLP()


if __name__ == "__main__":
    run_cv(__file__, Config, track="image")
