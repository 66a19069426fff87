"""CatBoost on metadata, words and user labels, categoricals native. Parents: none. Asks: what does it add?"""

from dataclasses import dataclass

from smp.experiment import Experiment
from smp.learners import CatBoost
from smp.runner import run_cv

TRACK = "image"
GROUP = "submission"
PARENTS = ()


@dataclass(frozen=True)
class Config(Experiment):
    features: tuple[str, ...] = ("post_stats", "time_place", "user_behaviour", "title_tags", "common_words")
    label_features: tuple[str, ...] = ("account_counters", "label_means", "user_labels")
    label_blocks: int = 20
    learner: CatBoost = CatBoost(rounds=500, rsm=0.1)


if __name__ == "__main__":
    run_cv(__file__, Config, TRACK, small={"seeds": (0,)})
