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


SMALL = {"steps": 200, "first_steps": 200, "seeds": (0, 1, 2)}

if __name__ == "__main__":
    run_network(__file__, Config, TRACK, SMALL)
