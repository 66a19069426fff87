"""LightGBM on the pictures too, as CLIP_FT sees them. Parents: exp001_clip_ft. Asks: what do aligned features add?"""

from dataclasses import dataclass

from smp.experiment import Experiment
from smp.learners import LightGBM
from smp.runner import run_cv

TRACK = "image"
GROUP = "submission"
PARENTS = ("exp001_clip_ft",)


@dataclass(frozen=True)
class Config(Experiment):
    features: tuple[str, ...] = (
        *("post_stats", "time_place", "user_behaviour", "tags_post", "tags_user", "title_tags"),
        *("clip_ft_stats", "clip_ft_pca"),
    )
    label_features: tuple[str, ...] = ("account_counters", "label_means", "user_labels")
    label_blocks: int = 20
    learner: LightGBM = LightGBM(objective="l2", rounds=400, num_leaves=15, extra_trees=True, feature_fraction=0.3)


if __name__ == "__main__":
    run_cv(__file__, Config, TRACK, small={"seeds": (0, 1)})
