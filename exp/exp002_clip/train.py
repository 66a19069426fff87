"""Frozen CLIP features of every post. Parents: exp000_small_clip (small profile). Asks: what do pretrained picture and
text features add? (Table 1, CLIP)

Writes <prefix>_image and <prefix>_text (n, d), and <prefix>_tokens, the token-level features that exp001_clip_ft
trains from. Runs on torchrun's ranks too.
"""

import time
from dataclasses import dataclass, field

from smp import paths
from smp.clip_ft.parallel import once, process_group
from smp.data import fingerprint, load_posts
from smp.encoders import Loading, descriptions, encode_posts, picture_paths
from smp.encoders.clip import image_encoder, load_clip, text_encoder
from smp.encoders.inputs import Description
from smp.paths import one_line_errors
from smp.runner import finish, open_folder, parse_run


@dataclass(frozen=True)
class Config:
    model: str = "ViT-B-32"
    pretrained: str = "openai"
    prefix: str = "clip"
    description: Description = "title+tags"  # r of eq. 3; open: most titles say a word or nothing, tags say too much
    loading: Loading = field(default_factory=Loading)


SMALL = {
    "model": "local-dir:exp000_small_clip",
    "pretrained": "",
    "loading": Loading(batch_size=128, workers=1, precision="fp32"),
}


def make(config: Config) -> dict:
    started, posts, folder = time.perf_counter(), load_posts("image"), paths.features("image")
    clip, data = load_clip(config.model, config.pretrained), fingerprint("image")
    pictures, texts = picture_paths(posts, paths.data("image")), descriptions(posts, config.description)
    encode_posts(image_encoder(clip), pictures, posts.index, folder, config.prefix, data, config.loading)
    seconds = time.perf_counter() - started
    data += config.description
    encode_posts(text_encoder(clip), texts, posts.index, folder, config.prefix, data, config.loading)
    return {
        "posts": len(posts), "source": clip.source, "picture_seconds": round(seconds, 1),
        "seconds": round(time.perf_counter() - started, 1),
    }  # fmt: skip


if __name__ == "__main__":
    with one_line_errors(), process_group():
        run = parse_run(__file__, Config, "image", SMALL)
        if once(open_folder, run):
            once(finish, run, make(run.config))
