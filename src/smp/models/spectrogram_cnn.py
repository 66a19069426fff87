"""A convolutional network over mel spectrograms joined with a song's descriptors; a head each for number and class."""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

MEL = "mel"  # the block that holds spectrograms (B, mels, frames)


@dataclass(frozen=True)
class SpectrogramCNN:
    """Sizes. bounds: of the classes, in units of the label; the spectrogram's own values are here for who makes it."""

    channels: tuple[int, ...] = (16, 32, 48, 64)
    width: int = 64
    dropout: float = 0.2
    bounds: tuple[float, ...] = (25.0, 65.0)
    classes: float = 0.3  # weight of the classes' loss
    rate: int = 22_050  # samples a second
    n_fft: int = 2048
    hop: int = 512
    mels: int = 64
    frames: int = 431  # 10 s


class SpectrogramCNNNetwork(nn.Module):
    """Spectrograms, where there are any, and blocks -> the standardised label. Called on a batch, it gives (B, 2): the
    squared error, and the weighted cross-entropy of the classes `kind` (B,)."""

    def __init__(self, config: SpectrogramCNN, shape: dict[str, int]):
        super().__init__()
        self.config = config
        self.names = [n for n in shape if n != MEL]
        self.hears = MEL in shape
        widths = (1, *config.channels)
        blocks = [
            nn.Sequential(nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU(), nn.MaxPool2d(2))
            for a, b in pairwise(widths)
        ]
        self.ears = nn.Sequential(*blocks) if self.hears else None
        total = sum(shape[n] for n in self.names)
        self.tell = nn.Sequential(nn.BatchNorm1d(total), nn.Linear(total, config.width), nn.ReLU()) if total else None
        joint = (widths[-1] + 1) * self.hears + config.width * bool(total)
        self.body = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(joint, config.width), nn.ReLU())
        self.number, self.kind = nn.Linear(config.width, 1), nn.Linear(config.width, len(config.bounds) + 1)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        body = self.run(batch)
        error = (self.number(body)[:, 0] - batch["label"]) ** 2
        classes = functional.cross_entropy(self.kind(body), batch["kind"], reduction="none")
        return torch.stack([error, self.config.classes * classes], dim=1)

    def predict(self, batch: dict[str, Tensor]) -> Tensor:
        """(B,) the standardised label."""
        return self.number(self.run(batch))[:, 0]

    def run(self, batch: dict[str, Tensor]) -> Tensor:
        """(B, width) what both heads read."""
        parts = []
        if self.hears:
            there = batch[f"{MEL}_there"][:, None]
            parts += [self.ears(batch[MEL][:, None].float()).mean((2, 3)) * there, there]
        if self.tell:
            parts.append(self.tell(torch.cat([batch[n] for n in self.names], dim=1)))
        return self.body(torch.cat(parts, dim=1))
