"""The video track as the rest of the project sees it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from smp.disk.pictures import check_inside
from smp.features import text
from smp.features.shared import pick, sentences
from smp.metrics import MAPE, Task, mape
from smp.tracks import official
from smp.tracks.base import Family, Split, Submission, Track
from smp.tracks.video import demo
from smp.tracks.video.exhibits import EXHIBITS
from smp.tracks.video.features import face_audio, mvp, video_stats
from smp.tracks.video.read import NEW_POSTS, SITE, files, read


def item_loss(y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    return np.abs(np.asarray(y_true) - y_pred) / y_true


def weight(y: np.ndarray) -> np.ndarray:
    return 1 / y


def media(folder: Path, posts: pd.DataFrame) -> Iterator[tuple[str, str]]:
    """How many of the videos are there."""
    named = [path for path in posts["video_path"] if path]
    check_inside(folder, named)
    found = sum((folder / path).is_file() for path in named)
    unpack = official.unpack(folder) if found < len(named) else ""
    yield "videos", f"{found:,} of {len(posts):,} files there (none is needed){unpack and f'; {unpack}'}"


FAMILIES = {
    **pick("time_place", "text_words", "minilm_content", "tags_post", "user_labels"),
    "video_stats": Family(video_stats.build),
    "video_users": Family(video_stats.users),
    "video_ratios": Family(video_stats.ratios),
    "video_words": Family(video_stats.words),
    "face_audio": Family(face_audio.build, inputs=face_audio.files, external=True),
    "minilm_suggested": sentences(text.SUGGESTED),
    "minilm_music": sentences(text.MUSIC),
    "mvp": Family(mvp.build),
    "mvp_text": Family(mvp.text, learn=mvp.learn_text, alone=True),
}
EMBEDDINGS = dict.fromkeys(("frames_image", "video_frames"), "exp055_frames")


TRACK = Track(
    name="video",
    task=Task(metrics=(MAPE,), loss=mape, item_loss=item_loss, error="mape", weight=weight),
    split=Split(forward="months", months=6),
    files=files,
    read=read,
    demo=demo.write,
    site=SITE,
    media=media,
    media_paths=("video_path",),
    families=FAMILIES,
    embeddings=EMBEDDINGS,
    submission=Submission(id_column="pid"),
    new_posts=NEW_POSTS,
    final="exp059_fusion",
    exhibits=EXHIBITS,
)
