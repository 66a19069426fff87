"""A hidden state that moves between irregular events by a neural ODE and jumps at each: trunk of ConCat and CasFT."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchdiffeq import odeint, odeint_adjoint


@dataclass(frozen=True)
class Solver:
    """How the ODE of a gap is integrated; each gap is scaled to [0, 1], so that the irregular gaps are one batch."""

    method: Literal["rk4", "midpoint", "dopri5"] = "rk4"
    steps: int = 1  # of a fixed-step method, in each gap
    tolerance: float = 1e-4  # of dopri5, relative and absolute
    adjoint: bool = False  # gradients by a second ODE: memory that does not grow with the steps


class Path(NamedTuple):
    """What the trunk makes of a batch of event sequences, with clock times in [0, end]."""

    before: Tensor  # (B, L, H) the state just before each event
    so_far: Tensor  # (B, L) the intensity's integral over [0, that event]
    last: Tensor  # (B, H) after the last event
    end: Tensor  # (B, H) propagated to the end, without events
    integral: Tensor  # (B,) of the intensity over [0, end]
    later: Tensor  # (B, l) of the intensity over each later interval, propagated without events


class Field(nn.Module):
    """dh/ds = f(h), and beside it dA/ds = intensity(h) > 0: one network, as both are always needed."""

    def __init__(self, width: int, scale: float, moves: bool):
        super().__init__()
        self.scale, self.moves = scale, moves
        self.inner, self.outer = nn.Linear(width, width), nn.Linear(width, width + 1)

    def forward(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """State (B, H) -> velocity (B, H) and intensity (B, 1) in events per unit of the clock."""
        made = self.outer(torch.tanh(self.inner(h)))
        velocity = made[..., :-1] if self.moves else torch.zeros_like(h)
        return velocity, self.intensity_of(made[..., -1:])

    def intensity_of(self, raw: Tensor) -> Tensor:
        return self.scale * F.softplus(raw) + 1e-6  # never 0: its logarithm is asked for


class _Gap(nn.Module):
    """The field over gaps (B, 1) of different lengths, each scaled to one unit of time."""

    def __init__(self, field: Field, gap: Tensor):
        super().__init__()
        self.field, self.gap = field, gap

    def forward(self, s: Tensor, state: Tensor) -> Tensor:
        velocity, intensity = self.field(state[:, :-1])
        return torch.cat([velocity, intensity], dim=1) * self.gap


class JumpODE(nn.Module):
    """State h (B, H): dh/ds = f(h) between events, h <- GRUCell(x_i, h) at event i (Jing et al., ConCat and CasFT).

    scale: events per unit of the clock that an untrained network expects. moves: False holds the state still between
    events, as a recurrent network does (the intensity is then constant there).
    """

    def __init__(self, inputs: int, width: int, scale: float, solver: Solver, moves: bool = True):
        super().__init__()
        self.solver = solver
        self.first = nn.Parameter(torch.zeros(width))
        self.field = Field(width, scale, moves)
        self.jump = nn.GRUCell(inputs, width)

    def forward(self, x: Tensor, clock: Tensor, mask: Tensor, end: float, later: Tensor | None = None) -> Path:
        """Events x (B, L, D) at clock (B, L), ascending, mask (B, L) True where there is one; masked ones come last.

        later: (l,) clock times after `end`, ascending: the ends of the intervals the intensity is carried on through.
        """
        state = torch.cat([self.first.expand(len(x), -1), x.new_zeros(len(x), 1)], dim=1)  # (B, H + 1): h, integral
        at, before = clock.new_zeros(len(x), 1), []
        for i in range(int(mask.sum(1).max())):
            there, now = mask[:, i, None], clock[:, i, None]
            if i:
                state = self._move(state, torch.where(there, now - at, 0.0))
            before.append(state)
            jumped = torch.cat([self.jump(x[:, i], state[:, :-1]), state[:, -1:]], dim=1)
            state, at = torch.where(there, jumped, state), torch.where(there, now, at)
        before = torch.stack(before, dim=1)
        before = F.pad(before, (0, 0, 0, x.shape[1] - before.shape[1]))
        last, state = state[:, :-1], self._move(state, end - at)
        ends = [state]
        for length in torch.diff(later, prepend=later.new_tensor([end])) if later is not None else ():
            ends.append(self._move(ends[-1], length.expand(len(x), 1)))
        integral = torch.stack([s[:, -1] for s in ends], dim=1)  # (B, 1 + l)
        return Path(before[:, :, :-1], before[:, :, -1], last, state[:, :-1], integral[:, 0], integral.diff(dim=1))

    def log_likelihood(self, path: Path, mask: Tensor, weight: Tensor) -> Tensor:
        """(B,) log-likelihood of the events after the first, the root, in [0, end].

        weight: (B, L) how many events each stands for, where a sequence is thinned: 1 gives the exact value.
        """
        log = torch.log(self.field(path.before)[1].squeeze(-1))  # (B, L)
        counted = mask & (torch.arange(mask.shape[1], device=mask.device) > 0)
        return torch.where(counted, weight * log, 0.0).sum(1) - path.integral

    def _move(self, state: Tensor, gap: Tensor) -> Tensor:
        solver, unit = self.solver, torch.tensor([0.0, 1.0], device=state.device)
        if not self.field.moves:  # nothing to integrate: the velocity is 0 and the intensity stays
            return torch.cat([state[:, :-1], state[:, -1:] + gap * self.field(state[:, :-1])[1]], dim=1)
        solve = odeint_adjoint if solver.adjoint else odeint
        how = (
            {"method": solver.method, "options": {"step_size": 1 / solver.steps}}
            if solver.method != "dopri5"
            else {"method": "dopri5", "rtol": solver.tolerance, "atol": solver.tolerance}
        )
        return solve(_Gap(self.field, gap), state, unit, **how)[-1]
