"""A line through the logarithm of the observed count. Parents: none. Asks: what does the count alone tell?

Szabo and Huberman (2010): later counts are proportional to earlier ones on a logarithmic scale.
"""

from dataclasses import dataclass

from smp.experiment import Settings
from smp.runner import Line, run_experiment

TRACK = "cascade"
GROUP = "systems"
PARENTS = ()


@dataclass(frozen=True)
class Config(Settings):
    features: tuple[str, ...] = ("size",)


if __name__ == "__main__":
    run_experiment(__file__, Config, TRACK, Line)
