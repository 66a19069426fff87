"""Frozen ViT features of the pictures and BERT features of the texts. Parents: none. Asks: what do they add?
(Table 1, ViT+Bert)

Writes vit_image and bert_text (n, d). In the small profile all-MiniLM-L6-v2, which a package carries, stands
in for BERT, and the ViT is a small one with RANDOM weights: it shows that the route works.
"""

from dataclasses import dataclass, field

from smp.encoders import Loading, encode_track
from smp.encoders.hf import transformers_text
from smp.encoders.inputs import Description
from smp.encoders.timm_image import timm_encoder
from smp.experiment import Run, Settings
from smp.runner import run_make

TRACK = "image"
GROUP = "representations"
PARENTS = ()


@dataclass(frozen=True)
class Config(Settings):
    media = True
    image_model: str = "vit_base_patch16_224.augreg2_in21k_ft_in1k"
    image_weights: str = "hub"
    text_model: str = "google-bert/bert-base-uncased"
    description: Description = "title+tags"
    loading: Loading = field(default_factory=Loading)
    pca: int = 64  # components of each, for the tree models


SMALL = {
    "image_model": "test_vit",
    "image_weights": "random",
    "text_model": "minilm",
    "loading": Loading(batch_size=128, workers=1, precision="fp32"),
}


def make(run: Run) -> dict:
    config = run.config
    image, text = timm_encoder(config.image_model, config.image_weights), transformers_text(config.text_model)
    return encode_track(TRACK, [("vit", image), ("bert", text)], config.description, config.loading, config.pca)


if __name__ == "__main__":
    run_make(__file__, Config, TRACK, make, SMALL)
