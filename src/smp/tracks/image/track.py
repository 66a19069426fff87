"""The image track as the rest of the project sees it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from smp import paths
from smp.disk import pictures
from smp.features.shared import pick
from smp.metrics import MAE, SRC, Task, absolute, even, mae, src
from smp.tracks import official
from smp.tracks.base import Family, Split, Submission, Track
from smp.tracks.image import demo
from smp.tracks.image.exhibits import EXHIBITS
from smp.tracks.image.features import account_counters, clusters, similarity
from smp.tracks.image.read import NEW_POSTS, SITE, files, read


def loss(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    """MAE as a share of the best constant's, less SRC."""
    return mae(y_true, y_pred) / mae(y_true, np.median(y_true)) - src(y_true, y_pred)


def media(folder: Path, posts: pd.DataFrame) -> Iterator[tuple[str, str]]:
    """How many pictures are there and readable, and an example of those that are not."""
    status = pictures.scan(folder, posts["image_path"])["status"]
    counts = status.value_counts()
    yield "images", f"{counts['ok']:,} ok, {counts['missing']:,} missing, {counts['unreadable']:,} unreadable"
    for kind in ("missing", "unreadable"):
        if counts[kind]:
            remedy = "" if paths.is_demo("image") else f"; get it from {SITE}"  # the demo's are so on purpose
            if kind == "missing" and (unpack := official.unpack(folder)):
                remedy = f"; {unpack}, or get it from {SITE}"
            yield "", f"{kind}, e.g. {folder / posts['image_path'][status == kind].iloc[0]}{remedy}"


FAMILIES = {
    **pick("post_stats", "time_place", "user_behaviour", "account", "user_id", "title_tags", "common_words"),
    **pick("text_words", "tags_post", "tags_user", "stream", "label_means", "user_labels"),
    "account_counters": Family(account_counters.masked, labels=True, inputs=account_counters.files, external=True),
    "similarity": Family(similarity.build, reads=("clip_image", "clip_text", "clip_title_text", "clip_tags_text")),
    "clusters": Family(clusters.build, reads=("clip_image", "clip_text")),
}
EMBEDDINGS = {
    **dict.fromkeys(("clip_title_text", "clip_tags_text"), "exp006_clip_title_tags"),
    **dict.fromkeys(("clip_image", "clip_text", "clip_image_pca", "clip_text_pca"), "exp002_clip"),
    **dict.fromkeys(("clip_ft", "clip_ft_probabilities", "clip_ft_pca", "clip_ft_stats"), "exp001_clip_ft"),
    **dict.fromkeys(("blip_image", "blip_text", "blip_image_pca", "blip_text_pca"), "exp003_blip"),
    **dict.fromkeys(("vit_image", "vit_image_pca"), "exp004_vit_bert"),
    **dict.fromkeys(("resnet_image", "resnet_image_pca", "bert_text", "bert_text_pca"), "exp005_resnet_bert"),
}


TRACK = Track(
    name="image",
    task=Task(metrics=(SRC, MAE), loss=loss, item_loss=absolute, error="mae", weight=even),
    split=Split(),
    files=files,
    read=read,
    demo=demo.write,
    site=SITE,
    media=media,
    media_paths=("image_path",),
    has_media=pictures.has_pictures,
    families=FAMILIES,
    embeddings=EMBEDDINGS,
    submission=Submission(id_column="post_id", prefix="post", json_version="VERSION 1.2"),
    new_posts=NEW_POSTS,
    final="exp020_fusion",
    exhibits=EXHIBITS,
)
