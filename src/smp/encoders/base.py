"""The shape all encoders share: a frozen network and its preprocessing, run over every post into the store."""

import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import Dataset

from smp import paths
from smp.disk.hashes import source_hash
from smp.disk.locks import acquire, release
from smp.disk.pictures import load_rgb
from smp.disk.store import read_embeddings, read_note
from smp.encoders.components import pca
from smp.encoders.inputs import Description, descriptions, picture_paths
from smp.encoders.pixels import placed
from smp.encoders.shards import Batch, Compute, Ragged, into_store, is_stored
from smp.errors import DataError
from smp.nn import Precision
from smp.nn.parallel import ahead, autocast, device, leaving, loader, once, precision_on, ranks
from smp.tracks.load import fingerprint, load_data, media_key

BLANK = Image.new("RGB", (32, 32))  # stands in for an unreadable picture; its row is zeroed afterwards


@dataclass(frozen=True)
class Encoder:
    """Pictures or texts in, embeddings out.

    reads: what the items of a batch are. prepare: the items of a batch -> tensors, in a worker process, to which it is
    sent (so no function inside a function); pictures as uint8. encode: those tensors on the device -> {output: (B, d),
    or (values (sum of lengths, d), lengths (B,))}. source: model and weights' hash in words; it goes into the cache key
    and the metrics.
    """

    module: nn.Module
    reads: Literal["image", "text", "video"]
    prepare: Callable[[list], Any]
    encode: Callable[[Any], dict[str, Tensor | tuple[Tensor, Tensor]]]
    outputs: tuple[str, ...]
    source: str


@dataclass(frozen=True)
class Loading:
    """How batches reach the device. Defaults suit one GPU."""

    batch_size: int = 256
    workers: int = 8  # processes that decode and tokenise; 0 does it in the main process
    precision: Precision = "bf16"
    shard_size: int = 8192  # posts; what a killed run loses at most


def encode_posts(
    encoder: Encoder, items: Sequence, ids: pd.Index, folder: Path, prefix: str, data_key: str, loading: Loading
) -> None:
    """Encode every post and store the outputs as `<prefix>_<output>`; finished and half-finished work is kept.

    items: (n,) paths of pictures or videos, or texts. What is missing or unreadable gets a zero row, and is counted.
    Texts are encoded in order of length. `data_key` names the posts and settings the items were made from. Raises
    DataError where another model's features have the name.
    """
    names = [f"{prefix}_{output}" for output in encoder.outputs]
    code = source_hash(__file__, encoder.encode.__code__.co_filename)
    made_by = encoder.source, code, precision_on(device(), loading.precision)
    key = blake2b(repr((data_key, made_by, names)).encode(), digest_size=8).hexdigest()
    if is_stored(folder, names, key):
        return
    for name in names:
        other = read_note(folder / f"{name}.ids.parquet").get("source", encoder.source)
        if _model(other) != _model(encoder.source):
            raise DataError(
                f"{folder / name}.npy: features of {other}; keep both with another --prefix, or delete them to have "
                f"those of {encoder.source}"
            )
    if ranks()[0] == 0:
        print(f"{prefix}: {len(items)} posts through {encoder.source}", file=sys.stderr)
    order = np.array([len(text) for text in items]) if encoder.reads == "text" else None
    compute = _compute(encoder, items, dict(zip(encoder.outputs, names)), loading)
    sizes, note = {"batch_size": loading.batch_size, "shard_size": loading.shard_size}, {"source": encoder.source}
    into_store(folder, names, ids, compute, key=key, note=note, order=order, **sizes)


def _model(source: str) -> str:
    """A source's first words: other weights or settings of one model replace its features, another model does not."""
    return re.split(r" [0-9a-f]{16}\b|,| \(", source)[0]


