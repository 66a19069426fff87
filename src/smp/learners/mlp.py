"""A multilayer perceptron in torch: quantile-normalised numbers and embedded categoricals."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from smp.learners.neural import NeuralLearner

if TYPE_CHECKING:
    import optuna
    import torch


@dataclass(frozen=True)
class MLP(NeuralLearner):
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

    def network(self, n_numbers: int, cardinalities: list[int]) -> "torch.nn.Module":
        """Columns -> width -> width -> 1."""
        from torch import nn

        from smp.nn.blocks import EmbeddedColumns

        columns = EmbeddedColumns(n_numbers, cardinalities, self.category_dropout)
        layers, last = [], sum(columns.widths)
        for _ in range(2):
            layers += [nn.Linear(last, self.width), nn.LayerNorm(self.width), nn.SiLU(), nn.Dropout(self.dropout)]
            last = self.width
        return nn.Sequential(columns, *layers, nn.Linear(last, 1), nn.Flatten(0))
