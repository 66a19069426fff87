"""CatBoost on the features of exp010, categoricals given natively. Parents: none. Asks: what does it add?"""

from dataclasses import dataclass

from smp.learners import CatBoost
from smp.runner import Experiment, run_cv


@dataclass(frozen=True)
class Config(Experiment):
    features: tuple[str, ...] = ("post_stats", "time_place", "user_behaviour")
    learner: CatBoost = CatBoost()


if __name__ == "__main__":
    run_cv(__file__, Config, track="image")
