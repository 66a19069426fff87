"""LightGBM on the words too: titles, tags, descriptions as TF-IDF vectors. Parents: none. Asks: what do words add?"""

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
        *("text_words", "text_characters", "text_descriptions"),
    )
    label_features: tuple[str, ...] = ("account_counters", "target_encoding", "user_labels")
    learner: LightGBM = LightGBM(objective="huber", rounds=800, num_leaves=8, feature_fraction=0.1)


if __name__ == "__main__":
    run_cv(__file__, Config, TRACK, small={"seeds": (0, 1)})
