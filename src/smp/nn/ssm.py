"""The selective state space block (Mamba: Gu and Dao 2023): linear in the length, by a chunked scan in plain torch."""

import math
from dataclasses import dataclass
from importlib.util import find_spec

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class SSM:
    """Sizes of a stack of blocks."""

    width: int = 32
    layers: int = 2
    state: int = 8  # numbers remembered of every inner channel
    expand: int = 2  # inner channels of each of `width`
    reach: int = 4  # steps that the convolution sees

    @property
    def inner(self) -> int:
        return self.width * self.expand

    @property
    def rank(self) -> int:
        """Of the step sizes: as many numbers as 16 channels share (the paper's ceil(width / 16))."""
        return math.ceil(self.width / 16)

    def flops(self, length: int) -> float:
        """Of one sequence through the stack, a multiply-add being two: torch's own counter does not see the scan."""
        products = 2 * self.width * self.inner + self.inner * (self.rank + 2 * self.state) + self.rank * self.inner
        products += self.inner * self.width + self.inner * self.reach
        return self.layers * length * (2.0 * products + scan_flops(self.inner, self.state))


def scan_flops(inner: int, state: int) -> float:
    """Of one step: the decay (a product, an exponential), what comes in (2), the state (2), what is read (2)."""
    return 8.0 * inner * state


class _Recurrence(torch.autograd.Function):
    """h_t = a_t h_(t-1) + b_t along dimension 1, and its gradient: the same recurrence, backwards."""

    @staticmethod
    def forward(ctx, a: Tensor, b: Tensor, first: Tensor) -> Tensor:
        h = _scan(a, b, first)
        ctx.save_for_backward(a, h, first)
        return h

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        a, h, first = ctx.saved_tensors
        after = torch.cat([a[:, 1:], torch.zeros_like(a[:, :1])], 1)  # what a state is multiplied with in the next
        g = _scan(after.flip(1), grad.flip(1), torch.zeros_like(first)).flip(1)
        before = torch.cat([first[:, None], h[:, :-1]], 1)
        return g * before, g, g[:, 0] * a[:, 0]


