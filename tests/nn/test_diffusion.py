"""The diffusion learns a distribution, reads what it is to denoise, and draws the same for the same noise."""

import torch

from smp.nn.diffusion import Diffusion, cosine_alphas


def test_the_schedule_falls_from_all_signal_to_none():
    alphas = cosine_alphas(200)
    assert alphas[0] == 1 and alphas[-1] < 1e-3 and (alphas.diff() <= 0).all()


def test_the_denoiser_reads_the_noisy_input_and_clamps_nothing():
    torch.manual_seed(0)
    diffusion = Diffusion(3, 2)
    condition, step = torch.randn(16, 2), torch.full((16,), 100)
    noisy = torch.randn(16, 3)
    made = diffusion.denoise(noisy, step, condition)
    assert not torch.allclose(made, diffusion.denoise(noisy[torch.randperm(16)], step, condition), atol=1e-2)
    assert diffusion.denoise(50 * noisy, step, condition).abs().max() > 5


def test_it_learns_a_spread_that_the_condition_moves():
    torch.manual_seed(0)
    diffusion = Diffusion(1, 1, steps=50, width=32)
    optimizer = torch.optim.Adam(diffusion.parameters(), lr=3e-3)
    for _ in range(600):
        condition = torch.randn(256, 1)
        x = condition + 0.5 * torch.randn(256, 1)
        optimizer.zero_grad()
        diffusion.loss(x, condition).mean().backward()
        optimizer.step()
    condition = torch.tensor([[-1.0], [1.0]]).repeat_interleave(2000, 0)
    drawn = diffusion.sample(condition, torch.randn(4000, 1), steps=25).view(2, 2000)
    assert torch.allclose(drawn.mean(1), torch.tensor([-1.0, 1.0]), atol=0.15)
    assert torch.allclose(drawn.std(1), torch.tensor([0.5, 0.5]), atol=0.15)


def test_the_same_noise_gives_the_same_draw_in_any_company():
    torch.manual_seed(0)
    diffusion = Diffusion(3, 2).eval()
    condition, noise = torch.randn(8, 2), torch.randn(8, 3)
    together = diffusion.sample(condition, noise)
    assert torch.allclose(together[2:3], diffusion.sample(condition[2:3], noise[2:3]), atol=1e-5)
