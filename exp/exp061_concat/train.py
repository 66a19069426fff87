"""ConCat (Jing et al. 2025). Parents: none. Asks: what do continuous time and a point process reach on cascades?

Full profile: the published sizes (attention 80 wide, dopri5 with the adjoint, tolerance 1e-4, 128 events); small: 32
events, and one step of the midpoint method in each gap, which the logarithmic clock makes short.
"""

from dataclasses import dataclass

from smp.models.concat import ConCat
from smp.nn.loop import Training
from smp.nn.ode import Solver
from smp.tracks.cascade.networks import Network, run_network

TRACK = "cascade"
GROUP = "systems"
PARENTS = ()
PUBLISHED = ConCat(state=80, attention=80, head=80, solver=Solver("dopri5", adjoint=True))


@dataclass(frozen=True)
class Config(Network):
    model: ConCat = PUBLISHED
    training: Training = Training(batch_size=128, learning_rate=2e-3, clip=1.0)
    steps: int = 600
    length: int = 128


SMALL = {"model": ConCat(), "training": Network.training, "steps": Network.steps, "length": 32}

if __name__ == "__main__":
    run_network(__file__, Config, TRACK, SMALL)
