"""The mean of the training labels. Parents: none. Asks: what is reached without looking at a cascade?"""

from dataclasses import dataclass

from smp.experiment import Settings
from smp.runner import Mean, run_experiment

TRACK = "cascade"
GROUP = "systems"
PARENTS = ()


@dataclass(frozen=True)
class Config(Settings):
    pass


if __name__ == "__main__":
    run_experiment(__file__, Config, TRACK, Mean)
