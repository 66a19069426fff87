"""LightGBM on video statistics and text. Parents: none. Asks: what do the account's counts and a MAPE loss reach?"""

from dataclasses import dataclass

from smp.experiment import Experiment, Weight
from smp.learners import LightGBM
from smp.runner import run_cv

TRACK = "video"
GROUP = "submission"
PARENTS = ()


@dataclass(frozen=True)
class Config(Experiment):
    features: tuple[str, ...] = ("video_stats", "minilm_content")
    label_features: tuple[str, ...] = ("user_labels",)
    # Few leaves: of the many columns only the account's and a few others hold anything on so few posts.
    learner: LightGBM = LightGBM(objective="l1", rounds=600, num_leaves=8, feature_fraction=0.3)
    weight: Weight = "inverse_label"  # L1 weighted by 1/y is MAPE itself


if __name__ == "__main__":
    run_cv(__file__, Config, TRACK)
