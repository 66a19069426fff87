"""Arrays for every post, computed in shards: a killed run goes on from its last whole shard, ranks share the work."""

import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch.distributed as dist
from tqdm import tqdm

from smp.disk.store import new_array, read_note, replacing, write_embeddings
from smp.progress import progress


class Ragged(NamedTuple):
    """Several rows a post: `values` (sum of lengths, d), one post after the other, and `lengths` (n,)."""

    values: np.ndarray
    lengths: np.ndarray

    def take(self, order: np.ndarray) -> "Ragged":
        """The posts in another order."""
        lengths = self.lengths[order]
        shift = (np.cumsum(self.lengths) - self.lengths)[order] - (np.cumsum(lengths) - lengths)
        return Ragged(self.values[np.repeat(shift, lengths) + np.arange(lengths.sum())], lengths)


Batch = dict[str, np.ndarray | Ragged]  # store name -> (B, d), or several rows a post
Compute = Callable[[Sequence[np.ndarray]], Iterable[Batch]]  # positions of every batch -> the arrays of every batch


def is_stored(folder: Path, names: Sequence[str], key: str) -> bool:
    """Whether all the embeddings are in the store and were made under this key."""
    return all(read_note(folder / f"{name}.ids.parquet").get("key") == key for name in names)


def into_store(
    folder: Path,
    names: Sequence[str],
    ids: pd.Index,
    compute: Compute,
    *,
    key: str,
    batch_size: int = 256,
    shard_size: int = 8192,
    order: np.ndarray | None = None,
) -> None:
    """Compute the named embeddings of all posts and write them to the store as float16.

    `compute` gets the positions (B,) of every batch still to do and yields their arrays in the same order. Inside a
    shard posts are taken by `order` (n,), for example text length, so that a batch holds like with like. Memory is
    bounded by one shard. A Ragged array is stored with one row a token under its post's id. `key` names data, weights
    and settings; finished work under the same key is kept. Under torch.distributed the ranks, on one file system,
    share the shards and rank 0 joins them.
    """
    if is_stored(folder, names, key):
        return
    parts = folder / f".{names[0]}.{key}.shards"
    parts.mkdir(parents=True, exist_ok=True)
    rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    starts = range(0, len(ids), shard_size)
    files = [parts / f"{i:06d}.npz" for i in range(len(starts))]
    todo = [
        (file, _batches(start, min(start + shard_size, len(ids)), batch_size, order))
        for file, start in list(zip(files, starts))[rank::world]
        if not file.exists()
    ]
    _compute_shards(todo, compute, progress(desc=" ".join(names), unit="post", unit_scale=True, disable=rank > 0))
    if world > 1:
        dist.barrier()
    if rank == 0:
        for name in names:
            if not is_stored(folder, [name], key):  # else joined by a run that was killed after it
                _join(folder, name, ids, files, key)
        for folder_of_shards in folder.glob(f".{names[0]}.*.shards"):  # these, and what other keys left unfinished
            shutil.rmtree(folder_of_shards)
    if world > 1:
        dist.barrier()


def _batches(start: int, stop: int, batch_size: int, order: np.ndarray | None) -> list[np.ndarray]:
    rows = np.arange(start, stop)
    if order is not None:
        rows = rows[np.argsort(order[rows], kind="stable")]
    return [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]


def _compute_shards(todo: list[tuple[Path, list[np.ndarray]]], compute: Compute, bar: tqdm) -> None:
    stream = iter(compute([batch for _, batches in todo for batch in batches]))  # one pipeline over all shards
    blank = 0
    for file, batches in todo:
        made = []
        for rows in batches:
            made.append(next(stream))
            blank += sum(int((~a.any(1)).sum()) for a in made[-1].values() if isinstance(a, np.ndarray))
            bar.set_postfix(blank=blank, refresh=False)  # zero rows: pictures missing or unreadable
            bar.update(len(rows))
        back = np.argsort(np.concatenate(batches))
        arrays = {}
        for name in made[0]:
            if isinstance(made[0][name], Ragged):
                whole = Ragged(*(np.concatenate(part) for part in zip(*(m[name] for m in made)))).take(back)
                arrays |= {name: whole.values, f"{name}.lengths": whole.lengths}
            else:
                arrays[name] = np.concatenate([m[name] for m in made])[back]
        with replacing(file) as aside, aside.open("wb") as out:
            np.savez(out, **arrays)
    bar.close()


def _join(folder: Path, name: str, ids: pd.Index, files: list[Path], key: str) -> None:
    """One array in the store from all shards, through a memory map so that a shard at a time is in memory."""
    rows, lengths, width = [], [], 0
    for file in files:
        with np.load(file, allow_pickle=False) as shard:
            if f"{name}.lengths" in shard:
                lengths.append(shard[f"{name}.lengths"])
            rows.append(int(lengths[-1].sum()) if lengths else len(shard[name]))
            width = width or shard[name].shape[1]
    whole = files[0].with_name("whole.npy")
    array = new_array(whole, (sum(rows), width))
    at = 0
    for file, n in zip(files, rows):
        with np.load(file, allow_pickle=False) as shard:
            array[at : at + n] = shard[name]
        at += n
    write_embeddings(folder, name, ids.repeat(np.concatenate(lengths)) if lengths else ids, array, {"key": key})
