"""Titles and tags through CLIP's text tower apart. Parents: exp002_clip, whose model it uses. Asks, with exp040: do a
post's picture, title and tags speak of the same?

Writes clip_title_text and clip_tags_text (n, d), which the family `similarity` compares with exp002's clip_image.
"""

import json
from dataclasses import dataclass, field, replace

from smp import paths
from smp.encoders import Loading, descriptions, encode_posts
from smp.encoders.clip import load_clip, text_encoder
from smp.experiment import Run, Settings, embeddings_read
from smp.oof import finished
from smp.runner import run_make
from smp.tracks.load import fingerprint, load_data

TRACK = "image"
GROUP = "representations"
PARENTS = ("exp002_clip",)


@dataclass(frozen=True)
class Config(Settings):
    parent: str = "exp002_clip"
    loading: Loading = field(default_factory=Loading)

    def inputs(self, track: str) -> dict[str, str]:
        return embeddings_read(track, self.parent)


def make(run: Run) -> dict:
    posts = load_data(TRACK).items
    model = json.loads((finished(TRACK, run.config.parent) / "config.json").read_text())["config"]
    clip = load_clip(model["model"], model["pretrained"])
    encoder = replace(text_encoder(clip), outputs=("text",))  # without the token features
    for part in ("title", "tags"):
        texts, prefix, data = descriptions(posts, part), f"{model['prefix']}_{part}", fingerprint(TRACK) + part
        encode_posts(encoder, texts, posts.index, paths.features(TRACK), prefix, data, run.config.loading)
    return {"posts": len(posts), "source": clip.source}


if __name__ == "__main__":
    small = {"loading": Loading(batch_size=128, workers=1, precision="fp32")}
    run_make(__file__, Config, TRACK, make, small)
