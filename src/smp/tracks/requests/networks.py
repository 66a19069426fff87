"""What the networks of requests share: their inputs, their training by windows, and how an experiment runs them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, get_args

import numpy as np
import pandas as pd
import torch

from smp import features
from smp.experiment import Run, Settings
from smp.matrix import FeatureMatrix
from smp.models.cachemamba import CacheMamba, CacheTransformer, Ranker
from smp.models.fitted import FittedModel
from smp.nn.columns import Columns
from smp.nn.loop import Batch, Training, train
from smp.nn.parallel import one_thread, seeded
from smp.oof import Part
from smp.runner import Seeded, run_experiment
from smp.tracks.base import Data
from smp.tracks.requests.history import MARKS, History
from smp.tracks.requests.ranking import requested

Architecture = CacheMamba | CacheTransformer
FLOOR = 0.02  # requests a window that an object is expected to have at least, for the log of its decayed count


@dataclass(frozen=True)
class Network(Settings):
    """What an experiment states of a network; its own Config names the model."""

    model: Architecture
    length: int = 64  # windows of a series
    objects: int = 256  # of a window, drawn anew for every step
    training: Training = Training(batch_size=8, learning_rate=3e-3, clip=1.0)  # a batch is of windows
    steps: int = 1500  # of a training: its epochs are as many as that makes
    features: tuple[str, ...] = ("decays", "lags", "thing")  # scalars beside the series
    base: str = "decays_8"  # the column that scores are added to
    seeds: tuple[int, ...] = (0, 1, 2)  # predictions are averaged over seeds


@dataclass(frozen=True)
class Inputs:
    """All candidates of all windows."""

    items: pd.DataFrame
    scalars: FeatureMatrix
    history: History
    labels: np.ndarray  # only ever read at the rows that are learnt from

    @classmethod
    def of(cls, config: Network, track: str, data: Data) -> "Inputs":
        X = features.load(track, config.features, data)
        return cls(data.items, X, History.of(data.items), data.labels)

    def tensors(self, shape: dict, columns: Columns, rows: np.ndarray) -> Batch:
        """What the network reads of the rows (m,); shape: the series' length, and the column that is the base."""
        marks, there = self.history.series(self.items.iloc[rows], shape["length"])
        X = self.scalars.take(rows)
        base = np.log(requested(X.dense()[:, X.names.index(shape["base"])]) + FLOOR)
        found = {"marks": marks, "there": there, "scalars": columns.read(X)[0], "base": base.astype(np.float32)}
        return {name: torch.from_numpy(value) for name, value in found.items()}


class Trained(Seeded):
    """A network on the requests of objects."""

    config: Network

    def __init__(self, run: Run, data: Data, folds: pd.DataFrame):
        super().__init__(run, data, folds)
        self.inputs = Inputs.of(self.config, run.track, data)

    def fit(self, part: Part, given: None, seed: int) -> tuple["Fitted", np.ndarray]:
        fitted = fit(self.config, self.inputs, part.train, seed)
        return fitted, fitted.predict(self.inputs, part.query)


def run_network(script: str, config_class: type, track: str, small: dict | None = None) -> None:
    """Entry point of an experiment that trains a network on the requests of objects."""
    run_experiment(script, config_class, track, Trained, small)


def _ranker(model: Architecture, shape: dict) -> Ranker:
    return Ranker(model, shape["length"], MARKS, shape["scalars"])


@dataclass(frozen=True)
class Fitted(FittedModel):
    """A trained network of requests; shape: also the base that scores are added to, and `met`, the share of a window's
    requests that its candidates meet."""

    KINDS: ClassVar = dict.fromkeys(get_args(Architecture), _ranker)

    def scores(self, inputs: Inputs, rows: np.ndarray) -> np.ndarray:
        """(m,) float64 scores of the rows; within a window the highest comes first."""

        def stream(parts: Sequence[np.ndarray], seed: int) -> Iterator[Batch]:
            return (inputs.tensors(self.shape, self.readers["scalars"], rows[part]) for part in parts)

        return self.asked(self.network.score, stream, len(rows))

    def predict(self, inputs: Inputs, rows: np.ndarray) -> np.ndarray:
        """(m,) log2(1 + requests expected): every row's share of its window's, by the softmax of the scores."""
        score, items = self.scores(inputs, rows), inputs.items.iloc[rows]
        window = np.unique(items["window"], return_inverse=True)[1]
        highest = pd.Series(score).groupby(window).transform("max").to_numpy()
        weight = np.exp(score - highest)
        share = weight / np.bincount(window, weight)[window]
        return np.log2(1 + self.shape["met"] * items["requests"].to_numpy() * share)


def fit(config: Network, inputs: Inputs, rows: np.ndarray, seed: int) -> Fitted:
    """Train a network on the candidates at positions `rows`, whole windows."""
    columns = Columns.fit(inputs.scalars.take(rows), seed)
    window, came = inputs.items["window"].to_numpy()[rows], requested(inputs.labels[rows])
    order = np.argsort(window, kind="stable")
    of_window = np.split(rows[order], np.flatnonzero(np.diff(window[order])) + 1)
    met = float(came.sum() / (len(of_window) * inputs.items["requests"].iloc[0]))
    shape = {"length": config.length, "scalars": columns.width, "base": config.base, "met": met}
    size = min(config.objects, *map(len, of_window))

    def stream(parts: Sequence[np.ndarray], seed: int) -> Iterator[Batch]:
        """Some objects of every window of a part; all are drawn alike, so that the softmax keeps its meaning."""
        rng = np.random.default_rng(seed)
        for part in parts:
            drawn = np.concatenate([rng.choice(of_window[w], size, replace=False) for w in part])
            batch = inputs.tensors(shape, columns, drawn)
            batch["came"] = torch.from_numpy(requested(inputs.labels[drawn]).astype(np.float32))
            yield {name: value.unflatten(0, (len(part), size)) for name, value in batch.items()}

    batches = -(-len(of_window) // config.training.batch_size)
    training = replace(config.training, epochs=-(-config.steps // batches))
    with seeded(seed), one_thread():
        network = _ranker(config.model, shape)
        train(network, stream, np.arange(len(of_window)), training, seed)
    return Fitted(config.model, network, {"scalars": columns}, shape)
