"""A Transformer of CacheMamba's size. Parents: none. Asks: does the state space rank better than attention?

Small profile: one seed, as CacheMamba there; `--seeds 0 1 2` asks for more.
"""

from dataclasses import dataclass

from smp.models.cachemamba import CacheTransformer
from smp.nn.loop import Training
from smp.tracks.requests.networks import Network, run_network

TRACK = "requests"
GROUP = "systems"
PARENTS = ()


@dataclass(frozen=True)
class Config(Network):
    model: CacheTransformer = CacheTransformer()


FEW = Training(batch_size=4, learning_rate=3e-3, clip=1.0)
SMALL = {"length": 16, "objects": 64, "training": FEW, "steps": 150, "seeds": (0,)}

if __name__ == "__main__":
    run_network(__file__, Config, TRACK, SMALL)
