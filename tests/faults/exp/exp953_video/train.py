"""LightGBM on video statistics, a small one. Parents: none."""

from dataclasses import dataclass

from smp.experiment import Experiment, Weight
from smp.learners import LightGBM
from smp.runner import run_cv

TRACK = "video"
GROUP = "submission"
PARENTS = ()


@dataclass(frozen=True)
class Config(Experiment):
    features: tuple[str, ...] = ("video_stats",)
    learner: LightGBM = LightGBM(objective="l1", rounds=20)
    weight: Weight = "inverse_label"
    seeds: tuple[int, ...] = (0,)


if __name__ == "__main__":
    run_cv(__file__, Config, TRACK)
