"""A Gaussian process: a smooth model for a few thousand posts, turned from a mean into the median that is asked for.

Why not gpytorch: on the videos' later months it was as good (MAPE .2145, this .2152) and took four times as long, and
the kernel of levels and the leave-one-out means would still be code of ours.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from smp.learners import kept
from smp.learners.medians import WIDTH, median_bend
from smp.matrix import FeatureMatrix
from smp.nn.columns import UNKNOWN, Columns

if TYPE_CHECKING:
    import optuna
    import torch

Scales = dict[str, "torch.Tensor"]  # logarithms of the kernel's scales
JITTER = 1e-6
SHRINK = 0.05  # of the logarithms towards 0, so that an idle part of the kernel stays small


class _Rows(NamedTuple):
    numbers: "torch.Tensor"  # (n, d) float64
    codes: "torch.Tensor"  # (n, c) int64
    embeddings: list["torch.Tensor"]  # (n, d_e) float64 each


@dataclass(frozen=True)
class FittedGaussianProcess:
    """The training rows, the kernel's scales, and the curve from the posterior mean to the wanted median."""

    reader: "_Reader"
    rows: _Rows
    scales: Scales
    solved: "torch.Tensor"  # (n, 1) inverse covariance times residual
    loo: np.ndarray  # (n,) leave-one-out mean of every training row
    y: np.ndarray
    weight: np.ndarray | None
    width: float

    def save(self, folder: Path) -> None:
        """Keep the training rows and what was learnt of them in `folder`, for `load`."""
        arrays = {"solved": self.solved.numpy(), "loo": self.loo, "y": self.y}
        arrays |= {"numbers": self.rows.numbers.numpy(), "codes": self.rows.codes.numpy()}
        arrays |= {} if self.weight is None else {"weight": self.weight}
        arrays |= kept.with_prefix("scales", {k: v.numpy() for k, v in self.scales.items()})
        arrays |= kept.with_prefix("embeddings", {str(j): e.numpy() for j, e in enumerate(self.rows.embeddings)})
        tables = self.reader.tables
        arrays |= {} if tables is None else kept.with_prefix("tables", tables.arrays())
        kept.keep(folder, type(self).__name__, {"width": self.width, "spreads": self.reader.spreads}, arrays)

    @classmethod
    def load(cls, folder: Path) -> "FittedGaussianProcess":
        """The model that `save` kept. Raises DataError where it is not whole."""
        import torch

        card, arrays = kept.card_of(folder), kept.arrays_of(folder)
        tensors = {k: torch.from_numpy(v) for k, v in arrays.items()}
        embeddings, tables = kept.under("embeddings", tensors), kept.under("tables", arrays)
        rows = _Rows(tensors["numbers"], tensors["codes"], [embeddings[str(j)] for j in range(len(embeddings))])
        reader = _Reader(Columns.from_arrays(tables) if tables else None, tuple(card["spreads"]))
        scales = kept.under("scales", tensors)
        return cls(
            reader, rows, scales, tensors["solved"], arrays["loo"], arrays["y"], arrays.get("weight"), card["width"]
        )

    def predict(self, X: FeatureMatrix) -> np.ndarray:
        """(n,) float64 predictions."""
        from smp.nn.parallel import one_thread

        if not len(X):
            return np.empty(0)
        with one_thread():
            at = (_kernel(self.reader.rows(X), self.rows, self.scales) @ self.solved).squeeze(1) + self.scales["mean"]
        at = at.numpy()
        return at if self.weight is None else median_bend(self.loo, self.y, self.weight, self.width)(at)


