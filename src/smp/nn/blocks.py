"""Layers and losses that several networks are built of."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from smp.nn.columns import UNKNOWN

Objective = Literal["l1", "l2", "huber"]
LOSSES = {"l1": nn.L1Loss, "l2": nn.MSELoss, "huber": nn.HuberLoss}


@dataclass(frozen=True)
class Scale:
    """Means and spreads of the training rows."""

    mean: np.ndarray
    spread: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> "Scale":
        """From rows (m, ...)."""
        return cls(values.mean(axis=0), values.std(axis=0) + 1e-3)

    def arrays(self) -> dict[str, np.ndarray]:
        """What was learnt, as named arrays: `from_arrays` makes the same scale of it."""
        return {"mean": np.asarray(self.mean), "spread": np.asarray(self.spread)}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> "Scale":
        return cls(**arrays)

    def __call__(self, values: np.ndarray) -> Tensor:
        return torch.as_tensor(((values - self.mean) / self.spread).clip(-5, 5), dtype=torch.float32)


class Regression(nn.Module):
    """A network (batch -> (B,)) under a loss: what `smp.nn.loop.train` trains."""

    def __init__(self, network: nn.Module, objective: Objective):
        super().__init__()
        self.network, self.loss = network, LOSSES[objective](reduction="none")

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """(B,) the loss of `target` times its `weight`; and the network's `penalty`, a scalar that its forward pass
        may leave, which no weight changes."""
        made = self.loss(self.network(batch), batch["target"]) * batch["weight"]
        return made + getattr(self.network, "penalty", 0.0)


class EmbeddedColumns(nn.Module):
    """`numbers` (B, d) and embedded `codes` (B, c) side by side, (B, d + sum of widths).

    In training a share `hidden` of the categories is hidden, so that `unknown` is learnt too.
    """

    def __init__(self, n_numbers: int, cardinalities: Sequence[int], hidden: float):
        super().__init__()
        self.hidden = hidden
        self.widths = [n_numbers, *(min(32, round(1.6 * n**0.5)) for n in cardinalities)]
        self.embeddings = nn.ModuleList(nn.Embedding(n, width) for n, width in zip(cardinalities, self.widths[1:]))

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        numbers, codes = batch["numbers"], batch["codes"]
        if self.training:
            codes = codes.masked_fill(torch.rand(codes.shape, device=codes.device) < self.hidden, UNKNOWN)
        return torch.cat([numbers, *(e(codes[:, j]) for j, e in enumerate(self.embeddings))], dim=1)


class Autoencoder(nn.Module):
    """A batch (B, sizes[0]) -> its code (B, sizes[-1]) through SELU layers, and back; tied: by the same weights."""

    def __init__(self, sizes: Sequence[int], tied: bool = False):
        super().__init__()
        self.tied = tied
        self.down = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        backward = list(pairwise(sizes[::-1]))
        self.up = nn.ModuleList() if tied else nn.ModuleList(nn.Linear(a, b) for a, b in backward)
        self.biases = nn.ParameterList(nn.Parameter(torch.zeros(b)) for _, b in backward) if tied else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, z) the code, itself not bent."""
        for layer in self.down[:-1]:
            x = functional.selu(layer(x))
        return self.down[-1](x)

    def decode(self, code: Tensor) -> Tensor:
        """(B, d) what a code stands for."""
        layers = [(layer.weight, layer.bias) for layer in self.up]
        if self.tied:
            layers = [(layer.weight.T, bias) for layer, bias in zip(reversed(self.down), self.biases)]
        for place, (weight, bias) in enumerate(layers):
            code = functional.linear(functional.selu(code) if place else code, weight, bias)
        return code

    def loss(self, x: Tensor) -> Tensor:
        """(B,) the mean squared error of what comes back."""
        return ((self.decode(self(x)) - x) ** 2).mean(1)


class Gate(nn.Module):
    """Experts' views (B, E, w) and which are there (B, E) -> their sum (B, w), weighted by what the views say.

    An expert that is not there has no weight; where none is, the sum is 0.
    """

    def __init__(self, experts: int, width: int):
        super().__init__()
        self.score = nn.Linear(experts * width + experts, experts)

    def weights(self, views: Tensor, there: Tensor) -> Tensor:
        """(B, E) of sum 1, or 0 where no expert is there."""
        there = there.float()
        score = self.score(torch.cat([(views * there[:, :, None]).flatten(1), there], dim=1))
        share = score.masked_fill(there == 0, -torch.inf).softmax(1)
        return torch.where(there > 0, share, 0.0)

    def forward(self, views: Tensor, there: Tensor) -> Tensor:
        return (self.weights(views, there)[:, :, None] * views).sum(1)
