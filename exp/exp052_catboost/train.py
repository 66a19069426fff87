"""CatBoost on the features of exp051, categoricals native. Parents: none. Asks: what does ordered boosting add?"""

from dataclasses import dataclass

from smp.experiment import Experiment
from smp.learners import CatBoost
from smp.runner import run_cv

TRACK = "video"
GROUP = "submission"
PARENTS = ()


@dataclass(frozen=True)
class Config(Experiment):
    features: tuple[str, ...] = ("video_stats", "minilm_content")
    label_features: tuple[str, ...] = ("user_labels",)
    learner: CatBoost = CatBoost(rounds=400, depth=4, rsm=0.4)
    median_folds: int = 5  # a model of the mean, bent to the median: better than its own weighted MAE


if __name__ == "__main__":
    run_cv(__file__, Config, TRACK, small={"seeds": (0,)})
