"""A plain GRU over the events. Parents: none. Asks: what does a recurrent network reach without continuous time?"""

from dataclasses import dataclass

from smp.models.gru import GRU
from smp.tracks.cascade.networks import Network, run_network

TRACK = "cascade"
GROUP = "systems"
PARENTS = ()


@dataclass(frozen=True)
class Config(Network):
    model: GRU = GRU()
    length: int = 32


if __name__ == "__main__":
    run_network(__file__, Config, TRACK, {"seeds": (0, 1, 2)})
