"""Pseudo-labels: rows to predict join the training with a prediction for a label, where the models agree."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

# (positions (c,) among the rows to predict, labels (c,)) -> predictions (q, models, seeds) of models trained with them
Fit = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class PseudoLabels:
    """Which rows join, how much they count, and how often the models are trained anew."""

    share: float = 0.4  # of the rows to predict: those that the models differ on least
    weight: float = 0.4  # of a pseudo-label, beside 1 of a label
    rounds: int = 2  # at most; each starts from the predictions of the one before

    def confident(self, pred: np.ndarray) -> np.ndarray:
        """Positions (c,) of the `share` of rows with the least standard deviation over models and seeds, ascending.

        pred (q, models, seeds).
        """
        order = np.argsort(pred.std(axis=(1, 2)), kind="stable")
        return np.sort(order[: int(self.share * len(pred))])

    def refine(self, fit: Fit, pred: np.ndarray, blend: np.ndarray) -> Iterator[np.ndarray]:
        """Predictions (q, models, seeds) after one round, two, and so on to `rounds`; trained only when asked for.

        pred: those of models without pseudo-labels. blend (models,): the weights that make a label of them.
        """
        for _ in range(self.rounds):
            chosen = self.confident(pred)
            pred = fit(chosen, (pred.mean(axis=2) @ blend)[chosen])
            yield pred


def accepted_rounds(losses: Iterator[float]) -> tuple[int, list[float]]:
    """How many rounds to keep, and the losses looked at: without pseudo-labels, after one round, and so on.

    A round is kept when it lowers the loss; the first that does not ends it, and no later one is trained.
    """
    seen = [next(losses)]
    for value in losses:
        seen.append(value)
        if value >= seen[-2]:
            return len(seen) - 2, seen
    return len(seen) - 1, seen
