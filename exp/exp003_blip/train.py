"""Frozen BLIP (or BLIP-2) features of every post. Parents: none. Asks: what do they add? (Table 1, BLIP)

Writes blip_image and blip_text (n, d). In the small profile the weights are RANDOM: it shows that the route works.
"""

from dataclasses import dataclass, field

from smp.encoders import Loading, encode_track
from smp.encoders.hf import blip
from smp.encoders.inputs import Description
from smp.runner import Run, run_features


@dataclass(frozen=True)
class Config:
    model: str = "Salesforce/blip-itm-base-coco"  # or Salesforce/blip2-itm-vit-g: ten times the work
    description: Description = "title+tags"
    loading: Loading = field(default_factory=lambda: Loading(batch_size=128))
    pca: int = 64  # components of each, for the tree models


SMALL = {"model": "random", "loading": Loading(batch_size=128, workers=1, precision="fp32")}


def make(run: Run) -> dict:
    config = run.config
    image, text = blip(config.model)
    return encode_track([("blip", image), ("blip", text)], config.description, config.loading, config.pca)


if __name__ == "__main__":
    run_features(__file__, Config, "image", make, SMALL)
