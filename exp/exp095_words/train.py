"""TF-IDF of words and logistic regression. Parents: none. Asks: what do posts without their emoji tell?"""

from dataclasses import dataclass

from smp.runner import run_experiment
from smp.tracks.emoji.networks import Linear, Terms, Text

TRACK = "emoji"
GROUP = "systems"
PARENTS = ()


@dataclass(frozen=True)
class Config(Text):
    terms: Terms = "words"


if __name__ == "__main__":
    run_experiment(__file__, Config, TRACK, Linear)
