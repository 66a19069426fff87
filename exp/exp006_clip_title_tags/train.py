"""Titles and tags through CLIP's text tower apart. Parents: exp002_clip, whose model it uses. Asks, with exp040: do a
post's picture, title and tags speak of the same?

Writes clip_title_text and clip_tags_text (n, d), which the family `similarity` compares with exp002's clip_image.
"""

import json
from dataclasses import dataclass, field, replace

from smp import paths
from smp.encoders import Loading, descriptions, encode_posts
from smp.encoders.clip import load_clip, text_encoder
from smp.oof import finished
from smp.runner import Run, run_features
from smp.tracks.load import fingerprint, load_posts


@dataclass(frozen=True)
class Config:
    parent: str = "exp002_clip"
    loading: Loading = field(default_factory=Loading)


def make(run: Run) -> dict:
    posts = load_posts("image")
    model = json.loads((finished("image", run.config.parent) / "config.json").read_text())["config"]
    clip = load_clip(model["model"], model["pretrained"])
    encoder = replace(text_encoder(clip), outputs=("text",))  # without the token features
    for part in ("title", "tags"):
        texts, prefix, data = descriptions(posts, part), f"{model['prefix']}_{part}", fingerprint("image") + part
        encode_posts(encoder, texts, posts.index, paths.features("image"), prefix, data, run.config.loading)
    return {"posts": len(posts), "source": clip.source}


if __name__ == "__main__":
    small = {"loading": Loading(batch_size=128, workers=1, precision="fp32")}
    run_features(__file__, Config, "image", make, small)
