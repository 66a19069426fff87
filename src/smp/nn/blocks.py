"""Layers and losses that several networks are built of."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from smp.nn.columns import UNKNOWN

Objective = Literal["l1", "l2", "huber"]
LOSSES = {"l1": nn.L1Loss, "l2": nn.MSELoss, "huber": nn.HuberLoss}


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