def _scan(a: Tensor, b: Tensor, first: Tensor) -> Tensor:
    """All chunks of about sqrt(L) steps side by side, then their ends one after the other: 2 sqrt(L) steps in all."""
    B, L, *rest = a.shape
    size = max(math.isqrt(L), 1)
    count = -(-L // size)
    if count * size > L:  # steps that change nothing
        fill = a.new_ones(B, count * size - L, *rest)
        a, b = torch.cat([a, fill], 1), torch.cat([b, 0 * fill], 1)
    a, b = (x.reshape(B, count, size, *rest) for x in (a, b))
    inside, decay = torch.empty_like(b), torch.empty_like(a)  # the state had the chunk begun at 0; what is left of it
    inside[:, :, 0], decay[:, :, 0] = b[:, :, 0], a[:, :, 0]
    for j in range(1, size):
        torch.addcmul(b[:, :, j], a[:, :, j], inside[:, :, j - 1], out=inside[:, :, j])
        torch.mul(a[:, :, j], decay[:, :, j - 1], out=decay[:, :, j])
    start = [first]
    for k in range(count - 1):
        start.append(torch.addcmul(inside[:, k, -1], decay[:, k, -1], start[-1]))
    inside.addcmul_(decay, torch.stack(start, 1)[:, :, None])
    return inside.reshape(B, count * size, *rest)[:, :L]


def recurrence(a: Tensor, b: Tensor, first: Tensor) -> Tensor:
    """(B, L, ...) the states h_t = a_t h_(t-1) + b_t of a, b (B, L, ...), from first (B, ...); in float32."""
    return _Recurrence.apply(a, b, first)


def selective_scan(
    x: Tensor, step: Tensor, A: Tensor, read_in: Tensor, read_out: Tensor, first: Tensor
) -> tuple[Tensor, Tensor]:
    """S6: state_t = exp(step_t A) state_(t-1) + step_t x_t B_t, y_t = C_t state_t; computed in float32.

    x, step (B, L, E): what comes in and how long a step takes, 0 where nothing happens; A (E, N) below 0; read_in (B_t)
    and read_out (C_t) (B, L, N); first (B, E, N). Returns y (B, L, E) in x's type and the last state (B, E, N).
    On CUDA mamba-ssm's kernel is used where it is installed and `first` is None: equal within 1e-3 of the largest y.
    """
    kind = x.dtype
    if first is None and x.is_cuda and find_spec("mamba_ssm"):
        from mamba_ssm.ops.selective_scan_interface import selective_scan_fn

        parts = (t.transpose(1, 2).float().contiguous() for t in (x, step))
        matrices = (t.transpose(1, 2).float().contiguous() for t in (read_in, read_out))
        y, last = selective_scan_fn(*parts, A.float(), *matrices, return_last_state=True)
        return y.transpose(1, 2).to(kind), last
    x, step, read_in, read_out = (t.float() for t in (x, step, read_in, read_out))
    if first is None:
        first = x.new_zeros(len(x), *A.shape)
    if not torch.is_grad_enabled() and not x.is_cuda:  # a processor's caches hold one step's states, not all
        return _step_by_step(x, step, A.float(), read_in, read_out, first, kind)
    decay = torch.exp(step[..., None] * A.float())  # (B, L, E, N)
    h = recurrence(decay, (step * x)[..., None] * read_in[:, :, None], first)
    return (h @ read_out[..., None]).squeeze(3).to(kind), h[:, -1]


def _step_by_step(
    x: Tensor, step: Tensor, A: Tensor, read_in: Tensor, read_out: Tensor, state: Tensor, kind: torch.dtype
) -> tuple[Tensor, Tensor]:
    """The scan as it is written, for what no gradient is asked of: it keeps one state."""
    y, enters = torch.empty_like(x), (step * x)[..., None]
    for t in range(x.shape[1]):
        state = torch.exp(step[:, t, :, None] * A).mul_(state).addcmul_(enters[:, t], read_in[:, t, None])
        y[:, t] = (state @ read_out[:, t, :, None]).squeeze(2)
    return y.to(kind), state


State = tuple[Tensor, Tensor]  # of a block: its convolution's last inputs (B, E, reach - 1), the states (B, E, N)


class SSMBlock(nn.Module):
    """x + out(scan(silu(conv(in(norm(x))))) gated): one residual block (B, L, d) -> (B, L, d).

    mask (B, L): steps that are not there neither move the state nor are seen by the convolution; their output means
    nothing. Padding stands before a sequence, so that the last step is the last of every one. What is returned with it
    goes on where it stopped: pieces one after the other are as the whole.
    """

    def __init__(self, config: SSM):
        super().__init__()
        self.config, E, N = config, config.inner, config.state
        self.norm = nn.LayerNorm(config.width)
        self.into = nn.Linear(config.width, 2 * E, bias=False)
        self.conv = nn.Conv1d(E, E, config.reach, groups=E)
        self.selects = nn.Linear(E, config.rank + 2 * N, bias=False)
        self.step = nn.Linear(config.rank, E)
        self.log_decay = nn.Parameter(torch.log(torch.arange(1, N + 1.0)).repeat(E, 1))
        self.skip = nn.Parameter(torch.ones(E))
        self.out = nn.Linear(E, config.width, bias=False)
        with torch.no_grad():  # steps of 0.001 to 0.1 at first, evenly on a logarithmic scale
            first = torch.exp(torch.rand(E) * math.log(100) + math.log(1e-3))
            self.step.bias.copy_(first + torch.log(-torch.expm1(-first)))

    def forward(self, x: Tensor, mask: Tensor | None = None, state: State | None = None) -> tuple[Tensor, State]:
        config = self.config
        inner, gate = self.into(self.norm(x)).chunk(2, dim=2)  # (B, L, E) each
        if mask is not None:
            inner = inner * mask[..., None]
        before = inner.new_zeros(len(x), config.inner, config.reach - 1) if state is None else state[0]
        seen = torch.cat([before, inner.transpose(1, 2)], dim=2)
        u = F.silu(self.conv(seen).transpose(1, 2))
        rank, read_in, read_out = self.selects(u).split([config.rank, config.state, config.state], dim=2)
        step = F.softplus(self.step(rank))
        if mask is not None:
            step = step * mask[..., None]
        y, last = selective_scan(u, step, -self.log_decay.exp(), read_in, read_out, None if state is None else state[1])
        y = (y + self.skip * u) * F.silu(gate)
        return x + self.out(y), (seen[:, :, seen.shape[2] - config.reach + 1 :], last)


class SSMStack(nn.Module):
    """Blocks one after the other, (B, L, d) -> (B, L, d), as SSMBlock takes mask and states."""

    def __init__(self, config: SSM):
        super().__init__()
        self.blocks = nn.ModuleList(SSMBlock(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)

    def forward(
        self, x: Tensor, mask: Tensor | None = None, states: list[State] | None = None
    ) -> tuple[Tensor, list[State]]:
        made = []
        for block, state in zip(self.blocks, states or [None] * len(self.blocks)):
            x, last = block(x, mask, state)
            made.append(last)
        return self.norm(x), made
