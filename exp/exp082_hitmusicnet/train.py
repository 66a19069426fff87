"""HitMusicNet (Martin-Gutierrez et al. 2020), all features through one autoencoder. Parents: none. Asks: what does the
network that HitMusicLyricNet is measured by reach?"""

from dataclasses import dataclass

from smp.models.lyricnet import HITMUSICNET, LyricNet
from smp.tracks.music.networks import Network, run_network

TRACK = "music"
GROUP = "systems"
PARENTS = ()


@dataclass(frozen=True)
class Config(Network):
    model: LyricNet = HITMUSICNET
    features: tuple[str, ...] = ("sound", "low_level", "lyric_counts", "release", "genres")
    label_features: tuple[str, ...] = ("history",)


SMALL = {"steps": 200, "first_steps": 200, "seeds": (0, 1, 2)}

if __name__ == "__main__":
    run_network(__file__, Config, TRACK, SMALL)
