"""What the networks of requests share: their inputs, their training by windows, and how an experiment runs them."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import torch

from smp import features
from smp.experiment import Run, Settings
from smp.learners import kept
from smp.matrix import FeatureMatrix
from smp.models.cachemamba import CacheMamba, CacheTransformer, Ranker
from smp.nn.columns import Columns
from smp.nn.loop import Batch, Training, train
from smp.nn.parallel import device, one_thread, seeded
from smp.oof import Part
from smp.runner import Model, run_experiment
from smp.tracks.base import Data
from smp.tracks.requests.history import MARKS, History
from smp.tracks.requests.ranking import counts

Architecture = CacheMamba | CacheTransformer
AT_ONCE = 512  # objects that are scored at once
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

    def tensors(self, config: Network, columns: Columns, rows: np.ndarray) -> Batch:
        """What the network reads of the rows (m,)."""
        marks, there = self.history.series(self.items.iloc[rows], config.length)
        X = self.scalars.take(rows)
        base = np.log(np.exp2(X.dense()[:, X.names.index(config.base)]) - 1 + FLOOR)
        found = {"marks": marks, "there": there, "scalars": columns.read(X)[0], "base": base.astype(np.float32)}
        return {name: torch.from_numpy(value) for name, value in found.items()}


class Trained(Model):
    """A network, trained once a part and seed."""

    config: Network

    def __init__(self, run: Run, data: Data, folds: pd.DataFrame):
        super().__init__(run, data, folds)
        self.inputs = Inputs.of(self.config, run.track, data)

    def predict(self, part: Part) -> np.ndarray:
        made = []
        for seed in self.config.seeds:
            fitted = fit(self.config, self.inputs, part.train, seed)
            made.append(fitted.predict(self.inputs, part.query))
            if part.kind == "full":
                fitted.save(self.run.folder / "models" / f"seed{seed}")
        return np.stack(made, axis=1)


def run_network(script: str, config_class: type, track: str, small: dict | None = None) -> None:
    """Entry point of an experiment that trains a network on the requests of objects."""
    run_experiment(script, config_class, track, Trained, small)


@dataclass(frozen=True)
class Fitted:
    """A trained network with what was learnt about its inputs."""

    config: Network
    network: Ranker
    columns: Columns
    met: float  # share of a window's requests that its candidates meet

    def scores(self, inputs: Inputs, rows: np.ndarray) -> np.ndarray:
        """(m,) float64 scores of the rows; within a window the highest comes first."""
        target, out = next(self.network.parameters()).device, [np.empty(0)]
        self.network.eval()
        with torch.no_grad(), one_thread():
            for start in range(0, len(rows), AT_ONCE):
                batch = inputs.tensors(self.config, self.columns, rows[start : start + AT_ONCE])
                batch = {name: value.to(target) for name, value in batch.items()}
                out.append(self.network.score(batch).double().cpu().numpy())
        return np.concatenate(out)

    def predict(self, inputs: Inputs, rows: np.ndarray) -> np.ndarray:
        """(m,) log2(1 + requests expected): every row's share of its window's, by the softmax of the scores."""
        score, items = self.scores(inputs, rows), inputs.items.iloc[rows]
        window = np.unique(items["window"], return_inverse=True)[1]
        highest = pd.Series(score).groupby(window).transform("max").to_numpy()
        weight = np.exp(score - highest)
        share = weight / np.bincount(window, weight)[window]
        return np.log2(1 + self.met * items["requests"].to_numpy() * share)

    def save(self, folder: Path) -> None:
        """Keep what was learnt in `folder`, for `load`."""
        arrays = kept.with_prefix("network", {k: v.cpu().numpy() for k, v in self.network.state_dict().items()})
        arrays |= kept.with_prefix("columns", self.columns.arrays())
        values = {"model": type(self.config.model).__name__, "sizes": asdict(self.config.model), "met": self.met}
        values |= {"length": self.config.length, "features": self.config.features, "base": self.config.base}
        kept.keep(folder, type(self).__name__, values, arrays)

    @classmethod
    def load(cls, folder: Path) -> "Fitted":
        """The model that `save` kept. Raises DataError where it is not whole."""
        card, arrays = kept.card_of(folder), kept.arrays_of(folder)
        model = {c.__name__: c for c in get_args(Architecture)}[card["model"]](**card["sizes"])
        config = Network(model, card["length"], features=tuple(card["features"]), base=card["base"])
        columns = Columns.from_arrays(kept.under("columns", arrays))
        network = Ranker(model, config.length, MARKS, columns.width)
        network.load_state_dict({k: torch.from_numpy(v) for k, v in kept.under("network", arrays).items()})
        return cls(config, network.to(device()), columns, card["met"])


def fit(config: Network, inputs: Inputs, rows: np.ndarray, seed: int) -> Fitted:
    """Train a network on the candidates at positions `rows`, whole windows."""
    columns = Columns.fit(inputs.scalars.take(rows), seed)
    window, came = inputs.items["window"].to_numpy()[rows], counts(inputs.labels[rows])
    order = np.argsort(window, kind="stable")
    of_window = np.split(rows[order], np.flatnonzero(np.diff(window[order])) + 1)
    met = came.sum() / (len(of_window) * inputs.items["requests"].iloc[0])
    size = min(config.objects, *map(len, of_window))

    def stream(parts: Sequence[np.ndarray], seed: int) -> Iterator[Batch]:
        """Some objects of every window of a part; all are drawn alike, so that the softmax keeps its meaning."""
        rng = np.random.default_rng(seed)
        for part in parts:
            drawn = np.concatenate([rng.choice(of_window[w], size, replace=False) for w in part])
            batch = inputs.tensors(config, columns, drawn)
            batch["came"] = torch.from_numpy(counts(inputs.labels[drawn]).astype(np.float32))
            yield {name: value.unflatten(0, (len(part), size)) for name, value in batch.items()}

    batches = -(-len(of_window) // config.training.batch_size)
    training = replace(config.training, epochs=-(-config.steps // batches))
    with seeded(seed), one_thread():
        network = Ranker(config.model, config.length, MARKS, columns.width)
        train(network, stream, np.arange(len(of_window)), training, seed)
    return Fitted(config, network, columns, float(met))
