"""Principal components of stored embeddings, for the tree models."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from smp.disk.store import read_embeddings, read_note, replacing, write_embeddings
from smp.encoders.shards import is_stored
from smp.errors import DataError


def pca(folder: Path, name: str, budget: Sequence[int], key: str) -> list[float]:
    """Store `<name>_pca`: the first principal components of an embedding's equal blocks of columns, `budget` of each.

    The directions are those of all posts (no label is involved), each with its largest weight positive. Memory is one
    block of a slice of posts. Returns the share of variance kept in every block, 0 of those with a budget of 0, which
    are left out. What is there under this key is kept.
    """
    if is_stored(folder, [f"{name}_pca"], key):
        return json.loads(read_note(folder / f"{name}_pca.ids.parquet")["kept"])
    ids, array = read_embeddings(folder, name)
    width = array.shape[1] // len(budget)
    slices = [slice(i, i + 16384) for i in range(0, len(array), 16384)]
    means, axes, kept = [], [], []
    for block, components in enumerate(budget):
        if not components:
            means.append(np.zeros(width))
            axes.append(np.empty((width, 0)))
            kept.append(0.0)
            continue
        columns = slice(block * width, (block + 1) * width)
        mean = sum(array[s, columns].astype(np.float64).sum(0) for s in slices) / len(array)
        scatter = sum((c := array[s, columns] - mean).T @ c for s in slices)
        value, vector = np.linalg.eigh(scatter)
        top = vector[:, ::-1][:, :components]
        means.append(mean)
        axes.append(top * np.sign(top[np.abs(top).argmax(0), np.arange(top.shape[1])]))
        kept.append(float(value[::-1][:components].sum() / max(value.sum(), 1e-12)))
    with replacing(_axes_file(folder, name)) as aside:
        of_block = np.array([min(components, width) for components in budget])
        save_file({"means": np.stack(means), "axes": np.hstack(axes), "budget": of_block}, aside)
    out = np.concatenate([project(folder, name, array[s]) for s in slices])
    write_embeddings(folder, f"{name}_pca", ids, out, {"key": key, "kept": json.dumps(kept)})
    return kept


def project(folder: Path, name: str, array: np.ndarray) -> np.ndarray:
    """(n, sum of the budget) float16: an embedding (n, d) on the directions that `pca` found for those in the store.

    Raises DataError where it kept none.
    """
    path = _axes_file(folder, name)
    if not path.is_file():
        raise DataError(f"{path}: not kept; run the experiment that makes {name}_pca again with --force")
    kept = load_file(path)
    blocks = np.split(array, len(kept["budget"]), axis=1)
    axes = np.split(kept["axes"], np.cumsum(kept["budget"])[:-1], axis=1)
    parts = [(block - mean) @ top for block, mean, top in zip(blocks, kept["means"], axes)]
    return np.hstack(parts).astype(np.float16)


def _axes_file(folder: Path, name: str) -> Path:
    return folder / f"{name}_pca.axes.safetensors"
