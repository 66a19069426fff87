"""A plain recurrent network over a cascade's events: what continuous time and point processes are compared with."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from smp.models.concat import Head


@dataclass(frozen=True)
class GRU:
    """Sizes."""

    state: int = 32
    head: int = 32
    dropout: float = 0.1


class GRUNetwork(nn.Module):
    """Events, their marks and scalars -> the standardised label. Called on a batch, it gives the losses (B, 1)."""

    def __init__(self, config: GRU, marks: int, scalars: int):
        super().__init__()
        self.gru = nn.GRU(marks, config.state, batch_first=True)
        self.head = Head(config.state, scalars, config.head, config.dropout)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        return (self.predict(batch) - batch["label"])[:, None] ** 2

    def predict(self, batch: dict[str, Tensor]) -> Tensor:
        """(B,) the standardised label, from the state after the last event."""
        states, last = self.gru(batch["marks"])[0], batch["mask"].sum(1) - 1
        return self.head(states[torch.arange(len(last)), last], batch["scalars"])
