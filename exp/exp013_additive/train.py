"""LightGBM of many tiny trees, nearly additive, with words. Parents: none. Asks: do few interactions carry further?"""

from dataclasses import dataclass

from smp.experiment import Experiment
from smp.learners import LightGBM
from smp.runner import run_cv

TRACK = "image"
GROUP = "submission"
PARENTS = ()


@dataclass(frozen=True)
class Config(Experiment):
    features: tuple[str, ...] = ("post_stats", "time_place", "user_behaviour", "title_tags", "common_words")
    label_features: tuple[str, ...] = ("account_counters", "target_encoding", "user_labels")
    learner: LightGBM = LightGBM(objective="huber", rounds=1500, num_leaves=4, feature_fraction=0.15)


if __name__ == "__main__":
    run_cv(__file__, Config, TRACK, small={"seeds": (0, 1)})
