"""The layers of TabNet in torch: sparse attention over columns, feature transformers, ghost batch norm.

`config` is a smp.learners.TabNet, which imports this file.
"""

import math
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from smp.nn.blocks import EmbeddedColumns


class Network(nn.Module):
    """A batch of columns -> (B,); `penalty` holds the sparsity loss of the latest forward pass."""

    def __init__(self, config: Any, n_numbers: int, cardinalities: list[int]):
        super().__init__()
        self.columns = EmbeddedColumns(n_numbers, cardinalities, config.category_dropout)
        inputs, width = sum(self.columns.widths), config.n_d + config.n_a
        self.config = config
        columns = n_numbers + len(cardinalities)  # a category's embedding is attended to as one column
        self.norm = GhostBatchNorm(inputs, config, config.batch_size)  # the paper norms its input by whole batches
        shared = [nn.Linear(inputs if i == 0 else width, 2 * width, bias=False) for i in range(config.n_shared)]
        self.transform = nn.ModuleList(
            FeatureTransformer(config, inputs, width, shared) for _ in range(config.n_steps + 1)
        )
        self.attend = nn.ModuleList(nn.Linear(config.n_a, columns, bias=False) for _ in range(config.n_steps))
        self.attend_norm = nn.ModuleList(GhostBatchNorm(columns, config) for _ in range(config.n_steps))
        self.head = nn.Linear(config.n_d, 1)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        decision, masks = self.steps(batch)
        self.penalty = self.config.sparsity * -(masks * torch.log(masks + 1e-15)).sum(-1).mean()
        return self.head(decision).squeeze(1)

    def steps(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The sum of the steps' decisions (B, n_d), and their masks over the columns (steps, B, columns)."""
        config = self.config
        x = self.norm(self.columns(batch))
        attention = self.transform[0](x)[:, config.n_d :]
        onto_simplex = sparsemax if config.mask == "sparsemax" else partial(torch.softmax, dim=-1)
        prior = x.new_ones(len(x), len(self.attend[0].weight))
        decision, masks = x.new_zeros(len(x), config.n_d), []
        for transform, attend, norm in zip(self.transform[1:], self.attend, self.attend_norm):
            mask = onto_simplex(prior * norm(attend(attention)))
            n_numbers, *widths = self.columns.widths
            numeric, *categorical = mask.split([n_numbers, *[1] * len(widths)], dim=1)
            wide = [numeric, *(m.expand(-1, width) for m, width in zip(categorical, widths))]
            made = transform(x * torch.cat(wide, dim=1))
            decision = decision + F.relu(made[:, : config.n_d])
            attention, prior = made[:, config.n_d :], prior * (config.gamma - mask)
            masks.append(mask)
        return decision, torch.stack(masks)


class FeatureTransformer(nn.Module):
    """Gated linear blocks, the first shared by all steps but for their norms, each added to what came before."""

    def __init__(self, config: Any, inputs: int, width: int, shared: list[nn.Linear]):
        super().__init__()
        first = inputs if not shared else width
        own = [nn.Linear(first if i == 0 else width, 2 * width, bias=False) for i in range(config.n_independent)]
        self.layers = nn.ModuleList([*shared, *own])
        self.norms = nn.ModuleList(GhostBatchNorm(2 * width, config) for _ in self.layers)

    def forward(self, x: Tensor) -> Tensor:  # (B, inputs) -> (B, width)
        for i, (layer, norm) in enumerate(zip(self.layers, self.norms)):
            made = F.glu(norm(layer(x)))
            x = made if i == 0 else (x + made) * math.sqrt(0.5)
        return x


class GhostBatchNorm(nn.BatchNorm1d):
    """Batch normalisation by the statistics of a part of the batch (Hoffer et al. 2017)."""

    def __init__(self, width: int, config: Any, rows: int | None = None):
        super().__init__(width, momentum=config.momentum)
        self.rows = rows or config.ghost_batch_size

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or len(x) < 2:  # one row has no spread
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return torch.cat([super(GhostBatchNorm, self).forward(c) for c in x.chunk(max(1, len(x) // self.rows))])


def sparsemax(z: Tensor) -> Tensor:
    """The point of the simplex nearest to z, along the last axis: like softmax, with true zeros (Martins 2016).

    The support shrinks to its own by Michelot's rounds (1986), exactly and sooner than by sorting wide rows.
    """
    with torch.no_grad():
        support, before = torch.ones_like(z), None
        while before is None or not torch.equal(support, before):
            before = support
            threshold = ((z * support).sum(-1, keepdim=True) - 1) / support.sum(-1, keepdim=True)
            support = support * (z > threshold)
    threshold = ((z * support).sum(-1, keepdim=True) - 1) / support.sum(-1, keepdim=True)
    return (z - threshold).clamp(min=0)
