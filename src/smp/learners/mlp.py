"""A multilayer perceptron in torch: quantile-normalised numbers and embedded categoricals."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from smp.learners.neural import FittedNetwork, Training, embedding_sizes, train
from smp.matrix import FeatureMatrix

if TYPE_CHECKING:
    import optuna
    import torch


@dataclass(frozen=True)
class MLP(Training):
    """Two hidden layers."""

    width: int = 256
    dropout: float = 0.2

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

    def fit(self, X: FeatureMatrix, y: np.ndarray, weight: np.ndarray | None = None, seed: int = 0) -> FittedNetwork:
        """Train on X (n, D) and labels y (n,), optionally weighted (n,)."""
        return train(self._network, self, X, y, weight, seed)

    def _network(self, n_numbers: int, cardinalities: list[int]) -> "torch.nn.Module":
        from torch import cat, nn

        sizes = embedding_sizes(cardinalities)
        width, dropout = self.width, self.dropout

        class Network(nn.Module):
            def __init__(self) -> None:
                super().__init__()
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
