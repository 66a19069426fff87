"""Pretrained features of the videos themselves, where the files are there. Parents: none. Asks: do pictures help?

Frames taken uniformly, a frozen picture encoder, the mean over frames, principal components (no label is involved).
Writes <prefix>_image (n, d) and the family video_frames: frame_0.., all 0 where a video is missing or unreadable, and
frames_readable. MVP's published script had XCLIP frames at this place and left them out of its final model.
"""

from dataclasses import dataclass, field
from pathlib import Path

from smp import paths
from smp.disk.store import read_embeddings, read_note, write_table
from smp.encoders import Loading, encode_posts
from smp.encoders.frames import frame_encoder, video_paths
from smp.encoders.timm_image import timm_encoder
from smp.experiment import Run, Settings
from smp.features.text import pca
from smp.runner import run_make
from smp.tracks.load import fingerprint, load_data, media_key

import numpy as np
import pandas as pd

TRACK = "video"
GROUP = "representations"
PARENTS = ()


@dataclass(frozen=True)
class Config(Settings):
    media = True
    model: str = "vit_base_patch16_clip_224.openai"
    weights: str = "hub"
    frames: int = 8
    dims: int = 20
    prefix: str = "frames"
    loading: Loading = field(default_factory=lambda: Loading(batch_size=16, shard_size=512))


SMALL = {
    "model": "tf_efficientnet_lite0",
    "weights": "efficientnet-lite0",
    "frames": 4,
    "loading": Loading(batch_size=8, workers=1, precision="fp32", shard_size=256),
}


def make(run: Run) -> dict:
    config, posts, folder = run.config, load_data(TRACK).items, paths.features(TRACK)
    encoder = frame_encoder(timm_encoder(config.model, config.weights), config.frames)
    videos = video_paths(posts, paths.data(TRACK))
    there = sum(1 for path in videos if path and Path(path).is_file())
    data = f"{fingerprint(TRACK)}-{media_key(TRACK)}"
    encode_posts(encoder, videos, posts.index, folder, config.prefix, data, config.loading)
    _, embeddings = read_embeddings(folder, f"{config.prefix}_image")
    readable = np.asarray(embeddings).any(axis=1)
    values = np.zeros((len(posts), config.dims), np.float32)
    if readable.any():
        found = pca(embeddings[readable], config.dims)
        values[readable, : found.shape[1]] = found
    table = pd.DataFrame(values, index=posts.index, columns=[f"frame_{j}" for j in range(config.dims)])
    made_of = read_note(folder / f"{config.prefix}_image.ids.parquet")["key"]  # model, frames and data
    note = {"key": f"{made_of}-{config.dims}"}
    write_table(folder / "video_frames.parquet", table.assign(frames_readable=readable.astype(np.float32)), note)
    print(f"{len(posts)} videos: {there} files, {readable.sum()} readable, {there - readable.sum()} unreadable")
    return {"posts": len(posts), "files": there, "readable": int(readable.sum()), "source": encoder.source}


if __name__ == "__main__":
    run_make(__file__, Config, TRACK, make, SMALL)
