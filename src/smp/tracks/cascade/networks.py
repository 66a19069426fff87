"""What the networks of cascades share: their inputs, their training on some rows, and how an experiment runs them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import numpy as np
import pandas as pd
import torch
from scipy.stats import kstest
from torch import Tensor

from smp import features
from smp.experiment import Run, Settings
from smp.models.autocas import AutoCas, AutoCasNetwork
from smp.models.casft import CasFT, CasFTNetwork
from smp.models.concat import ConCat, ConCatNetwork
from smp.models.fitted import FittedModel
from smp.models.gru import GRU, GRUNetwork
from smp.nn.blocks import Scale
from smp.nn.loop import Batch, Training, in_memory, train
from smp.nn.parallel import one_thread, seeded
from smp.oof import Part
from smp.runner import Seeded, run_experiment
from smp.tracks.base import Data
from smp.tracks.cascade import processes, sequences
from smp.tracks.cascade.events import Events

Architecture = ConCat | CasFT | AutoCas | GRU
SCALES = ("scalars", "marks", "slices", "known", "label", "trend", "earlier", "following")


@dataclass(frozen=True)
class Inputs:
    """What a model is given of n cascades: nothing later than the observation's end."""

    observation: float  # seconds
    horizon: float
    scalars: np.ndarray  # (n, S) float32
    events: sequences.Sequences
    slices: np.ndarray  # (n, k, 5) float32 of slices that are even on the clock
    known: np.ndarray  # (n, k, 6) float32 at each slice's end: count so far, time of day, time to the horizon


@dataclass(frozen=True)
class Answers:
    """What came later: only ever read at the rows that are learnt from."""

    label: np.ndarray  # (n,) log2(1 + events in [observation, horizon))
    trend: np.ndarray  # (n, l) log2(1 + events) of l intervals of it, even on the clock
    earlier: np.ndarray  # (n, k) the label, had it been asked at each slice's end
    following: np.ndarray  # (n, k) log2(1 + events) of the slice after each


@dataclass(frozen=True)
class Network(Settings):
    """What an experiment states of a network; its own Config names the model."""

    model: Architecture
    training: Training = Training(batch_size=128, learning_rate=3e-3, clip=1.0)
    steps: int = 250  # of a training: its epochs are as many as that makes, for early parts have few cascades
    features: tuple[str, ...] = ("counts", "circle")  # scalars beside the events
    length: int = 64  # events kept of a longer cascade
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)  # predictions are averaged over seeds


class Trained(Seeded):
    """A network on cascades."""

    config: Network

    def __init__(self, run: Run, data: Data, folds: pd.DataFrame):
        super().__init__(run, data, folds)
        self.inputs, self.answers = prepare(self.config, data, run.track)

    def fit(self, part: Part, given: None, seed: int) -> tuple["Fitted", np.ndarray]:
        fitted = fit(self.config, self.inputs, self.answers, part.train, seed)
        return fitted, fitted.predict(self.inputs, part.query)


def prepare(config: Network, data: Data, track: str) -> tuple[Inputs, Answers]:
    """Inputs and answers of all items, rows as in the data."""
    events, first = Events.of(data.items, data.events), data.items.iloc[0]
    window = float(first["observation"]), float(first["horizon"])
    published = data.items["time"].to_numpy("datetime64[s]").astype(np.int64)
    slices, intervals = getattr(config.model, "slices", 1), getattr(config.model, "intervals", 1)
    scalars = np.zeros((len(data), 1), np.float32)
    if config.features:
        scalars = features.load(track, config.features, data).dense().astype(np.float32)
    inputs = inputs_of(events, published, scalars, window, config.length, slices)
    return inputs, answers_of(events, data.labels, window, intervals, slices)


def run_network(script: str, config_class: type, track: str, small: dict | None = None) -> None:
    """Entry point of an experiment that trains a network on events."""
    run_experiment(script, config_class, track, Trained, small)


def inputs_of(
    events: Events, published: np.ndarray, scalars: np.ndarray, window: tuple[float, float], length: int, slices: int
) -> Inputs:
    """published (n,): unix seconds; scalars (n, S), of the observed events; window: observation and horizon, s."""
    observation, horizon = window
    seen = events.until(observation)
    edges = slice_edges(observation, slices)
    made = sequences.slices(seen, edges)
    so_far = np.cumsum(seen.histogram(edges), axis=1)
    hour = 2 * np.pi * ((published[:, None] + edges[1:]) % 86_400) / 86_400
    left = np.broadcast_to(np.log(horizon - edges[1:]), so_far.shape)
    known = [np.log2(1 + so_far), np.sin(hour), np.cos(hour), np.sin(2 * hour), np.cos(2 * hour), left]
    thinned = sequences.thin(seen, observation, length)
    return Inputs(observation, horizon, scalars, thinned, made, np.stack(known, axis=2).astype(np.float32))


