"""TF-IDF of words and emoji. Parents: none. Asks: what do emoji tell, as terms like any other?"""

from dataclasses import dataclass

from smp.runner import run_experiment
from smp.tracks.emoji.networks import Linear, Terms, Text

TRACK = "emoji"
GROUP = "systems"
PARENTS = ()


@dataclass(frozen=True)
class Config(Text):
    terms: Terms = "all"


if __name__ == "__main__":
    run_experiment(__file__, Config, TRACK, Linear)
