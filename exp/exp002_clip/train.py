"""Frozen CLIP features of every post. Parents: exp000_small_clip (small profile). Asks: what do pretrained picture and
text features add? (Table 1, CLIP)

A variant is a backbone: `--variant dfn5b`, then `--variant dfn5b --parent exp002_clip@dfn5b` of exp001_clip_ft. In the
small profile exp000's small CLIP, trained on the pairs at hand, stands in for all of them.

Writes <prefix>_image and <prefix>_text (n, d), and <prefix>_tokens, the token-level features that exp001_clip_ft
trains from. Runs on torchrun's ranks too.
"""

from dataclasses import dataclass, field

from smp.disk.hashes import source_hash
from smp.encoders import Loading, encode_track
from smp.encoders.clip import image_encoder, load_clip, local_weights, text_encoder
from smp.encoders.inputs import Description
from smp.experiment import Run, Settings
from smp.runner import run_make

TRACK = "image"
GROUP = "representations"
PARENTS = ("exp000_small_clip",)


@dataclass(frozen=True)
class Config(Settings):
    media = True
    model: str = "ViT-L-14"
    pretrained: str = "openai"
    prefix: str = "clip"
    description: Description = "title+tags"  # r of eq. 3; open: most titles say a word or nothing, tags say too much
    loading: Loading = field(default_factory=Loading)
    pca: int = 64  # components of each, for the tree models

    def inputs(self, track: str) -> dict[str, str]:
        weights = local_weights(self.model)
        return {weights.parent.name: source_hash(weights)} if weights else {}


# GFLOP a picture and a full text, and millions of parameters; ViT-L-14 itself: 162 and 13, 428
VARIANTS = {
    "b32": {"model": "ViT-B-32", "pretrained": "openai", "prefix": "clip_b32"},  # 9, 6, 151
    "dfn2b": {"model": "ViT-L-14-quickgelu", "pretrained": "dfn2b", "prefix": "clip_dfn2b"},  # 162, 13, 428
    "dfn5b": {"model": "ViT-H-14-quickgelu", "pretrained": "dfn5b", "prefix": "clip_dfn5b"},  # 335, 47, 986
    "pe": {"model": "PE-Core-L-14-336", "pretrained": "meta", "prefix": "clip_pe"},  # 384, 19, 671
    "siglip2": {"model": "ViT-SO400M-16-SigLIP2-384", "pretrained": "webli", "prefix": "clip_siglip2"},  # 519, 53, 1136
}
SMALL = {
    "model": "local-dir:exp000_small_clip",
    "pretrained": "",
    "loading": Loading(batch_size=128, workers=1, precision="fp32"),
}


def make(run: Run) -> dict:
    config = run.config
    clip = load_clip(config.model, config.pretrained)
    encoders = (config.prefix, image_encoder(clip)), (config.prefix, text_encoder(clip))
    return encode_track(TRACK, encoders, config.description, config.loading, config.pca)


if __name__ == "__main__":
    run_make(__file__, Config, TRACK, make, SMALL, variants=VARIANTS)
