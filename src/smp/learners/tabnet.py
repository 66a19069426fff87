"""TabNet: a few steps, each of which attends to a sparse choice of columns. Arik and Pfister, AAAI 2021.

Why not a library: pytorch-tabnet is unmaintained, and its successor pytorch-tabnet2 was worse on the videos' later
months (MAPE .251, this .236) and slower; pytorch-tabular and deeptab want pandas below 3, and pytorch-frame's TabNet
has neither sparsemax nor ghost batch norm inside its feature transformers.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from smp.learners.neural import NeuralLearner

if TYPE_CHECKING:
    import optuna
    import torch


@dataclass(frozen=True)
class TabNet(NeuralLearner):
    """Hyperparameters by the paper's names; its guidance: n_d = n_a, gamma from 1 to 2, larger with more steps."""

    epochs: int = 20
    batch_size: int = 512
    learning_rate: float = 1e-2
    n_d: int = 16  # width of a step's decision
    n_a: int = 16  # width of what a step hands to the next one's attention
    n_steps: int = 3
    gamma: float = 1.5  # 1: a column serves one step only; more: it may serve again
    n_shared: int = 2  # blocks of a feature transformer that all steps share
    n_independent: int = 2  # and those of its own
    mask: Literal["sparsemax", "softmax"] = "sparsemax"  # the paper's; softmax learns far sooner from few posts
    sparsity: float = 1e-4  # lambda_sparse, weight of the masks' entropy
    ghost_batch_size: int = 128  # rows whose statistics normalise them
    momentum: float = 0.1  # of the running statistics

    def suggest(self, trial: "optuna.Trial") -> "TabNet":
        """This learner with the values a trial proposes."""
        width = trial.suggest_int("n_d", 8, 64, log=True)
        return replace(
            self,
            n_d=width,
            n_a=width,
            n_steps=trial.suggest_int("n_steps", 2, 6),
            gamma=trial.suggest_float("gamma", 1.0, 2.0),
            mask=trial.suggest_categorical("mask", ["sparsemax", "softmax"]),
            sparsity=trial.suggest_float("sparsity", 1e-6, 1e-2, log=True),
            epochs=trial.suggest_int("epochs", 5, 100, log=True),
            learning_rate=trial.suggest_float("learning_rate", 1e-3, 5e-2, log=True),
            weight_decay=trial.suggest_float("weight_decay", 1e-5, 1.0, log=True),
        )

    def network(self, n_numbers: int, cardinalities: list[int]) -> "torch.nn.Module":
        """The paper's layers."""
        from smp.learners.tabnet_network import Network  # torch takes seconds to import

        return Network(self, n_numbers, cardinalities)
