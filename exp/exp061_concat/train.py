"""ConCat (Jing et al. 2025). Parents: none. Asks: what do continuous time and a point process reach on cascades?

Full profile: the published sizes (attention 80 wide, 128 events); small: 32 events. The published solver is dopri5 with
the adjoint (--model.solver.method dopri5 --model.solver.adjoint); in each gap, which the logarithmic clock makes short,
one step of rk4, or of midpoint in small, is integrated in a fraction of the time.
"""

from dataclasses import dataclass

from smp.models.concat import ConCat
from smp.nn.loop import Training
from smp.nn.ode import Solver
from smp.tracks.cascade.networks import Network, run_network

TRACK = "cascade"
GROUP = "systems"
PARENTS = ()
PUBLISHED = ConCat(state=80, attention=80, head=80, solver=Solver("rk4"))


@dataclass(frozen=True)
class Config(Network):
    model: ConCat = PUBLISHED
    training: Training = Training(batch_size=128, learning_rate=2e-3, clip=1.0)
    steps: int = 600
    length: int = 128


SMALL = {"model": ConCat(), "training": Network.training, "steps": 120, "length": 32, "seeds": (0, 1, 2)}

if __name__ == "__main__":
    run_network(__file__, Config, TRACK, SMALL)
