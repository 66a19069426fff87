"""Emoji graph pre-training. Parents: none. Asks: what does a graph of posts, words and emoji add to terms and
sentences?"""

from dataclasses import dataclass

from smp.models.emoji_graph import EmojiGraph
from smp.runner import run_experiment
from smp.tracks.emoji.networks import Graph, GraphModel

TRACK = "emoji"
GROUP = "systems"
PARENTS = ()


@dataclass(frozen=True)
class Config(Graph):
    pass


SMALL = {"model": EmojiGraph(width=64, batch=256, walk=12, steps=40, learning_rate=3e-3)}

if __name__ == "__main__":
    run_experiment(__file__, Config, TRACK, GraphModel, SMALL)
