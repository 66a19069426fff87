"""Frozen ResNet features of the pictures and BERT features of the texts. Parents: none. Asks: what do they add?
(Table 1, Resnet+Bert)

Writes resnet_image and bert_text (n, d). The small profile takes real pretrained weights that packages carry:
EfficientNet-Lite0 for ResNet and all-MiniLM-L6-v2 for BERT.
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
    image_model: str = "resnet50.a1_in1k"
    image_weights: str = "hub"
    image_size: int = 0  # pixels; 0: the model's own
    text_model: str = "google-bert/bert-base-uncased"
    description: Description = "title+tags"
    loading: Loading = field(default_factory=Loading)
    pca: int = 64  # components of each, for the tree models


SMALL = {
    "image_model": "tf_efficientnet_lite0",
    "image_weights": "efficientnet-lite0",
    "image_size": 96,
    "text_model": "minilm",
    "loading": Loading(batch_size=128, workers=1, precision="fp32"),
}


def make(run: Run) -> dict:
    config = run.config
    image = timm_encoder(config.image_model, config.image_weights, config.image_size)
    text = transformers_text(config.text_model)
    return encode_track(TRACK, [("resnet", image), ("bert", text)], config.description, config.loading, config.pca)


if __name__ == "__main__":
    run_make(__file__, Config, TRACK, make, SMALL)
