"""A line through the logarithm of views. Parents: none. Asks: what does the level of views alone tell of growth?

Szabo and Huberman (2010): later counts are proportional to earlier ones on a logarithmic scale.
"""

from dataclasses import dataclass

from smp.experiment import Settings
from smp.runner import Line, run_experiment

TRACK = "microvideo"
GROUP = "systems"
PARENTS = ()


@dataclass(frozen=True)
class Config(Settings):
    features: tuple[str, ...] = ("level",)


if __name__ == "__main__":
    run_experiment(__file__, Config, TRACK, Line)
