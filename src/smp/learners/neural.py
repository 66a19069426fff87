"""What the neural learners share: columns in, a training, predictions out; on the GPU if there is one."""

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from smp.learners import kept
from smp.matrix import FeatureMatrix
from smp.nn import Training
from smp.nn.columns import Columns

if TYPE_CHECKING:
    import torch

PREDICT_ROWS = 65_536


@dataclass(frozen=True)
class FittedNetwork:
    """A trained network with everything that was learnt about its columns."""

    network: "torch.nn.Module"
    learner: "NeuralLearner"
    columns: Columns
    center: float
    spread: float

    def save(self, folder: Path) -> None:
        """Keep the weights and what the columns are read with in `folder`, for `load`."""
        weights = {name: value.cpu().numpy() for name, value in self.network.state_dict().items()}
        values = {"learner": type(self.learner).__name__, "config": asdict(self.learner)}
        values |= {"center": self.center, "spread": self.spread}
        arrays = kept.with_prefix("network", weights) | kept.with_prefix("columns", self.columns.arrays())
        kept.keep(folder, type(self).__name__, values, arrays)

    @classmethod
    def load(cls, folder: Path) -> "FittedNetwork":
        """The model that `save` kept, on this process's device. Raises DataError where it is not whole."""
        import torch

        from smp.nn.parallel import device

        card, arrays = kept.card_of(folder), kept.arrays_of(folder)
        learner = {c.__name__: c for c in NeuralLearner.__subclasses__()}[card["learner"]](**card["config"])
        columns = Columns.from_arrays(kept.under("columns", arrays))
        network = learner.network(columns.width, columns.cardinalities)
        network.load_state_dict({k: torch.from_numpy(v) for k, v in kept.under("network", arrays).items()})
        return cls(network.to(device()), learner, columns, card["center"], card["spread"])

    def predict(self, X: FeatureMatrix) -> np.ndarray:
        """(n,) float64 predictions, made in chunks of bounded size."""
        import torch

        from smp.nn.parallel import one_thread

        device = next(self.network.parameters()).device
        self.network.eval()
        out = []
        with torch.inference_mode(), one_thread():
            for start in range(0, len(X), PREDICT_ROWS):
                batch = tensors(self.columns, X.take(slice(start, start + PREDICT_ROWS)))
                out.append(self.network({k: v.to(device) for k, v in batch.items()}).cpu().double().numpy())
        return np.concatenate(out) * self.spread + self.center if out else np.empty(0)


@dataclass(frozen=True)
class NeuralLearner(Training):
    """A network on columns: a fixed number of epochs, none of them chosen on the rows predicted.

    The network maps a batch of `numbers` (B, d) and `codes` (B, c) to (B,). Labels are centred on their median and
    scaled by their spread.
    """

    epochs: int = 12
    learning_rate: float = 2e-3
    objective: Literal["l1", "l2", "huber"] = "huber"
    category_dropout: float = 0.05  # share of categories hidden in training, so that `unknown` is learnt too

    def network(self, n_numbers: int, cardinalities: list[int]) -> "torch.nn.Module":
        """The untrained network for so many numeric columns, and categorical ones of so many codes each."""
        raise NotImplementedError

    def fit(self, X: FeatureMatrix, y: np.ndarray, weight: np.ndarray | None = None, seed: int = 0) -> FittedNetwork:
        """Train on X (n, D) and labels y (n,), optionally weighted (n,)."""
        import torch

        from smp.nn.blocks import Regression
        from smp.nn.loop import in_memory, train
        from smp.nn.parallel import device, one_thread, seeded

        columns = Columns.fit(X, seed)
        center, spread = float(np.median(y)), float(np.std(y)) or 1.0
        weight = np.ones(len(y)) if weight is None else weight / np.mean(weight)
        batch = tensors(columns, X)
        for name, values in (("target", (y - center) / spread), ("weight", weight)):
            batch[name] = torch.as_tensor(values, dtype=torch.float32)
        batch = {k: v.to(device()) for k, v in batch.items()}
        with one_thread():
            with seeded(seed):
                network = self.network(columns.width, columns.cardinalities)
            rows = np.arange(len(y))
            train(Regression(network, self.objective), partial(in_memory, batch), rows, self, seed)
        return FittedNetwork(network, self, columns, center, spread)


def tensors(columns: Columns, X: FeatureMatrix) -> dict[str, "torch.Tensor"]:
    """The batch of all rows of X."""
    import torch

    return dict(zip(("numbers", "codes"), map(torch.from_numpy, columns.read(X))))