@dataclass(frozen=True)
class GaussianProcess:
    """Exact inference: time goes with n cubed and memory with n squared, so for some thousands of rows.

    Covariance: squared exponential over the numbers (a length each) + linear in them + for every embedding a squared
    exponential of one length + for every category column a variance shared by rows of the same level (users, places).
    Its scales are found by marginal likelihood on a sample of rows. Without weights it predicts the posterior mean.
    With weights, the local weighted median of the labels around the closed-form leave-one-out means (smp.learners
    .medians): with 1/y, least MAPE. Source: Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006
    (kernels: chapter 4; marginal likelihood: 5.8; leave-one-out: 5.12).
    """

    steps: int = 40  # of Adam on the scales
    sample: int = 800  # rows that the scales are learnt on
    learning_rate: float = 0.1
    width: float = WIDTH  # in label units, of the local median

    def suggest(self, trial: "optuna.Trial") -> "GaussianProcess":
        """This learner with the values a trial proposes."""
        return replace(
            self,
            steps=trial.suggest_int("steps", 15, 100, log=True),
            width=trial.suggest_float("width", 0.3, 3.0, log=True),
        )

    def fit(
        self, X: FeatureMatrix, y: np.ndarray, weight: np.ndarray | None = None, seed: int = 0
    ) -> FittedGaussianProcess:
        """Train on X (n, D) and labels y (n,), optionally weighted (n,)."""
        import torch

        from smp.nn.parallel import one_thread

        reader = _Reader.fit(X, seed)
        rows, target = reader.rows(X), torch.as_tensor(np.asarray(y, np.float64))
        with one_thread():
            scales = self._learn(rows, target, seed)
            lower = _cholesky(rows, scales)
            solved = torch.cholesky_solve((target - scales["mean"])[:, None], lower)
            loo = target - solved.squeeze(1) / torch.cholesky_inverse(lower).diagonal()
        return FittedGaussianProcess(reader, rows, scales, solved, loo.numpy(), target.numpy(), weight, self.width)

    def _learn(self, rows: _Rows, target: "torch.Tensor", seed: int) -> Scales:
        """Scales of least negative log marginal likelihood on a sample of the rows."""
        import torch

        picked = np.random.default_rng(seed).permutation(len(target))[: self.sample]
        some = _Rows(rows.numbers[picked], rows.codes[picked], [e[picked] for e in rows.embeddings])
        y, spread = target[picked], float(target.std()) or 1.0
        d, start = rows.numbers.shape[1], {}
        start["smooth"], start["noise"] = torch.tensor(np.log(spread / 2)), torch.tensor(np.log(spread / 2))
        start["lengths"], start["slopes"] = torch.full((d,), np.log(2 * max(d, 1) ** 0.5)), torch.full((d,), -2.0)
        start["levels"] = torch.full((rows.codes.shape[1],), -1.0)
        start["embedded"] = torch.full((len(rows.embeddings),), -1.0)
        start["reach"] = torch.tensor([np.log(e.shape[1] ** 0.5) for e in rows.embeddings])
        start["mean"] = target.mean()
        scales = {k: v.detach().to(torch.float64).requires_grad_() for k, v in start.items()}
        optimizer = torch.optim.Adam(scales.values(), lr=self.learning_rate)
        for _ in range(self.steps):
            optimizer.zero_grad()
            lower = _cholesky(some, scales)
            white = torch.linalg.solve_triangular(lower, (y - scales["mean"])[:, None], upper=False)
            penalty = sum((scales[k] ** 2).sum() for k in ("slopes", "levels", "embedded"))
            (0.5 * (white**2).sum() + lower.diagonal().log().sum() + SHRINK * penalty).backward()
            optimizer.step()
        return {k: v.detach() for k, v in scales.items()}


def _cholesky(rows: _Rows, scales: Scales) -> "torch.Tensor":
    import torch

    noise = (torch.exp(2 * scales["noise"]) + JITTER).expand(len(rows.numbers))
    return torch.linalg.cholesky(_kernel(rows, rows, scales) + noise.diag())


def _kernel(a: _Rows, b: _Rows, scales: Scales) -> "torch.Tensor":
    """(n_a, n_b) covariance of the noiseless values."""
    slopes = scales["slopes"].exp()
    out = (a.numbers * slopes) @ (b.numbers * slopes).T
    out = out + _smooth(a.numbers, b.numbers, scales["lengths"], scales["smooth"])
    for j, (p, q) in enumerate(zip(a.embeddings, b.embeddings)):
        out = out + _smooth(p, q, scales["reach"][j], scales["embedded"][j])
    for j in range(a.codes.shape[1]):
        same = (a.codes[:, j, None] == b.codes[None, :, j]) & (a.codes[:, j, None] != UNKNOWN)
        out = out + (2 * scales["levels"][j]).exp() * same
    return out


def _smooth(a: "torch.Tensor", b: "torch.Tensor", length: "torch.Tensor", scale: "torch.Tensor") -> "torch.Tensor":
    """scale^2 exp(-|a - b|^2 / (2 length^2)), scale and length given as logarithms."""
    a, b = a * (-length).exp(), b * (-length).exp()
    square = (a * a).sum(1)[:, None] + (b * b).sum(1)[None] - 2 * a @ b.T
    return (2 * scale - 0.5 * square.clamp(min=0)).exp()


@dataclass(frozen=True)
class _Reader:
    """How a feature matrix becomes rows, learnt from the training rows only."""

    tables: Columns | None
    spreads: tuple[float, ...]  # standard deviation of each embedding's values

    @classmethod
    def fit(cls, X: FeatureMatrix, seed: int) -> "_Reader":
        tables, embeddings = X.split()
        spreads = tuple(float(e.dense().std()) or 1.0 for e in embeddings)
        return cls(Columns.fit(tables, seed) if tables is not None else None, spreads)

    def rows(self, X: FeatureMatrix) -> _Rows:
        import torch

        tables, embeddings = X.split()
        empty = np.empty((len(X), 0), np.int64)
        numbers, codes = (empty, empty) if self.tables is None else self.tables.read(tables)
        scaled = [torch.as_tensor(e.dense() / s).double() for e, s in zip(embeddings, self.spreads)]
        return _Rows(torch.as_tensor(numbers).double(), torch.as_tensor(codes), scaled)
