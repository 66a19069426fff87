"""Sentence embeddings (MiniLM) of posts with their emoji's names. Parents: none. Asks: what does a language model tell
that can read emoji?"""

from dataclasses import dataclass

from smp.runner import run_experiment
from smp.tracks.emoji.networks import Linear, Terms, Text

TRACK = "emoji"
GROUP = "systems"
PARENTS = ()


@dataclass(frozen=True)
class Config(Text):
    terms: Terms = "none"
    features: tuple[str, ...] = ("sentences",)


if __name__ == "__main__":
    run_experiment(__file__, Config, TRACK, Linear)
