"""A linear mixed model: curves, words, categories, users. Parents: none. Asks: what do additive effects alone reach?"""

from dataclasses import dataclass

from smp.experiment import Experiment
from smp.learners import Linear
from smp.runner import run_cv

TRACK = "image"
GROUP = "submission"
PARENTS = ()


@dataclass(frozen=True)
class Config(Experiment):
    features: tuple[str, ...] = ("post_stats", "time_place", "user_behaviour", "common_words", "user_id")
    label_features: tuple[str, ...] = ("account_counters",)
    learner: Linear = Linear()
    seeds: tuple[int, ...] = (0,)  # nothing in it is random


if __name__ == "__main__":
    run_cv(__file__, Config, TRACK)
