"""Views grow as much as they did on average. Parents: none. Asks: what is reached by last views and the mean growth?"""

from dataclasses import dataclass

from smp.experiment import Settings
from smp.runner import Mean, run_experiment

TRACK = "microvideo"
GROUP = "systems"
PARENTS = ()


@dataclass(frozen=True)
class Config(Settings):
    pass


if __name__ == "__main__":
    run_experiment(__file__, Config, TRACK, Mean)
