"""The emoji track as the rest of the project sees it."""

from pathlib import Path

import numpy as np

from smp.folds import time_blocks
from smp.metrics import SRC, Metric, Task, even
from smp.tracks.base import Exhibit, Family, Split, Track
from smp.tracks.emoji import demo
from smp.tracks.emoji.classes import accuracy, item_loss, loss, macro_f1, mae, src
from smp.tracks.emoji.features import sentences
from smp.tracks.emoji.read import BLOCKS, SITE, files, read

METRICS = (
    Metric("macro_f1", macro_f1, greater_is_better=True),
    Metric("accuracy", accuracy, greater_is_better=True),
    Metric(SRC.name, src, greater_is_better=True),
    Metric("mae", mae, greater_is_better=False),
)


def write_demo(folder: Path, truth: Path, posts: int, images: bool, seed: int) -> dict:
    """Generated posts, a tenth as many as are asked for, and what Bayes' rule reaches on the last block."""
    names, chance = demo.write(folder, int(np.clip(posts // 10, 300, 3_000)), seed)
    data, _ = read(folder)
    last = time_blocks(data.items["time"], BLOCKS) == BLOCKS - 1
    chance = chance[[names.index(post) for post in data.ids[last]]]
    return {"holdout": {m.name: round(m(data.labels[last], chance), 4) for m in METRICS}}


TRACK = Track(
    name="emoji",
    task=Task(metrics=METRICS, loss=loss, item_loss=item_loss, error="mae", weight=even),
    split=Split(blocks=BLOCKS),
    files=files,
    read=read,
    demo=write_demo,
    site=SITE,
    families={
        "sentences": Family(sentences.named, shards=True),
        "bare_sentences": Family(sentences.bare, shards=True),
    },
    final="exp098_fusion",
    exhibits=(
        Exhibit("exp097_ingredients", "ingredients.csv", "The emoji graph, its rivals, and each ingredient out"),
        Exhibit("exp097_ingredients", "tasks.csv", "Every system, task by task"),
    ),
)
