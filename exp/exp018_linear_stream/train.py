"""exp016 that sees streams and earlier labels too. Parents: none. Asks: do they act additively, beyond trees?"""

from dataclasses import dataclass

from smp.experiment import Experiment
from smp.learners import Linear
from smp.runner import run_cv

TRACK = "image"
GROUP = "submission"
PARENTS = ()


@dataclass(frozen=True)
class Config(Experiment):
    features: tuple[str, ...] = ("post_stats", "time_place", "user_behaviour", "common_words", "user_id", "stream")
    label_features: tuple[str, ...] = ("account_counters", "label_means", "user_labels")
    label_blocks: int = 20
    learner: Linear = Linear()
    seeds: tuple[int, ...] = (0,)  # nothing in it is random


if __name__ == "__main__":
    run_cv(__file__, Config, TRACK)
