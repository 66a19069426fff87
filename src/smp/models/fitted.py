"""A trained network of this floor with what was learnt about its inputs: asked in batches, kept in a folder."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from smp.errors import DataError
from smp.learners import kept
from smp.nn.blocks import Scale
from smp.nn.columns import Columns
from smp.nn.loop import Stream, learned
from smp.nn.parallel import device, one_thread

BATCH = 1024  # items asked about at once
READERS = {reader.__name__: reader for reader in (Scale, Columns)}


@dataclass(frozen=True)
class FittedModel:
    """What rooms share of their trained networks; each says how its own is asked.

    model: the sizes and switches it was made with. readers: how each input, and the label, becomes numbers, by name.
    shape: what the network had to know of its data. memory: arrays of what it learnt from, where it looks things up.
    """

    KINDS: ClassVar[dict[type, Callable[[Any, dict], nn.Module]]]  # what makes the network of a model and a shape

    model: Any
    network: nn.Module
    readers: dict[str, Scale | Columns]
    shape: dict
    memory: dict[str, np.ndarray] = field(default_factory=dict)

    def asked(self, function: Callable[[dict[str, Tensor]], Tensor], stream: Stream, count: int) -> np.ndarray:
        """(count, ...) float64 what `function`, one of the network, says of the items 0 .. count of a stream."""
        target, out = next(self.network.parameters()).device, []
        self.network.eval()
        with torch.no_grad(), one_thread():
            for batch in stream([np.arange(i, min(i + BATCH, count)) for i in range(0, count, BATCH)], 0):
                out.append(function({k: v.to(target) for k, v in batch.items()}).double().cpu().numpy())
        return np.concatenate(out) if out else np.empty(0)

    def save(self, folder: Path) -> None:
        """Keep what was learnt in `folder`, for `load`; frozen weights are had again from where they came."""
        arrays = kept.with_prefix("network", {k: v.cpu().numpy() for k, v in learned(self.network).items()})
        arrays |= kept.with_prefix("memory", self.memory)
        for name, reader in self.readers.items():
            arrays |= kept.with_prefix(f"reader:{name}", reader.arrays())
        values = {"model": {"class": type(self.model).__name__, **asdict(self.model)}, "shape": self.shape}
        values["readers"] = {name: type(reader).__name__ for name, reader in self.readers.items()}
        kept.keep(folder, type(self).__name__, values, arrays)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The model that `save` kept. Raises DataError where it is not whole."""
        card, arrays = kept.card_of(folder), kept.arrays_of(folder)
        if "readers" not in card:
            raise DataError(f"{folder / kept.CARD}: kept by another version of this code; {kept.REMEDY}")
        model = kept.restored(tuple(cls.KINDS), card["model"])
        network = cls.KINDS[type(model)](model, card["shape"])
        weights = {name: torch.from_numpy(array) for name, array in kept.under("network", arrays).items()}
        network.load_state_dict(weights, strict=False)
        readers = {
            name: READERS[kind].from_arrays(kept.under(f"reader:{name}", arrays))
            for name, kind in card["readers"].items()
        }
        return cls(model, network.to(device()), readers, card["shape"], kept.under("memory", arrays))
