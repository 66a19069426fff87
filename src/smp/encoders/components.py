"""Principal components of stored embeddings, for the tree models."""

import json
from pathlib import Path

import numpy as np

from smp.disk.store import read_embeddings, read_note, write_embeddings
from smp.encoders.shards import is_stored


def pca(folder: Path, name: str, blocks: int, components: int, key: str) -> list[float]:
    """Store `<name>_pca`: the first principal components of each of an embedding's `blocks` equal blocks of columns.

    The directions are those of all posts (no label is involved), each with its largest weight positive. Memory is one
    block of a slice of posts. Returns the share of variance kept in every block. What is there under this key is kept.
    """
    if is_stored(folder, [f"{name}_pca"], key):
        return json.loads(read_note(folder / f"{name}_pca.ids.parquet")["kept"])
    ids, array = read_embeddings(folder, name)
    width = array.shape[1] // blocks
    slices = [slice(i, i + 16384) for i in range(0, len(array), 16384)]
    out, kept = np.empty((len(array), blocks * components), np.float16), []
    for block in range(blocks):
        columns = slice(block * width, (block + 1) * width)
        mean = sum(array[s, columns].astype(np.float64).sum(0) for s in slices) / len(array)
        scatter = sum((c := array[s, columns] - mean).T @ c for s in slices)
        value, vector = np.linalg.eigh(scatter)
        top = vector[:, ::-1][:, :components]
        top = top * np.sign(top[np.abs(top).argmax(0), np.arange(top.shape[1])])
        kept.append(float(value[::-1][:components].sum() / max(value.sum(), 1e-12)))
        for s in slices:
            out[s, block * components : (block + 1) * components] = (array[s, columns] - mean) @ top
    write_embeddings(folder, f"{name}_pca", ids, out, {"key": key, "kept": json.dumps(kept)})
    return kept
