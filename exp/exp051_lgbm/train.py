"""LightGBM on video statistics. Parents: none. Asks: what do the account's counts and an honest MAPE loss reach?"""

from dataclasses import dataclass

from smp.learners import LightGBM
from smp.runner import Experiment, run_cv


@dataclass(frozen=True)
class Config(Experiment):
    features: tuple[str, ...] = ("video_stats",)
    learner: LightGBM = LightGBM(objective="l1", rounds=700, learning_rate=0.02, min_child_samples=10)
    weight: str = "inverse_label"  # L1 weighted by 1/y is MAPE itself


if __name__ == "__main__":
    run_cv(__file__, Config, track="video")
