"""CasFT (Jing et al. 2025). Parents: none. Asks: what does a generated trend of the future add to ConCat's trunk?

Full profile: T 1000, 100 steps of DDIM, 32 trends averaged; small: T 200, 5 steps, 8 trends.
"""

from dataclasses import dataclass

from smp.models.casft import CasFT
from smp.models.concat import ConCat
from smp.nn.loop import Training
from smp.nn.ode import Solver
from smp.tracks.cascade.networks import Network, run_network

TRACK = "cascade"
GROUP = "systems"
PARENTS = ()
TRUNK = ConCat(state=80, attention=80, head=80, solver=Solver("rk4"))


@dataclass(frozen=True)
class Config(Network):
    model: CasFT = CasFT(TRUNK, steps=1000, ddim=100, draws=32, width=128)
    training: Training = Training(batch_size=128, learning_rate=2e-3, clip=1.0)
    steps: int = 600
    length: int = 128


SMALL = {"model": CasFT(), "training": Network.training, "steps": 120, "length": 32, "seeds": (0, 1, 2)}

if __name__ == "__main__":
    run_network(__file__, Config, TRACK, SMALL)
