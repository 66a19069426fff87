"""HitMusicLyricNet, words and sound coded apart. Parents: none. Asks: what do the words add to HitMusicNet?"""

from dataclasses import dataclass

from smp.models.lyricnet import LyricNet
from smp.tracks.music.networks import Network, run_network

TRACK = "music"
GROUP = "systems"
PARENTS = ()


@dataclass(frozen=True)
class Config(Network):
    model: LyricNet = LyricNet()
    label_features: tuple[str, ...] = ("history",)


if __name__ == "__main__":
    run_network(__file__, Config, TRACK)
