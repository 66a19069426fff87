"""ConCat (Jing et al. 2025): a cascade in continuous time: attention over its events, a jump ODE, an intensity."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from smp.nn.ode import JumpODE, Path, Solver


@dataclass(frozen=True)
class ConCat:
    """Sizes and switches; the published network has attention 80 wide, dopri5 with the adjoint, 128 events."""

    state: int = 32
    attention: int = 32
    heads: int = 2
    head: int = 32
    dropout: float = 0.1
    solver: Solver = Solver("midpoint")
    ode: bool = True  # False: the state stands still between events
    likelihood: float = 0.1  # weight of the events' log-likelihood, per event; 0: no point process at all
    propagated: bool = True  # False: the state after the last event is read, not that at the observation's end


class CausalAttention(nn.Module):
    """One layer of masked self-attention: an event attends to itself and to those before it."""

    def __init__(self, inputs: int, width: int, heads: int, dropout: float):
        super().__init__()
        self.heads = heads
        self.inputs = nn.Linear(inputs + 8, width)
        self.mixed, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.norm, self.dropout = nn.LayerNorm(width), nn.Dropout(dropout)
        self.register_buffer("frequencies", torch.pi * 2.0 ** torch.arange(4))

    def forward(self, marks: Tensor, clock: Tensor) -> Tensor:
        """Events (B, L, F) at clock (B, L) -> (B, L, width). What is masked comes last, so no event attends to it."""
        angle = clock[:, :, None] * self.frequencies
        x = self.inputs(torch.cat([marks, angle.sin(), angle.cos()], dim=2))
        q, k, v = (
            part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in self.mixed(self.norm(x)).chunk(3, dim=2)
        )  # (B, heads, L, width / heads)
        seen = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return x + self.dropout(self.out(seen.transpose(1, 2).flatten(2)))


class Trunk(nn.Module):
    """Marked events to the states and intensities that ConCat and CasFT read."""

    def __init__(self, config: ConCat, marks: int, rate: float):
        """rate: the mean number of observed events, what an untrained intensity gives."""
        super().__init__()
        self.config = config
        self.attention = CausalAttention(marks, config.attention, config.heads, config.dropout)
        self.ode = JumpODE(config.attention, config.state, rate, config.solver, moves=config.ode)

    def forward(self, batch: dict[str, Tensor], later: Tensor | None = None) -> Path:
        x = self.attention(batch["marks"], batch["clock"])
        return self.ode(x, batch["clock"], batch["mask"], 1.0, later)

    def state(self, path: Path) -> Tensor:
        return path.end if self.config.propagated else path.last

    def surprise(self, path: Path, batch: dict[str, Tensor]) -> Tensor:
        """(B,) the negative log-likelihood per event."""
        made = self.ode.log_likelihood(path, batch["mask"], batch["weight"])
        return -made / batch["weight"].sum(1)


class Head(nn.Module):
    """A line through the scalars and a perceptron over all that is known: (B, D), (B, S) -> (B,)."""

    def __init__(self, inputs: int, scalars: int, width: int, dropout: float):
        super().__init__()
        self.line = nn.Linear(scalars, 1)
        self.bend = nn.Sequential(
            nn.Linear(inputs + scalars, width), nn.SiLU(), nn.Dropout(dropout), nn.Linear(width, 1)
        )

    def forward(self, x: Tensor, scalars: Tensor) -> Tensor:
        return (self.line(scalars) + self.bend(torch.cat([x, scalars], dim=1))).squeeze(1)


class ConCatNetwork(nn.Module):
    """Events, their marks and scalars -> the standardised label. Called on a batch, it gives the losses (B, 2)."""

    def __init__(self, config: ConCat, marks: int, scalars: int, rate: float):
        super().__init__()
        self.config = config
        self.trunk = Trunk(config, marks, rate)
        self.head = Head(config.state + bool(config.likelihood), scalars, config.head, config.dropout)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        path = self.trunk(batch)
        error = (self._read(path, batch) - batch["label"]) ** 2
        if not self.config.likelihood:
            return error[:, None]
        return torch.stack([error, self.config.likelihood * self.trunk.surprise(path, batch)], dim=1)

    def predict(self, batch: dict[str, Tensor]) -> Tensor:
        """(B,) the standardised label."""
        return self._read(self.trunk(batch), batch)

    def _read(self, path: Path, batch: dict[str, Tensor]) -> Tensor:
        known = [self.trunk.state(path)]
        if self.config.likelihood:
            known.append(torch.log1p(path.integral)[:, None] / 5)  # of the order of the state
        return self.head(torch.cat(known, dim=1), batch["scalars"])
