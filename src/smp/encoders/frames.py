"""Videos through a picture encoder: frames taken uniformly over the clip, each encoded, their embeddings averaged."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import av
import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from smp.disk.pictures import MAX_PIXELS, check_inside
from smp.encoders.base import Encoder

LONGEST = 20_000  # frames decoded one after the other at most: 11 minutes at 30 a second


def read_frames(path: str | Path, count: int) -> list[Image.Image]:
    """At most `count` RGB frames from the middles of equal parts of the clip, in time order; [] for an unreadable file
    and for frames of more than MAX_PIXELS.

    Where the length is known, each moment is sought from its key frame; else the clip is decoded from start to end. A
    clip that ends early, as truncated files do, gives the frames it has.
    """
    if not Path(path).is_file():  # a pipe would be waited for without end
        return []
    try:
        with _open(path) as (container, stream):
            stream.thread_type = "AUTO"
            start = float((stream.start_time or 0) * stream.time_base)
            length = stream.duration * stream.time_base if stream.duration else (container.duration or 0) / av.time_base
            if length > 0:
                moments = [start + float(length) * (i + 0.5) / count for i in range(count)]
                return [frame.to_image() for frame in _at(container, stream, moments)]
        with _open(path) as (container, stream):
            held = [frame.to_image() for frame, _ in zip(container.decode(stream), range(LONGEST))]
        return [held[len(held) * (2 * i + 1) // (2 * count)] for i in range(min(count, len(held)))]
    except Exception:  # whatever a damaged file makes the decoder raise: OSError, ValueError, IndexError, ...
        return []


@contextmanager
def _open(path: str | Path) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    """The file and its first video stream; larger frames than pictures may be are refused by the decoder itself."""
    limit = {"max_pixels": str(MAX_PIXELS)}
    with av.open(str(path), options=limit) as container:  # which decodes already, to learn what is in it
        stream = container.streams.video[0]
        stream.codec_context.options = limit
        yield container, stream


def _at(
    container: av.container.InputContainer, stream: av.VideoStream, moments: list[float]
) -> Iterator[av.VideoFrame]:
    """The first frame at or after each moment (seconds), or the last one before it."""
    for moment in moments:
        found = None
        try:
            container.seek(int(moment / stream.time_base), stream=stream)  # to the key frame before
            for found in container.decode(stream):
                if found.time is None or found.time >= moment:
                    break
        except av.FFmpegError:  # a damaged part: the other moments may be whole
            pass
        if found is not None:
            yield found


def frame_encoder(pictures: Encoder, frames: int) -> Encoder:
    """An encoder of pictures as one of videos: paths in, the mean embedding of `frames` frames out.

    The row of a video without a readable frame is zero, and rows stay aligned with the paths.
    """

    def encode(batch: dict[str, Tensor]) -> dict[str, Tensor]:
        made, counts = pictures.encode(batch["pixels"]), batch["counts"]
        return {name: _mean(made[name], batch["owner"], counts) for name in pictures.outputs}

    prepare, source = partial(_shown, pictures.prepare, frames), f"{pictures.source}, mean of {frames} frames"
    return replace(pictures, reads="video", prepare=prepare, encode=encode, source=source)


def _shown(prepare: Callable, count: int, paths: list[str]) -> dict[str, Tensor]:
    """pixels of all frames, the owner of each in 0..B-1, and how many counts (B,) each video has."""
    clips = [read_frames(path, count) for path in paths]
    counts = torch.tensor([len(clip) for clip in clips])
    frames = [frame for clip in clips for frame in clip] or [Image.new("RGB", (32, 32))]
    owner = torch.repeat_interleave(torch.arange(len(paths)), counts) if counts.any() else torch.zeros(1).long()
    return {"pixels": prepare(frames), "owner": owner, "counts": counts}


def _mean(values: Tensor, owner: Tensor, counts: Tensor) -> Tensor:
    """(B, d) means of the rows (f, d) of every owner (f,) in 0..B-1; 0 where the count (B,) is 0."""
    total = torch.zeros(len(counts), values.shape[1], dtype=torch.float32, device=values.device)
    total.index_add_(0, owner, values.float())
    return torch.where(counts[:, None] > 0, total / counts[:, None].clamp(min=1), 0.0)


def video_paths(posts: pd.DataFrame, folder: Path) -> list[str]:
    """(n,) paths of the videos below the track's data folder, whether or not they exist; "" where none is named.

    Raises DataError for one that a link leads out of it.
    """
    check_inside(folder, [path for path in posts["video_path"] if path])
    return [f"{folder}/{path}" if path else "" for path in posts["video_path"]]
