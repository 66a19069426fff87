"""Titles and tags through CLIP's text tower apart. Parents: exp002_clip, whose model it uses. Asks, with exp040: do a
post's picture, title and tags speak of the same?

Writes clip_title_text and clip_tags_text (n, d), which the family `similarity` compares with exp002's clip_image.
"""

import json
import time
from dataclasses import dataclass, field, replace

from smp import paths
from smp.clip_ft.parallel import once, process_group
from smp.data import fingerprint, load_posts
from smp.encoders import Loading, descriptions, encode_posts
from smp.encoders.clip import load_clip, text_encoder
from smp.oof import finished
from smp.paths import one_line_errors
from smp.runner import finish, open_folder, parse_run


@dataclass(frozen=True)
class Config:
    parent: str = "exp002_clip"
    loading: Loading = field(default_factory=Loading)


def make(config: Config) -> dict:
    started, posts = time.perf_counter(), load_posts("image")
    model = json.loads((finished("image", config.parent) / "config.json").read_text())["config"]
    clip = load_clip(model["model"], model["pretrained"])
    encoder = replace(text_encoder(clip), outputs=("text",))  # without the token features
    for part in ("title", "tags"):
        texts, prefix, data = descriptions(posts, part), f"{model['prefix']}_{part}", fingerprint("image") + part
        encode_posts(encoder, texts, posts.index, paths.features("image"), prefix, data, config.loading)
    return {"posts": len(posts), "source": clip.source, "seconds": round(time.perf_counter() - started, 1)}


if __name__ == "__main__":
    with one_line_errors(), process_group():
        run = parse_run(__file__, Config, "image", {"loading": Loading(batch_size=128, workers=1, precision="fp32")})
        if once(open_folder, run):
            once(finish, run, make(run.config))
