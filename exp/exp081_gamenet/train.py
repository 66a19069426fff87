"""GAMENet. Parents: none. Asks: what do experts, a gate and a career's dynamics reach on later songs?

Under `--scheme user` no label of an artist that is asked for is shown. What is known of a new artist on the day before
a release is asked with the families history_as_released and career_as_released, and no label families (exp084_leaks).
"""

from dataclasses import dataclass

from smp.models.gamenet import GAMENet
from smp.nn.loop import Training
from smp.tracks.music.networks import Network, run_network

TRACK = "music"
GROUP = "systems"
PARENTS = ()


@dataclass(frozen=True)
class Config(Network):
    model: GAMENet = GAMENet(width=128)
    training: Training = Training(batch_size=256, learning_rate=1e-3, clip=1.0)
    steps: int = 3000


SMALL = {
    "model": GAMENet(),
    "training": Training(batch_size=512, learning_rate=4e-3, clip=1.0),
    "steps": 200,
    "seeds": (0, 1, 2),
}

if __name__ == "__main__":
    run_network(__file__, Config, TRACK, SMALL)
