"""A multilayer perceptron in torch: quantile-normalised numbers and embedded categoricals, on the GPU if any."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from smp.learners.inputs import UNKNOWN, Inputs
from smp.matrix import FeatureMatrix

if TYPE_CHECKING:
    import optuna
    import torch

PREDICT_ROWS = 65_536


@dataclass(frozen=True)
class FittedMLP:
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


@dataclass(frozen=True)
class MLP:
    """Two hidden layers and a fixed number of epochs: none is spent on choosing it on the rows predicted."""

    objective: Literal["l1", "l2", "huber"] = "huber"
    epochs: int = 12
    batch_size: int = 256
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    width: int = 256
    dropout: float = 0.2
    category_dropout: float = 0.05  # share of categories hidden in training, so that `unknown` is learnt too

    def suggest(self, trial: "optuna.Trial") -> "MLP":
        """This learner with the values a trial proposes."""
        return replace(
            self,
            epochs=trial.suggest_int("epochs", 4, 40, log=True),
            learning_rate=trial.suggest_float("learning_rate", 3e-4, 1e-2, log=True),
            weight_decay=trial.suggest_float("weight_decay", 1e-4, 1.0, log=True),
            width=trial.suggest_int("width", 64, 512, log=True),
            dropout=trial.suggest_float("dropout", 0.0, 0.6),
        )

    def fit(self, X: FeatureMatrix, y: np.ndarray, weight: np.ndarray | None = None, seed: int = 0) -> FittedMLP:
        """Train on X (n, D) and labels y (n,), optionally weighted (n,)."""
        import torch
        from torch import nn

        torch.manual_seed(seed)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        inputs = Inputs.fit(X, seed)
        numbers, codes = (t.to(device) for t in inputs.tensors(X))
        center, spread = float(np.median(y)), float(np.std(y)) or 1.0
        target = torch.as_tensor((y - center) / spread, dtype=torch.float32, device=device)
        weights = torch.ones_like(target) if weight is None else torch.as_tensor(weight / np.mean(weight)).to(target)
        network = _network(numbers.shape[1], inputs.cardinalities, self.width, self.dropout).to(device)
        losses = {"l1": nn.L1Loss, "l2": nn.MSELoss, "huber": nn.HuberLoss}
        loss_of = losses[self.objective](reduction="none")

        if device.type == "cpu":
            torch.set_num_threads(1)  # batches are so small that threads only wait for each other
        steps = -(-len(y) // self.batch_size)
        optimizer = torch.optim.AdamW(network.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.learning_rate, total_steps=self.epochs * steps)
        order = torch.Generator().manual_seed(seed)
        network.train()
        for _ in range(self.epochs):
            for rows in torch.randperm(len(y), generator=order).to(device).split(self.batch_size):
                seen = codes[rows]
                seen = seen.masked_fill(torch.rand(seen.shape, device=device) < self.category_dropout, UNKNOWN)
                loss = (loss_of(network(numbers[rows], seen), target[rows]) * weights[rows]).mean()
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                schedule.step()
        return FittedMLP(network, inputs, center, spread)


def _network(n_numbers: int, cardinalities: list[int], width: int, dropout: float) -> "torch.nn.Module":
    from torch import cat, nn

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            sizes = [min(32, round(1.6 * n**0.5)) for n in cardinalities]
            self.embeddings = nn.ModuleList(nn.Embedding(n, d) for n, d in zip(cardinalities, sizes))
            layers, last = [], n_numbers + sum(sizes)
            for _ in range(2):
                layers += [nn.Linear(last, width), nn.LayerNorm(width), nn.SiLU(), nn.Dropout(dropout)]
                last = width
            self.layers = nn.Sequential(*layers, nn.Linear(last, 1))

        def forward(self, numbers, codes):  # (B, d), (B, c) -> (B,)
            embedded = [e(codes[:, j]) for j, e in enumerate(self.embeddings)]
            return self.layers(cat([numbers, *embedded], dim=1)).squeeze(1)

    return Network()
