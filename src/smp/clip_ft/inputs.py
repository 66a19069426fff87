"""What the model reads of a batch of posts: features from the store, or pixels and tokens for an unfrozen tower."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import Dataset

from smp.disk.pictures import load_rgb
from smp.disk.store import read_embeddings
from smp.encoders.base import BLANK
from smp.encoders.pixels import split
from smp.errors import DataError
from smp.nn.parallel import loader


class Store:
    """The frozen towers' outputs for every post, memory-mapped: f_I(x), h and the token features H."""

    def __init__(self, folder: Path, prefix: str, ids: pd.Index):
        """`<prefix>_image`, `_text` and `_tokens` of the posts `ids`. Raises DataError when one is missing."""
        image, self._image_at = _aligned(folder, f"{prefix}_image", ids)
        text, self._text_at = _aligned(folder, f"{prefix}_text", ids)
        keys, tokens = read_embeddings(folder, f"{prefix}_tokens")
        self._maps = {"image": image, "text": text, "tokens": tokens}
        owner = ids.get_indexer(keys)  # a post's tokens lie together
        if (owner < 0).any():
            raise DataError(
                f"{folder / f'{prefix}_tokens.npy'}: made for other posts; run the experiment that makes it"
            )
        self._length = np.bincount(owner, minlength=len(ids))
        self._start = np.zeros(len(ids), np.int64)
        first = np.flatnonzero(np.diff(owner, prepend=-1))
        self._start[owner[first]] = first
        self.dim = image.shape[1]

    def __getstate__(self) -> dict:
        """What another process is sent: the maps' names, for their contents would be sent whole."""
        return self.__dict__ | {"_maps": {name: array.filename for name, array in self._maps.items()}}

    def __setstate__(self, state: dict) -> None:
        maps = {name: np.load(file, mmap_mode="r", allow_pickle=False) for name, file in state["_maps"].items()}
        self.__dict__ = state | {"_maps": maps}

    def image(self, rows: np.ndarray) -> np.ndarray:
        """(B, d) float16; zeros where the picture is missing."""
        return self._maps["image"][self._image_at[rows]]

    def text(self, rows: np.ndarray) -> np.ndarray:
        """(B, d) float16."""
        return self._maps["text"][self._text_at[rows]]

    def tokens(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(B, l, d) float16, padded with zeros to the longest description, and its mask (B, l)."""
        length = self._length[rows]
        mask = np.arange(max(length.max(initial=0), 1)) < length[:, None]
        out = np.zeros((*mask.shape, self.dim), np.float16)
        first = np.repeat(self._start[rows] - (np.cumsum(length) - length), length)
        out[mask] = self._maps["tokens"][first + np.arange(length.sum())]
        return out, mask

    def has_image(self) -> np.ndarray:
        """(n,) bool: the posts whose picture could be read."""
        rows = np.arange(len(self._image_at))
        return np.concatenate([self.image(rows[i : i + 65536]).any(1) for i in range(0, len(rows), 65536)])


@dataclass(frozen=True)
class Inputs:
    """All posts as the model reads them. `paths` and `transform` serve an unfrozen picture tower, `texts` and
    `tokenize` an unfrozen text tower; None where the tower is frozen and the store is read instead.

    label: (n,) class, -1 where unknown. transform, augment: of a picture, outside training and in it; the batches hold
    uint8, which the towers normalise.
    """

    store: Store
    label: np.ndarray
    paths: Sequence[str] | None = None
    transform: Callable | None = None
    augment: Callable | None = None
    texts: Sequence[str] | None = None
    tokenize: Callable | None = None

    @cached_property
    def has_image(self) -> np.ndarray:
        """(n,) bool: the posts whose picture could be read."""
        return self.store.has_image()

    def batch(self, rows: np.ndarray, seed: int | None = None) -> dict[str, Tensor]:
        """The tensors of some posts; with a seed, pictures are augmented, each by (seed, row) alone."""
        made = {"label": torch.from_numpy(self.label[rows])}
        if self.paths is None:
            made["image"] = torch.from_numpy(self.store.image(rows))
        else:
            made["pixels"] = torch.stack([self._picture(row, seed) for row in rows.tolist()])
        if self.texts is None:
            tokens, mask = self.store.tokens(rows)
            made["text"] = torch.from_numpy(self.store.text(rows))
            made["tokens"], made["mask"] = torch.from_numpy(tokens), torch.from_numpy(mask)
        else:
            made["ids"] = self.tokenize([self.texts[row] for row in rows.tolist()])
        return made

    def _picture(self, row: int, seed: int | None) -> Tensor:
        picture = load_rgb(self.paths[row]) or BLANK
        if seed is None:
            return self._plain(picture)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed * 1_000_003 + row)
            return self._augmented(picture)

    @cached_property
    def _plain(self) -> Callable:
        return split(self.transform)[0]

    @cached_property
    def _augmented(self) -> Callable:
        return split(self.augment)[0]

    def stream(self, batches: Sequence[np.ndarray], seed: int | None = None, workers: int = 0) -> Iterator:
        """The tensors of one batch of rows after another, made by worker processes (0: by this one)."""
        return loader(_Batches(self, batches, seed), workers, batch_size=None)


class _Batches(Dataset):
    def __init__(self, inputs: Inputs, batches: Sequence[np.ndarray], seed: int | None):
        self.inputs, self.batches, self.seed = inputs, batches, seed

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        return self.inputs.batch(self.batches[number], self.seed)


def _aligned(folder: Path, name: str, ids: pd.Index) -> tuple[np.ndarray, np.ndarray]:
    keys, array = read_embeddings(folder, name)
    place = keys.get_indexer(ids)
    if (place < 0).any():
        raise DataError(f"{folder / name}.npy: no row for post {ids[place < 0][0]}; run the experiment that makes it")
    return array, place
