"""What the neural networks share: one training loop, and predictions; on the GPU if there is one."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from smp.learners.inputs import UNKNOWN, Inputs
from smp.matrix import FeatureMatrix

if TYPE_CHECKING:
    import torch

PREDICT_ROWS = 65_536


@dataclass(frozen=True)
class Training:
    """A fixed number of epochs of AdamW with one cycle: none is spent on choosing it on the rows predicted."""

    objective: Literal["l1", "l2", "huber"] = "huber"
    epochs: int = 12
    batch_size: int = 256
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    category_dropout: float = 0.05  # share of categories hidden in training, so that `unknown` is learnt too


@dataclass(frozen=True)
class FittedNetwork:
    """A trained network with everything that was learnt about its inputs."""

    network: "torch.nn.Module"
    inputs: Inputs
    center: float
    spread: float

    def predict(self, X: FeatureMatrix) -> np.ndarray:
        """(n,) float64 predictions, made in chunks of bounded size."""
        import torch

        device = next(self.network.parameters()).device
        self.network.eval()
        out = []
        with torch.inference_mode():
            for start in range(0, len(X), PREDICT_ROWS):
                numbers, codes = self.inputs.tensors(X.take(slice(start, start + PREDICT_ROWS)))
                out.append(self.network(numbers.to(device), codes.to(device)).cpu().double().numpy())
        return np.concatenate(out) * self.spread + self.center if out else np.empty(0)


def train(
    network_of: Callable[[int, list[int]], "torch.nn.Module"],
    training: Training,
    X: FeatureMatrix,
    y: np.ndarray,
    weight: np.ndarray | None,
    seed: int,
) -> FittedNetwork:
    """Train the network `network_of(numeric columns, cardinalities of the categorical ones)` on X (n, D), y (n,).

    The network maps numbers (B, d) and codes (B, c) to (B,); where it has a `penalty`, a scalar tensor set by its
    forward pass, that is added to the loss. Labels are centred on their median and scaled by their spread.
    """
    import torch
    from torch import nn

    torch.manual_seed(seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    inputs = Inputs.fit(X, seed)
    numbers, codes = (t.to(device) for t in inputs.tensors(X))
    center, spread = float(np.median(y)), float(np.std(y)) or 1.0
    target = torch.as_tensor((y - center) / spread, dtype=torch.float32, device=device)
    weights = torch.ones_like(target) if weight is None else torch.as_tensor(weight / np.mean(weight)).to(target)
    network = network_of(numbers.shape[1], inputs.cardinalities).to(device)
    losses = {"l1": nn.L1Loss, "l2": nn.MSELoss, "huber": nn.HuberLoss}
    loss_of = losses[training.objective](reduction="none")

    if device.type == "cpu":
        torch.set_num_threads(1)  # batches are so small that threads only wait for each other
    steps = training.epochs * -(-len(y) // training.batch_size)
    rate = training.learning_rate
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=training.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    order = torch.Generator().manual_seed(seed)
    network.train()
    for _ in range(training.epochs):
        for rows in torch.randperm(len(y), generator=order).to(device).split(training.batch_size):
            seen = codes[rows]
            seen = seen.masked_fill(torch.rand(seen.shape, device=device) < training.category_dropout, UNKNOWN)
            loss = (loss_of(network(numbers[rows], seen), target[rows]) * weights[rows]).mean()
            loss = loss + getattr(network, "penalty", 0.0)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
    return FittedNetwork(network, inputs, center, spread)


def embedding_sizes(cardinalities: list[int]) -> list[int]:
    """Dimensions of the embedding of every categorical column."""
    return [min(32, round(1.6 * n**0.5)) for n in cardinalities]
