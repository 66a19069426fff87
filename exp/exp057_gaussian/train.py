"""A Gaussian process on account, text and user. Parents: none. Asks: what does a smooth model of the mean reach?"""

from dataclasses import dataclass

from smp.experiment import Experiment, Weight
from smp.learners import GaussianProcess
from smp.runner import run_cv

TRACK = "video"
GROUP = "submission"
PARENTS = ()


@dataclass(frozen=True)
class Config(Experiment):
    features: tuple[str, ...] = ("video_stats", "video_users", "minilm_content")
    learner: GaussianProcess = GaussianProcess()
    weight: Weight = "inverse_label"
    seeds: tuple[int, ...] = (0,)


if __name__ == "__main__":
    run_cv(__file__, Config, TRACK)