def encode_track(
    track: str, encoders: Sequence[tuple[str, Encoder]], description: Description, loading: Loading, components: int
) -> dict:
    """Encode every post's picture or description by each of the (prefix, encoder) pairs, as `encode_posts` does.

    Stores the first principal components beside each, as `<prefix>_image_pca` or `<prefix>_text_pca`. Returns what
    metrics.json says of it: the number of posts, each encoder's source, seconds, the variance its components keep, and
    the number of posts without a readable picture.
    """
    posts, folder, data = load_data(track).items, paths.features(track), fingerprint(track)
    done = {"posts": len(posts)}
    for prefix, encoder in encoders:
        started = time.perf_counter()
        if encoder.reads == "image":
            items, key = picture_paths(posts, paths.data(track)), f"{data}-{media_key(track)}"
        else:
            items, key = descriptions(posts, description), data + description
        name = f"{prefix}_{encoder.reads}"
        once(acquire, lock := paths.lock(track, f"features-{name}"))  # exp004 and exp005 share their texts
        encode_posts(encoder, items, posts.index, folder, prefix, key, loading)
        seconds = round(time.perf_counter() - started, 1)
        made_of = read_note(folder / f"{name}.ids.parquet")["key"]
        [kept] = once(pca, folder, name, (components,), f"{made_of}-{components}")
        once(release, lock)
        done[name] = {"source": encoder.source, "seconds": seconds, "pca_variance": round(kept, 4)}
        if encoder.reads == "image":
            done[name]["unreadable"] = once(_count_zero_rows, folder, name)
    return done


def _count_zero_rows(folder: Path, name: str, step: int = 2**16) -> int:
    """How many of the stored rows (n, d) are all zero: the posts whose picture is missing or unreadable."""
    rows = read_embeddings(folder, name)[1]
    return int(sum((~rows[i : i + step].any(1)).sum() for i in range(0, len(rows), step)))


class _Batches(Dataset):
    """Batch number -> prepared tensors, and which items could be read. Sent to workers: without the network."""

    def __init__(self, encoder: Encoder, items: Sequence, batches: Sequence[np.ndarray]):
        self.reads, self.prepare, self.items, self.batches = encoder.reads, encoder.prepare, items, batches

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, number: int) -> tuple[Any, list[bool] | None]:
        items = [self.items[i] for i in self.batches[number]]
        if self.reads != "image":  # paths of videos are read by the encoder itself
            return self.prepare(items), None
        pictures = [load_rgb(path) for path in items]
        readable = [picture is not None for picture in pictures]
        return self.prepare([picture or BLANK for picture in pictures]), readable


def _compute(encoder: Encoder, items: Sequence, names: dict[str, str], loading: Loading) -> Compute:
    target = device()
    placed(encoder.module.requires_grad_(False).eval(), target)

    def compute(batches: Sequence[np.ndarray]) -> Iterator[Batch]:
        prepared = loader(_Batches(encoder, items, batches), loading.workers, batch_size=None)
        waiting = None  # on its way to the host while the device is at work on the next
        for tensors, readable in ahead(prepared, target):
            made = leaving(_forward(encoder, tensors, loading.precision))
            if waiting is not None:
                yield _arrays(*waiting, names)
            waiting = made, readable
        if waiting is not None:
            yield _arrays(*waiting, names)

    return compute


@torch.inference_mode()
def _forward(encoder: Encoder, tensors: Any, precision: Precision) -> dict[str, Tensor | tuple[Tensor, Tensor]]:
    with autocast(next(encoder.module.parameters()).device, precision):
        made = encoder.encode(tensors)
    wanted = {name: made[name] for name in encoder.outputs}
    return {k: (v[0].half(), v[1]) if isinstance(v, tuple) else v.half() for k, v in wanted.items()}


def _arrays(arriving: Callable[[], dict], readable: Sequence[bool] | None, names: dict[str, str]) -> Batch:
    """What has reached the host, under the store's names; rows of unreadable pictures become zeros."""
    made, batch = arriving(), {}
    for output, name in names.items():
        if isinstance(made[output], tuple):
            batch[name] = Ragged(*(part.numpy() for part in made[output]))
        else:
            batch[name] = made[output].numpy()
            if readable is not None:
                batch[name][~np.array(readable)] = 0
    return batch
