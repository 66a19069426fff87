"""A quantile regression forest. Parents: none. Asks: does a distribution from averaged deep trees help the median?"""

from dataclasses import dataclass

from smp.experiment import Experiment, Weight
from smp.learners import Forest
from smp.runner import run_cv

TRACK = "video"
GROUP = "submission"
PARENTS = ()


@dataclass(frozen=True)
class Config(Experiment):
    features: tuple[str, ...] = ("video_stats", "minilm_content")
    label_features: tuple[str, ...] = ("user_labels",)
    learner: Forest = Forest()
    weight: Weight = "inverse_label"
    seeds: tuple[int, ...] = (0,)


if __name__ == "__main__":
    run_cv(__file__, Config, TRACK, small={"learner": Forest(trees=200)})
