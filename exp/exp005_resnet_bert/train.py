"""Frozen ResNet features of the pictures and BERT features of the texts. Parents: none. Asks: what do they add?
(Table 1, Resnet+Bert)

Writes resnet_image and bert_text (n, d). The small profile takes real pretrained weights that packages carry:
EfficientNet-Lite0 for ResNet and all-MiniLM-L6-v2 for BERT.
"""

import time
from dataclasses import dataclass, field

from smp import paths
from smp.clip_ft.parallel import once, process_group
from smp.data import fingerprint, load_posts
from smp.encoders import Loading, descriptions, encode_posts, picture_paths
from smp.encoders.hf import transformers_text
from smp.encoders.inputs import Description
from smp.encoders.timm_image import timm_encoder
from smp.paths import one_line_errors
from smp.runner import finish, open_folder, parse_run


@dataclass(frozen=True)
class Config:
    image_model: str = "resnet50.a1_in1k"
    image_weights: str = "hub"
    image_size: int = 0  # pixels; 0: the model's own
    text_model: str = "google-bert/bert-base-uncased"
    description: Description = "title+tags"
    loading: Loading = field(default_factory=Loading)


SMALL = {
    "image_model": "tf_efficientnet_lite0", "image_weights": "efficientnet-lite0", "image_size": 96,
    "text_model": "minilm", "loading": Loading(batch_size=128, workers=1, precision="fp32"),
}  # fmt: skip


def make(config: Config) -> dict:
    started, posts, folder, data = (
        time.perf_counter(),
        load_posts("image"),
        paths.features("image"),
        fingerprint("image"),
    )
    image = timm_encoder(config.image_model, config.image_weights, config.image_size)
    text = transformers_text(config.text_model)
    pictures, texts = picture_paths(posts, paths.data("image")), descriptions(posts, config.description)
    encode_posts(image, pictures, posts.index, folder, "resnet", data, config.loading)
    encode_posts(text, texts, posts.index, folder, "bert", data + config.description, config.loading)
    return {
        "posts": len(posts), "source": f"{image.source}, {text.source}",
        "seconds": round(time.perf_counter() - started, 1),
    }  # fmt: skip


if __name__ == "__main__":
    with one_line_errors(), process_group():
        run = parse_run(__file__, Config, "image", SMALL)
        if once(open_folder, run):
            once(finish, run, make(run.config))
