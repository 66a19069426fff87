"""CacheMamba: the requests of an object, window after window, through a selective state space -> its place in the
ranking; and a Transformer of about its size on the same inputs.

The system is known by its abstract; sizes and the loss are our choice.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from smp.nn.ssm import SSM, SSMStack


@dataclass(frozen=True)
class CacheMamba:
    """Sizes, and what is added to what."""

    width: int = 32
    layers: int = 2
    state: int = 8
    residual: bool = True  # the network's score is added to that of the decayed counts; else it stands alone

    def trunk(self, length: int) -> nn.Module:
        return SSMStack(SSM(width=self.width, layers=self.layers, state=self.state))

    def flops(self, length: int) -> float:
        """Of one object's sequence, a multiply-add being two."""
        return SSM(width=self.width, layers=self.layers, state=self.state).flops(length)


@dataclass(frozen=True)
class CacheTransformer:
    """The same of a Transformer encoder, which reads the whole series at once; no parameter grows with its length."""

    width: int = 32
    layers: int = 2
    heads: int = 4
    inner: int = 64
    residual: bool = True

    def trunk(self, length: int) -> nn.Module:
        return Attention(self, length)

    def flops(self, length: int) -> float:
        """Projections, attention (scores and their mean) and the two layers behind, of every step."""
        step = 8 * self.width**2 + 4 * length * self.width + 4 * self.width * self.inner
        return float(self.layers * length * step)


class Attention(nn.Module):
    """(B, L, d) -> (B, L, d), as SSMStack; steps that are not there (mask) are not looked at."""

    def __init__(self, config: CacheTransformer, length: int):
        super().__init__()
        turn = torch.arange(length)[:, None] * 1e4 ** (-torch.arange(0, config.width, 2) / config.width)
        position = torch.stack([turn.sin(), turn.cos()], 2).flatten(1)[:, : config.width]  # Vaswani et al. 2017
        self.register_buffer("position", position, persistent=False)
        sizes, norm = (config.width, config.heads, config.inner), nn.LayerNorm(config.width)
        layer = nn.TransformerEncoderLayer(*sizes, dropout=0.0, activation="gelu", batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, config.layers, norm, enable_nested_tensor=False)

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, None]:
        return self.layers(x + self.position, src_key_padding_mask=~mask), None


class Ranker(nn.Module):
    """Objects of windows -> their scores. Called on a batch of B windows with C objects each, it gives the losses (B,).

    marks (B, C, L, F) and there (B, C, L): the series, its last step the present; scalars (B, C, S); base (B, C): the
    log of the decayed count; came (B, C): requests in the next window. The loss is list-wise: the cross-entropy of the
    softmax of scores against the objects' shares of what came. It begins as the ranking by decayed counts.
    """

    def __init__(self, config: CacheMamba | CacheTransformer, length: int, marks: int, scalars: int):
        super().__init__()
        self.residual = config.residual
        self.into = nn.Linear(marks, config.width)
        self.trunk = config.trunk(length)
        width = config.width
        self.head = nn.Sequential(nn.Linear(width + scalars, width), nn.GELU(), nn.Linear(width, 1))
        if self.residual:
            nn.init.zeros_(self.head[-1].weight)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        score, came = self.score(batch), batch["came"]
        share = came / came.sum(1, keepdim=True).clamp(min=1e-6)
        return -(share * torch.log_softmax(score, dim=1)).sum(1)

    def score(self, batch: dict[str, Tensor]) -> Tensor:
        """(...,) of series (..., L, F)."""
        marks, there = batch["marks"], batch["there"]
        shape = marks.shape[:-2]
        states, _ = self.trunk(self.into(marks.flatten(0, -3)), there.flatten(0, -2))
        made = self.head(torch.cat([states[:, -1].unflatten(0, shape), batch["scalars"]], dim=-1)).squeeze(-1)
        return made + batch["base"] if self.residual else made
