"""LightGBM on sound, words, career, release and genres. Parents: none. Asks: what do features by hand reach?"""

from dataclasses import dataclass

from smp.experiment import Experiment
from smp.learners import LightGBM
from smp.runner import run_cv

TRACK = "music"
GROUP = "systems"
PARENTS = ()


@dataclass(frozen=True)
class Config(Experiment):
    features: tuple[str, ...] = ("sound", "low_level", "lyric_counts", "lyrics", "release", "genres")
    label_features: tuple[str, ...] = ("history",)
    learner: LightGBM = LightGBM(rounds=250, learning_rate=0.05, num_leaves=15, feature_fraction=0.5)
    seeds: tuple[int, ...] = (0, 1, 2)


if __name__ == "__main__":
    run_cv(__file__, Config, TRACK)
