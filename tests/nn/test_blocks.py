"""Autoencoders that find what lies behind their columns, and a gate that weighs only what is there."""

import numpy as np
import pytest
import torch

from smp.nn.blocks import Autoencoder, Gate
from smp.nn.loop import Training, in_memory, train


class Loss(torch.nn.Module):
    def __init__(self, coder):
        super().__init__()
        self.coder = coder

    def forward(self, batch):
        return self.coder.loss(batch["x"])


@pytest.mark.parametrize("tied", [False, True])
def test_an_autoencoder_comes_close_to_principal_components(tied):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((600, 3)) @ rng.standard_normal((3, 12)) + 0.3 * rng.standard_normal((600, 12))
    x = (x - x.mean(0)) / x.std(0)
    best = (np.linalg.svd(x, compute_uv=False)[3:] ** 2).sum() / x.size
    torch.manual_seed(0)
    coder, tensors = Autoencoder((12, 3), tied), {"x": torch.tensor(x, dtype=torch.float32)}
    training = Training(epochs=60, batch_size=60, learning_rate=1e-2, weight_decay=0.0)
    train(Loss(coder), lambda parts, seed: in_memory(tensors, parts, seed), np.arange(600), training, 0)
    assert best <= coder.loss(tensors["x"]).mean().item() < 1.05 * best
    assert len(coder.up) == 0 if tied else len(coder.up) == 1


def test_the_gate_gives_what_is_absent_no_weight():
    gate, views = Gate(3, 4), torch.randn(5, 3, 4)
    there = torch.tensor([[1, 1, 1], [1, 0, 1], [0, 1, 0], [0, 0, 0], [1, 1, 0]])
    weights = gate.weights(views, there)
    torch.testing.assert_close(weights.sum(1), torch.tensor([1.0, 1, 1, 0, 1]))
    assert (weights[there == 0] == 0).all() and not gate(views, there)[3].any()
