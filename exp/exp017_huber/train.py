"""exp010 with a loss that outliers cannot bend. Parents: none. Asks: what does a loss for the absolute error add?"""

from dataclasses import dataclass

from smp.experiment import Experiment
from smp.learners import LightGBM
from smp.runner import run_cv

TRACK = "image"
GROUP = "submission"
PARENTS = ()


@dataclass(frozen=True)
class Config(Experiment):
    features: tuple[str, ...] = (
        *("post_stats", "time_place", "user_behaviour", "tags_post", "tags_user", "title_tags"),
        "stream",
    )
    label_features: tuple[str, ...] = ("account_counters", "label_means", "user_labels")
    label_blocks: int = 20
    level_blocks: int = 5
    learner: LightGBM = LightGBM(objective="huber", rounds=400, num_leaves=15, extra_trees=True, feature_fraction=0.3)


if __name__ == "__main__":
    run_cv(__file__, Config, TRACK, small={"seeds": (0, 1)})
