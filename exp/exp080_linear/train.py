"""Ridge regression with curves on everything. Parents: none. Asks: what does an additive model reach?"""

from dataclasses import dataclass

from smp.experiment import Experiment
from smp.learners import Linear
from smp.runner import run_cv

TRACK = "music"
GROUP = "systems"
PARENTS = ()


@dataclass(frozen=True)
class Config(Experiment):
    features: tuple[str, ...] = ("sound", "low_level", "lyric_counts", "lyrics", "release", "genres")
    label_features: tuple[str, ...] = ("history",)
    learner: Linear = Linear()
    seeds: tuple[int, ...] = (0,)


if __name__ == "__main__":
    run_cv(__file__, Config, TRACK)
