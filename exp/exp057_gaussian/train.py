"""A Gaussian process on account, text and user. Parents: none. Asks: what does a smooth model of the mean reach?"""

from dataclasses import dataclass

from smp.learners import GaussianProcess
from smp.runner import Experiment, run_cv


@dataclass(frozen=True)
class Config(Experiment):
    features: tuple[str, ...] = ("video_stats", "video_users", "minilm_content")
    learner: GaussianProcess = GaussianProcess()
    weight: str = "inverse_label"
    seeds: tuple[int, ...] = (0,)


if __name__ == "__main__":
    run_cv(__file__, Config, track="video")