def answers_of(events: Events, label: np.ndarray, window: tuple[float, float], intervals: int, slices: int) -> Answers:
    """The answers that `events`, all of them, hold."""
    observation, horizon = window
    edges = slice_edges(observation, slices)
    following = min(2 * edges[-1] - edges[-2], horizon)
    counts = events.histogram(np.append(edges, following))
    total = events.until(horizon).count
    return Answers(
        label,
        np.log2(1.0 + events.histogram(interval_edges(window, intervals))),
        np.log2(1.0 + total[:, None] - np.cumsum(counts[:, :-1], axis=1)),
        np.log2(1.0 + counts[:, 1:]),
    )


def slice_edges(observation: float, slices: int) -> np.ndarray:
    """(slices + 1,) seconds, 0 to the observation's end."""
    return np.append(sequences.seconds(np.arange(slices) / slices, observation), observation)


def interval_edges(window: tuple[float, float], intervals: int) -> np.ndarray:
    """(intervals + 1,) seconds, the observation's end to the horizon."""
    observation, horizon = window
    at = np.linspace(1, sequences.clock(horizon, observation), intervals + 1)[1:-1]
    return np.concatenate([[observation], sequences.seconds(at, observation), [horizon]])


@dataclass(frozen=True)
class Fitted(FittedModel):
    """A trained network of cascades."""

    KINDS: ClassVar = {
        GRU: lambda model, shape: GRUNetwork(model, shape["marks"], shape["scalars"]),
        ConCat: lambda model, shape: ConCatNetwork(model, shape["marks"], shape["scalars"], shape["rate"]),
        CasFT: lambda model, shape: CasFTNetwork(
            model, shape["marks"], shape["scalars"], shape["rate"], shape["later"]
        ),
        AutoCas: lambda model, shape: AutoCasNetwork(model, shape["slices"], shape["known"]),
    }

    def predict(self, inputs: Inputs, rows: np.ndarray, observed: int = 0) -> np.ndarray:
        """(m,) float64 labels of the named rows; observed: of an AutoCas, as if asked after so many slices."""
        if isinstance(self.model, AutoCas):
            scale, at = self.readers["earlier"], observed - 1
            made = self._of(inputs, rows, lambda batch: self.network.predict(batch, observed))
            return made * scale.spread[at] + scale.mean[at]
        scale = self.readers["label"]
        return self._of(inputs, rows, self.network.predict) * scale.spread + scale.mean

    def trends(self, inputs: Inputs, rows: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """(m, k, l) draws of log2(1 + events) in the intervals after the observation, one of each noise (k, l)."""
        noise = torch.as_tensor(noise, dtype=torch.float32, device=next(self.network.parameters()).device)
        made = self._of(inputs, rows, lambda batch: self.network.trends(batch, noise))
        return np.maximum(made * self.readers["trend"].spread + self.readers["trend"].mean, 0.0)

    def _of(self, inputs: Inputs, rows: np.ndarray, function: Callable[[Batch], Tensor]) -> np.ndarray:
        tensors = tensors_of(self.model, inputs, self.readers, rows)
        return self.asked(function, partial(in_memory, tensors), len(rows))


def tensors_of(model: Architecture, inputs: Inputs, scales: dict[str, Scale], rows: np.ndarray) -> dict[str, Tensor]:
    """What a network reads of the named rows, standardised."""
    if isinstance(model, AutoCas):
        return {"slices": scales["slices"](inputs.slices[rows]), "known": scales["known"](inputs.known[rows])}
    events, mask = inputs.events, torch.as_tensor(inputs.events.mask[rows])
    return {
        "marks": scales["marks"](events.marks[rows]) * mask[:, :, None],
        "clock": torch.as_tensor(events.clock[rows]),
        "weight": torch.as_tensor(events.weight[rows]),
        "mask": mask,
        "scalars": scales["scalars"](inputs.scalars[rows]),
    }


def fit(config: Network, inputs: Inputs, answers: Answers, rows: np.ndarray, seed: int) -> Fitted:
    """Train a network on the named rows."""
    model, events = config.model, inputs.events
    batches = -(-len(rows) // config.training.batch_size)
    training = replace(config.training, epochs=-(-config.steps // batches))
    scales = {name: Scale.of(values[rows]) for name, values in (vars(inputs) | vars(answers)).items() if name in SCALES}
    scales["marks"] = Scale.of(events.marks[rows][events.mask[rows]])
    tensors = tensors_of(model, inputs, scales, rows)
    if isinstance(model, AutoCas):
        asked = {"earlier": answers.earlier, "following": answers.following}
    else:
        asked = {"label": answers.label, "trend": answers.trend}
    tensors |= {name: scales[name](values[rows]) for name, values in asked.items()}
    with seeded(seed), one_thread():
        shape = _shape(model, inputs, tensors)
        network = Fitted.KINDS[type(model)](model, shape)
        if isinstance(model, AutoCas):
            network.start(tensors)
        train(network, partial(in_memory, tensors), np.arange(len(rows)), training, seed)
    return Fitted(model, network, scales, shape)


def _shape(model: Architecture, inputs: Inputs, tensors: dict[str, Tensor]) -> dict:
    """What a network has to know of its data before it sees them."""
    shape = {name: value.shape[-1] for name, value in tensors.items()}
    if isinstance(model, CasFT):
        ends = interval_edges((inputs.observation, inputs.horizon), model.intervals)[1:]
        shape["later"] = [float(t) for t in sequences.clock(ends, inputs.observation)]
    if "weight" in tensors:
        shape["rate"] = float(tensors["weight"].sum(1).mean())
    return shape


def trend_quality(
    fitted: Fitted, inputs: Inputs, answers: Answers, rows: np.ndarray, draws: int = 100
) -> tuple[np.ndarray, np.ndarray]:
    """How well the draws of a CasFT know the trend of the rows: (m,) each, the share of its intervals whose count lies
    inside the middle 80 % of the draws, and the CRPS."""
    noise = np.random.default_rng(0).standard_normal((draws, fitted.model.intervals))
    drawn, true = np.sort(fitted.trends(inputs, rows, noise), axis=1), answers.trend[rows]
    low, high = np.quantile(drawn, [0.1, 0.9], axis=1)
    rank = (2 * np.arange(1, draws + 1) - draws - 1)[:, None]  # E|X - X'| of sorted draws
    crps = np.abs(drawn - true[:, None]).mean(1) - (rank * drawn).sum(1) / draws**2
    return ((true >= low) & (true <= high)).mean(1), crps.mean(1)


def whole(inputs: Inputs, rows: np.ndarray) -> np.ndarray:
    """Those of the rows whose cascades are not thinned: every event is there."""
    return rows[(inputs.events.weight[rows] <= 1).all(axis=1)]


def process_quality(fitted: Fitted, inputs: Inputs, rows: np.ndarray) -> tuple[np.ndarray, float]:
    """(m,) log-likelihoods on the clock of whole cascades under a ConCat, and how far their rescaled times are from
    exponential ones (Kolmogorov-Smirnov)."""
    mask, trunk = torch.as_tensor(inputs.events.mask[rows]), fitted.network.eval().trunk
    with torch.no_grad(), one_thread():
        path = trunk(tensors_of(fitted.model, inputs, fitted.readers, rows))
        made = trunk.ode.log_likelihood(path, mask, mask.float()).double().numpy()
    between = np.diff(path.so_far.numpy(), axis=1)[mask[:, 1:].numpy()]
    return made, float(kstest(between, "expon").statistic)


def rival_processes(inputs: Inputs, train: np.ndarray, rows: np.ndarray) -> tuple[dict[str, np.ndarray], float]:
    """The same of processes fitted to the whole cascades `train`: Hawkes and Poisson, and the latter's distance."""
    past, query = (
        sequences.Sequences(*(getattr(inputs.events, name)[part] for name in ("marks", "clock", "weight", "mask")))
        for part in (train, rows)
    )
    flat = (past.mask.sum(1) - 1).mean() * np.diff(query.clock, axis=1)[query.mask[:, 1:]]
    made = {"hawkes": processes.hawkes(past, query)[0], "poisson": processes.poisson(past, query)}
    return made, float(kstest(flat, "expon").statistic)
