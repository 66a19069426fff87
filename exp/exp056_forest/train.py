"""A quantile regression forest. Parents: none. Asks: does a distribution from averaged deep trees help the median?"""

from dataclasses import dataclass

from smp.learners import Forest
from smp.runner import Experiment, run_cv


@dataclass(frozen=True)
class Config(Experiment):
    features: tuple[str, ...] = ("video_stats", "minilm_content")
    label_features: tuple[str, ...] = ("user_labels",)
    learner: Forest = Forest()
    weight: str = "inverse_label"
    seeds: tuple[int, ...] = (0,)


if __name__ == "__main__":
    run_cv(__file__, Config, track="video", small={"learner": Forest(trees=200)})
