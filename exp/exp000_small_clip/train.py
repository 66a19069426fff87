"""A small CLIP trained from scratch on the training pairs. Parents: none. Asks: can the whole pipeline run where no
pretrained CLIP can be had?

Reads the pictures and descriptions of the training posts, never a popularity label. Writes an open_clip folder
(open_clip_config.json and weights) that exp002_clip loads in the small profile as it would load any checkpoint.
"""

from dataclasses import dataclass, field

from smp import paths
from smp.encoders import descriptions, picture_paths
from smp.encoders.contrastive import SmallClip, pretrain
from smp.encoders.inputs import Description
from smp.experiment import Run, Settings
from smp.nn.parallel import once
from smp.runner import run_make
from smp.tracks.load import load_data

TRACK = "image"
GROUP = "representations"
PROFILES = ("small",)
PARENTS = ()


@dataclass(frozen=True)
class Config(Settings):
    media = True
    clip: SmallClip = field(default_factory=SmallClip)
    description: Description = "title+tags"
    workers: int = 2


def make(run: Run) -> dict:
    config, data = run.config, load_data(TRACK)
    train = data.items[data.labelled]
    pictures, texts = picture_paths(train, paths.data(TRACK)), descriptions(train, config.description)
    return {"pairs": len(train), "loss": once(pretrain, config.clip, pictures, texts, run.folder, config.workers)}


if __name__ == "__main__":
    run_make(__file__, Config, TRACK, make)
