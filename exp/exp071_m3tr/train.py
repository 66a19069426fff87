"""M3TR. Parents: none. Asks: what do a Mamba-Hawkes process and what became of alike videos reach on micro-videos?

Everything that may be retrieved was labelled before the video is asked for (smp.models.m3tr.nearest).
"""

from dataclasses import dataclass

from smp.models.m3tr import M3TR
from smp.nn.loop import Training
from smp.tracks.microvideo.networks import Network, run_network

TRACK = "microvideo"
GROUP = "systems"
PARENTS = ()


@dataclass(frozen=True)
class Config(Network):
    model: M3TR = M3TR(width=64, head=128, retrieved=64)
    training: Training = Training(epochs=100, batch_size=256, learning_rate=1e-3, weight_decay=0.1, clip=1.0)
    steps: int = 2000
    length: int = 64


SMALL = {
    "model": M3TR(),
    "training": Network.training,
    "steps": Network.steps,
    "length": Network.length,
    "seeds": (0, 1, 2),
}

if __name__ == "__main__":
    run_network(__file__, Config, TRACK, SMALL)
