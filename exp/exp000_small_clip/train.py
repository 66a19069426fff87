"""A small CLIP trained from scratch on the training pairs. Parents: none. Asks: can the whole pipeline run where no
pretrained CLIP can be had?

Reads the pictures and descriptions of the training posts, never a popularity label. Writes an open_clip folder
(open_clip_config.json and weights) that exp002_clip loads in the small profile as it would load any checkpoint.
"""

import time
from dataclasses import dataclass, field

from smp import paths
from smp.clip_ft.parallel import once, process_group
from smp.data import load_posts, train_mask
from smp.encoders import descriptions, picture_paths
from smp.encoders.contrastive import SmallClip, pretrain
from smp.encoders.inputs import Description
from smp.paths import one_line_errors
from smp.runner import Run, finish, open_folder, parse_run


@dataclass(frozen=True)
class Config:
    clip: SmallClip = field(default_factory=SmallClip)
    description: Description = "title+tags"
    workers: int = 2


def make(run: Run) -> None:
    started, posts = time.perf_counter(), load_posts("image")
    train = posts[train_mask(posts)]
    pictures = picture_paths(train, paths.data("image"))
    history = pretrain(
        run.config.clip, pictures, descriptions(train, run.config.description), run.folder, run.config.workers
    )
    finish(run, {"pairs": len(train), "loss": history, "seconds": round(time.perf_counter() - started, 1)})


if __name__ == "__main__":
    with one_line_errors(), process_group():
        run = parse_run(__file__, Config, "image")
        if once(open_folder, run):
            once(make, run)
