"""The selective state space block against a loop written out, and what must not change its outputs."""

import time

import pytest
import torch
import torch.nn.functional as F

from smp.nn.ssm import SSM, SSMBlock, SSMStack, selective_scan


def loop(x, step, A, read_in, read_out, first):
    """S6 as the paper writes it, a step at a time."""
    h, out = first, []
    for t in range(x.shape[1]):
        h = torch.exp(step[:, t, :, None] * A) * h + step[:, t, :, None] * x[:, t, :, None] * read_in[:, t, None]
        out.append((h * read_out[:, t, None]).sum(2))
    return torch.stack(out, 1), h


def inputs(length, batch=3, inner=4, state=5):
    g = torch.Generator().manual_seed(length)
    x, step = (torch.randn(batch, length, inner, generator=g) for _ in range(2))
    matrices = [torch.randn(batch, length, state, generator=g) for _ in range(2)]
    decay = -torch.rand(inner, state, generator=g) * 3
    return [x, F.softplus(step), decay, *matrices, torch.randn(batch, inner, state, generator=g)]


@pytest.mark.parametrize("length", [1, 2, 3, 10, 64, 101])
def test_the_scan_equals_a_loop_in_values_and_gradients(length):
    made = [t.requires_grad_() for t in inputs(length)]
    again = [t.detach().clone().requires_grad_() for t in made]
    (y, last), (true, h) = selective_scan(*made), loop(*again)
    torch.testing.assert_close(y, true, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(last, h, rtol=1e-4, atol=1e-5)
    weight = torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
    ((y * weight).sum() + last.square().sum()).backward()
    ((true * weight).sum() + h.square().sum()).backward()
    for a, b in zip(made, again):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-3, atol=1e-4)


def test_bfloat16_is_computed_in_float32_and_given_back_as_bfloat16():
    made = inputs(40)
    rounded = [t.bfloat16() for t in made[:2]] + [made[2]] + [t.bfloat16() for t in made[3:5]] + [made[5]]
    y, last = selective_scan(*rounded)
    true, h = loop(*(t.float() for t in rounded))
    assert y.dtype == torch.bfloat16 and last.dtype == torch.float32
    torch.testing.assert_close(y.float(), true, rtol=1e-2, atol=1e-2 * true.abs().max())
    torch.testing.assert_close(last, h, rtol=1e-4, atol=1e-5)


@pytest.fixture
def stack():
    torch.manual_seed(0)
    return SSMStack(SSM(width=8, layers=2, state=3))


def test_what_stands_before_a_sequence_and_is_masked_changes_nothing(stack):
    x, padding = torch.randn(2, 9, 8), torch.randn(2, 5, 8)
    mask = torch.cat([torch.zeros(2, 5), torch.ones(2, 9)], 1)
    torch.testing.assert_close(stack(torch.cat([padding, x], 1), mask)[0][:, 5:], stack(x)[0])


def test_pieces_one_after_the_other_are_as_the_whole(stack):
    x, states, made = torch.randn(2, 23, 8), None, []
    for piece in x.split([1, 2, 13, 7], dim=1):
        y, states = stack(piece, None, states)
        made.append(y)
    torch.testing.assert_close(torch.cat(made, 1), stack(x)[0])


def test_a_later_step_never_changes_an_earlier_output(stack):
    x = torch.randn(2, 12, 8)
    other = x.clone()
    other[:, 7:] = torch.randn_like(other[:, 7:])  # no shift: the norm would take it out
    a, b = stack(x)[0], stack(other)[0]
    torch.testing.assert_close(a[:, :7], b[:, :7])
    assert (a[:, 7:] - b[:, 7:]).abs().max() > 1e-3


def test_the_counted_flops_are_torchs_own_and_the_scan():
    from torch.utils.flop_counter import FlopCounterMode

    config = SSM(width=16, layers=1, state=4)
    block = SSMBlock(config)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        block(torch.randn(1, 50, 16))
    scan = 8 * config.inner * config.state * 50
    read = 2 * config.inner * config.state * 50  # the product that reads the state: torch sees it too
    assert config.flops(50) == pytest.approx(counter.get_total_flops() - read + scan, rel=0.02)


def test_time_grows_as_the_length():
    stack, took = SSMStack(SSM(width=8, layers=1, state=4)), []
    with torch.no_grad():
        for length in (512, 4096):
            stack(torch.randn(4, length, 8))
            started = time.process_time()
            for _ in range(3):
                stack(torch.randn(4, length, 8))
            took.append(time.process_time() - started)
    assert took[1] < 16 * took[0]  # eight times as long; attention would take 64 times


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA: mamba-ssm's kernel cannot be compared")
def test_the_kernel_of_mamba_ssm_gives_the_same():
    pytest.importorskip("mamba_ssm")
    x, step, A, read_in, read_out, _ = (t.cuda() for t in inputs(64))
    y, last = selective_scan(x, step, A, read_in, read_out, None)
    true, h = loop(x, step, A, read_in, read_out, torch.zeros_like(inputs(64)[5]).cuda())
    assert (y - true).abs().max() < 1e-3 * true.abs().max() and (last - h).abs().max() < 1e-3 * h.abs().max()
