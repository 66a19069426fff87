"""LightGBM on video statistics, a small one. Parents: none."""

from dataclasses import dataclass

from smp.learners import LightGBM
from smp.runner import Experiment, run_cv


@dataclass(frozen=True)
class Config(Experiment):
    features: tuple[str, ...] = ("video_stats",)
    learner: LightGBM = LightGBM(objective="l1", rounds=60)
    weight: str = "inverse_label"
    seeds: tuple[int, ...] = (0,)


if __name__ == "__main__":
    run_cv(__file__, Config, track="video")
