"""Frozen BLIP (or BLIP-2) features of every post. Parents: none. Asks: what do they add? (Table 1, BLIP)

Writes blip_image and blip_text (n, d). In the small profile the weights are RANDOM: it shows that the route works.
"""

import time
from dataclasses import dataclass, field

from smp import paths
from smp.clip_ft.parallel import once, process_group
from smp.data import fingerprint, load_posts
from smp.encoders import Loading, descriptions, encode_posts, picture_paths
from smp.encoders.hf import blip
from smp.encoders.inputs import Description
from smp.paths import one_line_errors
from smp.runner import finish, open_folder, parse_run


@dataclass(frozen=True)
class Config:
    model: str = "Salesforce/blip-itm-base-coco"  # or Salesforce/blip2-itm-vit-g: ten times the work
    description: Description = "title+tags"
    loading: Loading = field(default_factory=lambda: Loading(batch_size=128))


SMALL = {"model": "random", "loading": Loading(batch_size=128, workers=1, precision="fp32")}


def make(config: Config) -> dict:
    started, posts, folder, data = (
        time.perf_counter(),
        load_posts("image"),
        paths.features("image"),
        fingerprint("image"),
    )
    image, text = blip(config.model)
    pictures, texts = picture_paths(posts, paths.data("image")), descriptions(posts, config.description)
    encode_posts(image, pictures, posts.index, folder, "blip", data, config.loading)
    encode_posts(text, texts, posts.index, folder, "blip", data + config.description, config.loading)
    return {"posts": len(posts), "source": image.source, "seconds": round(time.perf_counter() - started, 1)}


if __name__ == "__main__":
    with one_line_errors(), process_group():
        run = parse_run(__file__, Config, "image", SMALL)
        if once(open_folder, run):
            once(finish, run, make(run.config))
