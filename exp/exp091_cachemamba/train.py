"""CacheMamba. Parents: none. Asks: what does a selective state space read in the requests of an object?

It learns what to add to the score of the decayed counts. Small profile: 4 states, series of 16 windows, and one seed,
for the sake of minutes on traces of a million requests; `--seeds 0 1 2` asks for more.
"""

from dataclasses import dataclass

from smp.models.cachemamba import CacheMamba
from smp.nn.loop import Training
from smp.tracks.requests.networks import Network, run_network

TRACK = "requests"
GROUP = "systems"
PARENTS = ()


@dataclass(frozen=True)
class Config(Network):
    model: CacheMamba = CacheMamba()


FEW = Training(batch_size=4, learning_rate=3e-3, clip=1.0)
SMALL = {"model": CacheMamba(state=4), "length": 16, "objects": 64, "training": FEW, "steps": 150, "seeds": (0,)}

if __name__ == "__main__":
    run_network(__file__, Config, TRACK, SMALL)
