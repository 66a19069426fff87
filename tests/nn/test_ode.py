"""The jump ODE against processes whose likelihood is known in closed form, and what must not change its paths."""

import pytest
import torch
from torch import nn

from smp.nn.ode import JumpODE, Solver

BASE, JUMP, DECAY = 0.7, 0.8, 3.0


class Excitement(nn.Module):
    """dh/ds = -DECAY h, intensity BASE + h: with jumps by JUMP an exponential Hawkes process."""

    moves = True

    def forward(self, h):
        return -DECAY * h, BASE + h


class Add(nn.Module):
    def forward(self, x, h):
        return h + x


def hawkes(solver=None):
    ode = JumpODE(1, 1, 1.0, solver or Solver(steps=8))
    ode.field, ode.jump = Excitement(), Add()
    return ode


@pytest.fixture
def events():
    """Clock (4, 9) with ties, in [0, 1), the root first; mask (4, 9)."""
    generator = torch.Generator().manual_seed(0)
    clock = torch.sort(torch.rand(4, 9, generator=generator), dim=1)[0]
    clock[:, 0], clock[:, 4] = 0.0, clock[:, 3]
    return clock, torch.arange(9) < torch.tensor([9, 6, 2, 1])[:, None]


@pytest.mark.parametrize(
    "solver", [Solver(steps=8), Solver("midpoint", steps=16), Solver("dopri5"), Solver("dopri5", adjoint=True)]
)
def test_the_likelihood_is_that_of_a_hawkes_process(events, solver):
    clock, mask = events
    path = hawkes(solver)(torch.full((4, 9, 1), JUMP), clock, mask, end=1.0)
    made = hawkes().log_likelihood(path, mask, mask.float())
    for row in range(4):
        t = clock[row][mask[row]].double()
        rate = [BASE + JUMP * torch.exp(-DECAY * (s - t[:i])).sum() for i, s in enumerate(t)]
        integral = BASE + JUMP / DECAY * (1 - torch.exp(-DECAY * (1 - t))).sum()
        wanted = sum(torch.log(r) for r in rate[1:]) - integral
        assert made[row].item() == pytest.approx(float(wanted), abs=2e-3)
        assert path.integral[row].item() == pytest.approx(float(integral), abs=2e-3)
        assert path.end[row, 0].item() == pytest.approx(float(JUMP * torch.exp(-DECAY * (1 - t)).sum()), abs=2e-3)


def test_without_motion_and_excitement_it_is_a_poisson_process(events):
    clock, mask = events
    torch.manual_seed(0)
    ode = JumpODE(1, 3, 2.5, Solver(), moves=False)
    nn.init.zeros_(ode.field.outer.weight), nn.init.constant_(ode.field.outer.bias, 0.5413)  # softplus of it is 1
    path = ode(torch.zeros(4, 9, 1), clock, mask, end=1.0)
    count = mask.sum(1) - 1
    made = ode.log_likelihood(path, mask, mask.float())
    assert torch.allclose(made, count * torch.log(torch.tensor(2.5)) - 2.5, atol=1e-3)
    assert torch.equal(path.last, path.end)


def test_the_state_goes_on_after_the_end(events):
    clock, mask = events
    later = torch.tensor([1.2, 1.5])
    path = hawkes()(torch.full((4, 9, 1), JUMP), clock, mask, 1.0, later)
    for interval, (a, b) in enumerate([(0.0, 0.2), (0.2, 0.5)]):
        wanted = BASE * (b - a) + path.end[:, 0] / DECAY * (
            torch.exp(torch.tensor(-DECAY * a)) - torch.exp(torch.tensor(-DECAY * b))
        )
        assert torch.allclose(path.later[:, interval], wanted, atol=1e-3)


def test_padding_and_company_change_nothing(events):
    clock, mask = events
    torch.manual_seed(0)
    ode, x = JumpODE(5, 6, 3.0, Solver()), torch.randn(4, 9, 5)
    path = ode(x, clock, mask, 1.0)
    junk = torch.where(mask[:, :, None], x, 99.0)
    other = ode(junk, torch.where(mask, clock, 0.5), mask, 1.0)
    alone = ode(x[1:2, :6], clock[1:2, :6], mask[1:2, :6], 1.0)
    for name in ("last", "end", "integral"):
        assert torch.allclose(getattr(path, name), getattr(other, name), atol=1e-6)
        assert torch.allclose(getattr(path, name)[1:2], getattr(alone, name), atol=1e-6)
    a, b = (ode.log_likelihood(p, mask, mask.float()) for p in (path, other))
    assert torch.allclose(a, b, atol=1e-5)


def test_an_event_counts_as_often_as_it_stands_for(events):
    clock, mask = events
    ode = hawkes()
    path = ode(torch.full((4, 9, 1), JUMP), clock, mask, 1.0)
    once, twice = (ode.log_likelihood(path, mask, k * mask.float()) for k in (1, 2))
    assert torch.allclose(twice + path.integral, 2 * (once + path.integral), atol=1e-5)
