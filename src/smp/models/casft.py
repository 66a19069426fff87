"""CasFT (Jing et al. 2025): ConCat's trunk run on beyond the observation, and a diffusion over the trend to come."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from smp.models.concat import ConCat, Head, Trunk
from smp.nn.diffusion import Diffusion


@dataclass(frozen=True)
class CasFT:
    """Sizes and switches; published: T 1000, 100 steps of DDIM. The trend is log2(1 + events) of each interval."""

    trunk: ConCat = ConCat()
    intervals: int = 6  # of (observation, horizon), even on the trunk's clock
    trend: Literal["diffusion", "gaussian", "none"] = "diffusion"
    cues: bool = True  # False: the trend is not told the intensity's integrals over the intervals
    weight: float = 0.5  # of the trend's loss
    steps: int = 200  # T
    ddim: int = 5  # steps of a draw
    draws: int = 8  # trends averaged for a prediction
    width: int = 64


class GaussianTrend(nn.Module):
    """What a diffusion is compared with: a mean and a spread of each interval, independent of each other."""

    def __init__(self, size: int, condition: int, width: int, dropout: float):
        super().__init__()
        self.size = size
        self.network = nn.Sequential(
            nn.Linear(condition, width), nn.SiLU(), nn.Dropout(dropout), nn.Linear(width, 2 * size)
        )

    def loss(self, x: Tensor, condition: Tensor) -> Tensor:
        """(B,) negative log-likelihood, a mean over the intervals."""
        mean, log = self.network(condition).chunk(2, dim=1)
        return (log + 0.5 * ((x - mean) * torch.exp(-log)) ** 2).mean(1)

    @torch.no_grad()
    def sample(self, condition: Tensor, noise: Tensor, steps: int = 0) -> Tensor:
        mean, log = self.network(condition).chunk(2, dim=1)
        return mean + torch.exp(log) * noise


class CasFTNetwork(nn.Module):
    """Events, their marks and scalars -> the standardised label. Called on a batch, it gives the losses (B, 2 or 3)."""

    def __init__(self, config: CasFT, marks: int, scalars: int, rate: float, later: Sequence[float]):
        """later: (intervals,) the ends of the intervals on the clock; the last is the horizon."""
        super().__init__()
        self.config = config
        self.trunk = Trunk(config.trunk, marks, rate)
        size, dropout = config.intervals, config.trunk.dropout
        condition = config.trunk.state + scalars + config.cues * size
        self.register_buffer("later", torch.tensor(later))
        self.register_buffer("noise", torch.randn(config.draws, size))  # of all items: a prediction draws nothing
        self.trend = {
            "diffusion": lambda: Diffusion(size, condition, config.steps, config.width, dropout),
            "gaussian": lambda: GaussianTrend(size, condition, config.width, dropout),
            "none": lambda: None,
        }[config.trend]()
        self.head = Head(config.trunk.state + (2 * size if self.trend else 0), scalars, config.trunk.head, dropout)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        path = self.trunk(batch, self.later)
        condition = self._condition(path, batch)
        error = (self._read(path, condition, batch) - batch["label"]) ** 2
        losses = [error, self.config.trunk.likelihood * self.trunk.surprise(path, batch)]
        if self.trend:
            losses.append(self.config.weight * self.trend.loss(batch["trend"], condition))
        return torch.stack(losses, dim=1)

    def predict(self, batch: dict[str, Tensor]) -> Tensor:
        """(B,) the standardised label."""
        path = self.trunk(batch, self.later)
        return self._read(path, self._condition(path, batch), batch)

    def trends(self, batch: dict[str, Tensor], noise: Tensor) -> Tensor:
        """(B, k, intervals) standardised trends, one of each noise (k, intervals)."""
        return self._draw(self._condition(self.trunk(batch, self.later), batch), noise)

    def _condition(self, path, batch: dict[str, Tensor]) -> Tensor:
        known = [self.trunk.state(path), batch["scalars"]]
        if self.config.cues:
            known.append(torch.log1p(path.later) / 5)
        return torch.cat(known, dim=1)

    def _draw(self, condition: Tensor, noise: Tensor) -> Tensor:
        n, k = len(condition), len(noise)
        made = self.trend.sample(condition.repeat_interleave(k, 0), noise.repeat(n, 1), self.config.ddim)
        return made.view(n, k, -1)

    def _read(self, path, condition: Tensor, batch: dict[str, Tensor]) -> Tensor:
        known = [self.trunk.state(path)]
        if self.trend:
            drawn = self._draw(condition, self.noise)
            known += [drawn.mean(1), drawn.std(1)]
        return self.head(torch.cat(known, dim=1), batch["scalars"])
