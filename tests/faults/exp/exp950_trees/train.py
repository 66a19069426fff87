"""LightGBM, a small one, with features made from labels. Parents: none."""

from dataclasses import dataclass

from smp.experiment import Experiment
from smp.learners import LightGBM
from smp.runner import run_cv

TRACK = "image"
GROUP = "submission"
PARENTS = ()


@dataclass(frozen=True)
class Config(Experiment):
    features: tuple[str, ...] = ("post_stats", "time_place", "stream")
    label_features: tuple[str, ...] = ("label_means",)
    learner: LightGBM = LightGBM(rounds=20)
    seeds: tuple[int, ...] = (0, 1)


if __name__ == "__main__":
    run_cv(__file__, Config, TRACK)
