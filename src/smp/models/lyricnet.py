"""HitMusicNet and HitMusicLyricNet: autoencoders that shorten what is known of a song, and a network on their codes.

HitMusicNet (Martin-Gutierrez et al. 2020) codes all of it at once, 114-76-45 for 228 features, and reads the code with
45-22-15-1. HitMusicLyricNet codes the words (LyricsAENet: tied weights, SELU) and the sound apart, and reads both codes
beside the rest. The autoencoders are trained first, without a label.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from smp.nn.blocks import Autoencoder

Objective = Literal["l1", "l2"]


@dataclass(frozen=True)
class LyricNet:
    """Sizes, and which blocks are coded together; a block of no group is read as it is."""

    groups: tuple[tuple[str, ...], ...] = (("lyrics",), ("sound", "low_level"))  # by the start of the blocks' names
    tied: tuple[bool, ...] = (True, False)  # of each group's autoencoder
    shares: tuple[float, ...] = (1 / 2, 1 / 3, 1 / 5)  # of a group's columns, layer by layer
    layers: tuple[int, ...] = (45, 22, 15)
    dropout: float = 0.25
    objective: Objective = "l2"


ALL = ("sound", "low_level", "lyric_counts", "release", "genres", "history")
HITMUSICNET = LyricNet(groups=(ALL,), tied=(False,))


class Coders(nn.Module):
    """The autoencoders: blocks {name: (B, d)} -> their losses (B, G)."""

    def __init__(self, config: LyricNet, shape: dict[str, int]):
        super().__init__()
        of = [[n for n in shape if n.split(".")[0] in group] for group in config.groups]
        self.groups = [names for names in of if names]
        tied = [t for t, names in zip(config.tied, of) if names]
        width = [sum(shape[n] for n in names) for names in self.groups]
        self.norms = nn.ModuleList(nn.BatchNorm1d(d, affine=False) for d in width)
        sizes = [(d, *(max(round(d * s), 4) for s in config.shares)) for d in width]
        self.coders = nn.ModuleList(Autoencoder(s, t) for s, t in zip(sizes, tied))
        self.widths = [s[-1] for s in sizes]

    def inputs(self, batch: dict[str, Tensor]) -> list[Tensor]:
        joined = [torch.cat([batch[n] for n in names], dim=1) for names in self.groups]
        return [norm(x) for norm, x in zip(self.norms, joined)]

    def there(self, batch: dict[str, Tensor]) -> list[Tensor]:
        return [torch.stack([batch[f"{n}_there"] for n in names]).amax(0) for names in self.groups]

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        losses = [coder.loss(x) for coder, x in zip(self.coders, self.inputs(batch))]
        return torch.stack([a * b for a, b in zip(losses, self.there(batch))], dim=1)

    def codes(self, batch: dict[str, Tensor]) -> list[Tensor]:
        """(B, z) each, 0 where nothing of a group is there."""
        coded = [functional.selu(coder(x)) for coder, x in zip(self.coders, self.inputs(batch))]
        return [code * there[:, None] for code, there in zip(coded, self.there(batch))]


class LyricNetNetwork(nn.Module):
    """Blocks -> the standardised label; called on a batch, it gives the losses (B, 1). `first` is trained before."""

    def __init__(self, config: LyricNet, shape: dict[str, int]):
        super().__init__()
        self.first = Coders(config, shape)
        coded = {n for names in self.first.groups for n in names}
        self.rest = [n for n in shape if n not in coded and config.groups != (ALL,)]
        total = sum(self.first.widths) + sum(shape[n] for n in self.rest)
        self.norm = nn.BatchNorm1d(total)
        sizes = (total, *config.layers)
        layers = [
            layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), nn.SELU(), nn.Dropout(config.dropout))
        ]
        self.head = nn.Sequential(*layers, nn.Linear(sizes[-1], 1))
        self.loss = functional.l1_loss if config.objective == "l1" else functional.mse_loss

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        return self.loss(self.predict(batch), batch["label"], reduction="none")[:, None]

    def predict(self, batch: dict[str, Tensor]) -> Tensor:
        """(B,) the standardised label."""
        parts = [*self.first.codes(batch), *(batch[n] for n in self.rest)]
        return self.head(self.norm(torch.cat(parts, dim=1)))[:, 0]
