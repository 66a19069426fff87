"""Arrays for every post, computed in shards: a killed run goes on from its last whole shard, ranks share the work."""

import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch.distributed as dist
from tqdm import tqdm

from smp.disk.store import adopt_embeddings, read_note, replacing, writing
from smp.nn.parallel import ranks
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
    note: dict[str, str] | None = None,
    batch_size: int = 256,
    shard_size: int = 8192,
    order: np.ndarray | None = None,
) -> None:
    """Compute the named embeddings of all posts and write them to the store as float16.

    `compute` gets the positions (B,) of every batch still to do and yields their arrays in the same order. Inside a
    shard posts are taken by `order` (n,), for example text length, so that a batch holds like with like. Memory is
    bounded by one shard, and the disk holds each array once and a shard more. A Ragged array is stored with one row a
    token under its post's id. `key` names data, weights and settings; finished work under the same key is kept. note:
    of the stored, beside the key. Under torch.distributed the ranks, on one file system, share the shards and rank 0
    joins them.
    """
    if is_stored(folder, names, key):
        return
    parts = folder / f".{names[0]}.{key}.shards"
    parts.mkdir(parents=True, exist_ok=True)
    (rank, world), joining = ranks(), parts / "joining"
    starts = range(0, len(ids), shard_size)
    shards = [{name: parts / f"{i:06d}.{name}.npy" for name in names} for i in range(len(starts))]
    todo = [
        (files, _batches(start, min(start + shard_size, len(ids)), batch_size, order))
        for files, start in list(zip(shards, starts))[rank::world]
        if not (joining.exists() or all(file.exists() for file in files.values()))
    ]
    _compute_shards(todo, compute, progress(desc=" ".join(names), unit="post", unit_scale=True, disable=rank > 0))
    if world > 1:
        dist.barrier()
    if rank == 0:
        joining.touch()
        for name in names:
            if not is_stored(folder, [name], key):  # else joined by a run that was killed after it
                _join(folder, name, ids, [files[name] for files in shards], {"key": key, **(note or {})})
        for folder_of_shards in folder.glob(f".{names[0]}.*.shards"):  # these, and what other keys left unfinished
            shutil.rmtree(folder_of_shards)
    if world > 1:
        dist.barrier()


def _batches(start: int, stop: int, batch_size: int, order: np.ndarray | None) -> list[np.ndarray]:
    rows = np.arange(start, stop)
    if order is not None:
        rows = rows[np.argsort(order[rows], kind="stable")]
    return [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]


def _compute_shards(todo: list[tuple[dict[str, Path], list[np.ndarray]]], compute: Compute, bar: tqdm) -> None:
    stream = iter(compute([batch for _, batches in todo for batch in batches]))  # one pipeline over all shards
    blank = 0
    for files, batches in todo:
        made = []
        for rows in batches:
            made.append(next(stream))
            blank += sum(int((~a.any(1)).sum()) for a in made[-1].values() if isinstance(a, np.ndarray))
            bar.set_postfix(blank=blank, refresh=False)  # zero rows: pictures missing or unreadable
            bar.update(len(rows))
        back = np.argsort(np.concatenate(batches))
        for name, file in files.items():
            parts = [m[name] for m in made]
            if isinstance(parts[0], Ragged):
                whole = Ragged(*(np.concatenate(part) for part in zip(*parts))).take(back)
                _save(_lengths_of(file), whole.lengths)
                _save(file, whole.values.astype(np.float16, copy=False))
            else:
                _save(file, np.concatenate(parts)[back].astype(np.float16, copy=False))
    bar.close()


def _save(file: Path, array: np.ndarray) -> None:
    with replacing(file) as aside, aside.open("wb") as out:
        np.save(out, array)


def _lengths_of(file: Path) -> Path:
    return file.with_suffix(".lengths")


def _join(folder: Path, name: str, ids: pd.Index, shards: list[Path], note: dict[str, str]) -> None:
    """One array in the store from all shards: each is appended, then deleted. A killed run goes on from there.

    The plan is made while all are there: the rows of every shard, their width, and the posts' lengths.
    """
    whole, plan = (shards[0].with_name(f"{name}.{kind}") for kind in ("whole", "plan"))
    if not plan.exists():
        shapes = [np.load(file, mmap_mode="r", allow_pickle=False).shape for file in shards]
        lengths = [np.load(file, allow_pickle=False) for shard in shards if (file := _lengths_of(shard)).exists()]
        kept = {"rows": [n for n, _ in shapes], "width": shapes[0][1]}
        with replacing(plan) as aside, aside.open("wb") as out:
            np.savez(out, **kept, **({"lengths": np.concatenate(lengths)} if lengths else {}))
    with np.load(plan, allow_pickle=False) as kept:
        rows, width = kept["rows"], int(kept["width"])
        owner = ids.repeat(kept["lengths"]) if "lengths" in kept else ids
    left = [i for i, file in enumerate(shards) if file.exists()]
    if left or whole.exists():  # else it has its name already
        with writing(whole), whole.open("r+b" if whole.exists() else "w+b") as out:
            header = {"descr": "<f2", "fortran_order": False, "shape": (int(rows.sum()), width)}
            np.lib.format.write_array_header_1_0(out, header)
            out.seek(out.tell() + 2 * width * int(rows[: left[0] if left else len(rows)].sum()))
            out.truncate()  # a shard that was half appended
            for i in left:
                out.write(np.load(shards[i], allow_pickle=False).data)
                out.flush()
                os.fsync(out.fileno())
                shards[i].unlink()
    adopt_embeddings(folder, name, owner, whole, note)
