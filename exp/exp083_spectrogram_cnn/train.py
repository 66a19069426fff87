"""A CNN over mel spectrograms, and descriptors. Parents: none. Asks: what does hearing a song add to its descriptors?

Songs without a recording, audio/<track>.wav, are told by their descriptors alone.
"""

from dataclasses import dataclass

from smp.models.spectrogram_cnn import SpectrogramCNN
from smp.nn.loop import Training
from smp.tracks.music.networks import Network, run_network

TRACK = "music"
GROUP = "systems"
PARENTS = ()


@dataclass(frozen=True)
class Config(Network):
    model: SpectrogramCNN = SpectrogramCNN(channels=(32, 64, 128, 256), mels=128)
    training: Training = Training(batch_size=64, learning_rate=1e-3, clip=1.0)
    steps: int = 3000
    features: tuple[str, ...] = ("sound", "low_level")
    label_features: tuple[str, ...] = ()


SMALL = {
    "model": SpectrogramCNN(channels=(8, 16, 24, 32), mels=32, frames=64, hop=512),
    "training": Training(batch_size=64, learning_rate=3e-3, clip=1.0),
    "steps": 150,
    "seeds": (0, 1),
}

if __name__ == "__main__":
    run_network(__file__, Config, TRACK, SMALL)
