"""Frozen BLIP-2 features of every post. Parents: none. Asks: what do they add? (Table 1, BLIP)

Writes <prefix>_image and <prefix>_text (n, d). `--variant blip1`: BLIP instead, a tenth of the work. In the small
profile the weights are RANDOM: it shows that the route works.
"""

from dataclasses import dataclass, field

from smp.encoders import Loading, encode_track
from smp.encoders.hf import blip
from smp.encoders.inputs import Description
from smp.experiment import Run, Settings
from smp.runner import run_make

TRACK = "image"
GROUP = "representations"
PARENTS = ()


@dataclass(frozen=True)
class Config(Settings):
    media = True
    model: str = "Salesforce/blip2-itm-vit-g"
    prefix: str = "blip"
    description: Description = "title+tags"
    loading: Loading = field(default_factory=lambda: Loading(batch_size=128))
    pca: int = 64  # components of each, for the tree models


VARIANTS = {"blip1": {"model": "Salesforce/blip-itm-base-coco", "prefix": "blip1"}}
SMALL = {"model": "random", "loading": Loading(batch_size=128, workers=1, precision="fp32")}


def make(run: Run) -> dict:
    config = run.config
    encoders = [(config.prefix, encoder) for encoder in blip(config.model)]
    return encode_track(TRACK, encoders, config.description, config.loading, config.pca)


if __name__ == "__main__":
    run_make(__file__, Config, TRACK, make, SMALL, variants=VARIANTS)
