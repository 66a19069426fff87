"""Diffusion over a short vector given a condition: x0-prediction, cosine schedule, DDIM sampling."""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn


def cosine_alphas(steps: int) -> Tensor:
    """(steps + 1,) share of the signal's variance left after each step, 1 at step 0 (Nichol and Dhariwal 2021)."""
    t = torch.arange(steps + 1) / steps
    f = torch.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2
    return (f / f[0]).clamp(min=1e-5)


class Diffusion(nn.Module):
    """p(x | condition) of vectors x (B, d) that are standardised; nothing is clamped."""

    def __init__(self, size: int, condition: int, steps: int = 200, width: int = 64, dropout: float = 0.0):
        super().__init__()
        self.size, self.steps = size, steps
        self.register_buffer("alphas", cosine_alphas(steps))
        self.register_buffer("frequencies", 2.0 ** torch.arange(4) * math.pi)
        self.network = nn.Sequential(
            nn.Linear(size + condition + 8, width),
            nn.SiLU(),
            nn.Dropout(dropout),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, size),
        )

    def denoise(self, noisy: Tensor, step: Tensor, condition: Tensor) -> Tensor:
        """(B, d) the clean vector behind a noisy one (B, d) at step (B,), 0 .. steps."""
        angle = (step / self.steps)[:, None] * self.frequencies
        signal = self.alphas[step][:, None]
        made = self.network(torch.cat([noisy, condition, angle.sin(), angle.cos()], dim=1))
        return signal.sqrt() * noisy + (1 - signal).sqrt() * made  # nearly clean: what is there; all noise: the network

    def loss(self, x: Tensor, condition: Tensor) -> Tensor:
        """(B,) mean squared error of the denoised vector at a random step each."""
        step = torch.randint(1, self.steps + 1, (len(x),), device=x.device)
        signal = self.alphas[step][:, None]
        noisy = signal.sqrt() * x + (1 - signal).sqrt() * torch.randn_like(x)
        return ((self.denoise(noisy, step, condition) - x) ** 2).mean(1)

    @torch.no_grad()
    def sample(self, condition: Tensor, noise: Tensor, steps: int = 10) -> Tensor:
        """(B, d) the vectors that noise (B, d) becomes, by DDIM over evenly spaced steps (Song et al. 2021, eta 0).

        What is drawn is drawn before: the same noise gives the same vectors, whatever else is in the batch.
        """
        x = noise
        at = torch.linspace(self.steps, 0, steps + 1).round().long().tolist()
        for now, following in pairwise(at):
            clean = self.denoise(x, torch.full((len(x),), now, device=x.device), condition)
            a, b = self.alphas[now], self.alphas[following]
            x = b.sqrt() * clean + (1 - b).sqrt() * (x - a.sqrt() * clean) / (1 - a).sqrt()
        return x
