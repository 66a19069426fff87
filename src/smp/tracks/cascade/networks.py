"""What the networks of cascades share: their inputs, their training on some rows, and how an experiment runs them."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import torch
from scipy.stats import kstest
from torch import Tensor, nn

from smp import features
from smp.experiment import Run, Settings
from smp.learners import kept
from smp.models.autocas import AutoCas, AutoCasNetwork
from smp.models.casft import CasFT, CasFTNetwork
from smp.models.concat import ConCat, ConCatNetwork
from smp.models.gru import GRU, GRUNetwork
from smp.nn.blocks import Scale
from smp.nn.loop import Training, in_memory, learned, train
from smp.nn.ode import Solver
from smp.nn.parallel import one_thread, seeded
from smp.oof import Part
from smp.runner import Model, run_experiment
from smp.tracks.base import Data
from smp.tracks.cascade import processes, sequences
from smp.tracks.cascade.events import Events

Architecture = ConCat | CasFT | AutoCas | GRU
SCALES = ("scalars", "marks", "slices", "known", "label", "trend", "earlier", "following")
BATCH = 512  # cascades predicted at once


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


class Trained(Model):
    """A network, trained once a part and seed."""

    config: Network

    def __init__(self, run: Run, data: Data, folds: pd.DataFrame):
        super().__init__(run, data, folds)
        self.inputs, self.answers = prepare(self.config, data, run.track)

    def predict(self, part: Part) -> np.ndarray:
        made = []
        for seed in self.config.seeds:
            if part.kind == "full" and not len(part.query) and made:  # one is kept; there is nothing to average
                made.append(made[0])
                continue
            fitted = self.fit(part, seed)
            made.append(fitted.predict(self.inputs, part.query))
            if part.kind in ("full", "holdout"):  # studies ask the holdout's for more than predictions
                folder = "models" if part.kind == "full" else "holdout_models"
                fitted.save(self.run.folder / folder / f"seed{seed}")
        return np.stack(made, axis=1)

    def fit(self, part: Part, seed: int) -> "Fitted":
        """The network of one seed, trained on the part's training rows."""
        return fit(self.config, self.inputs, self.answers, part.train, seed)


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
class Fitted:
    """A trained network with what was learnt about its inputs."""

    model: Architecture
    network: nn.Module
    scales: dict[str, Scale]
    shape: dict

    def predict(self, inputs: Inputs, rows: np.ndarray, observed: int = 0) -> np.ndarray:
        """(m,) float64 labels of the named rows; observed: of an AutoCas, as if asked after so many slices."""
        if isinstance(self.model, AutoCas):
            scale, at = self.scales["earlier"], observed - 1
            made = self._in_batches(inputs, rows, lambda batch: self.network.predict(batch, observed))
            return made * scale.spread[at] + scale.mean[at]
        scale = self.scales["label"]
        return self._in_batches(inputs, rows, self.network.predict) * scale.spread + scale.mean

    def trends(self, inputs: Inputs, rows: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """(m, k, l) draws of log2(1 + events) in the intervals after the observation, one of each noise (k, l)."""
        noise = torch.as_tensor(noise, dtype=torch.float32, device=next(self.network.parameters()).device)
        made = self._in_batches(inputs, rows, lambda batch: self.network.trends(batch, noise))
        return np.maximum(made * self.scales["trend"].spread + self.scales["trend"].mean, 0.0)

    def _in_batches(self, inputs: Inputs, rows: np.ndarray, function) -> np.ndarray:
        device, out = next(self.network.parameters()).device, []
        tensors = tensors_of(self.model, inputs, self.scales, rows)
        self.network.eval()
        with torch.no_grad(), one_thread():
            for start in range(0, len(rows), BATCH):
                part = {name: value[start : start + BATCH].to(device) for name, value in tensors.items()}
                out.append(function(part).double().cpu().numpy())
        return np.concatenate(out) if out else np.empty(0)

    def save(self, folder: Path) -> None:
        """Keep what was learnt in `folder`, for `load`; frozen weights are had again from where they came."""
        arrays = kept.with_prefix("network", {k: v.cpu().numpy() for k, v in learned(self.network).items()})
        for name, scale in self.scales.items():
            arrays |= kept.with_prefix(name, asdict(scale))
        values = {"model": type(self.model).__name__, "config": asdict(self.model)}
        kept.keep(folder, type(self).__name__, values | {"shape": self.shape}, arrays)

    @classmethod
    def load(cls, folder: Path) -> "Fitted":
        """The model that `save` kept. Raises DataError where it is not whole."""
        card, arrays = kept.card_of(folder), kept.arrays_of(folder)
        kind, config = {c.__name__: c for c in get_args(Architecture)}[card["model"]], card["config"]
        if kind is CasFT:
            config["trunk"] = _concat(config["trunk"])
        model = _concat(config) if kind is ConCat else kind(**config)
        network = _network(model, card["shape"])
        weights = {name: torch.from_numpy(array) for name, array in kept.under("network", arrays).items()}
        network.load_state_dict(weights, strict=False)
        scales = {name: Scale(**kept.under(name, arrays)) for name in SCALES}
        return cls(model, network, scales, card["shape"])


def _concat(config: dict) -> ConCat:
    return ConCat(**config | {"solver": Solver(**config["solver"])})


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
        network = _network(model, shape)
        if isinstance(model, AutoCas):
            network.start(tensors)
        train(network, lambda parts, seed: in_memory(tensors, parts, seed), np.arange(len(rows)), training, seed)
    return Fitted(model, network, scales, shape)


def _network(model: Architecture, shape: dict) -> nn.Module:
    if isinstance(model, AutoCas):
        return AutoCasNetwork(model, shape["slices"], shape["known"])
    if isinstance(model, GRU):
        return GRUNetwork(model, shape["marks"], shape["scalars"])
    sizes = shape["marks"], shape["scalars"], shape["rate"]
    return ConCatNetwork(model, *sizes) if isinstance(model, ConCat) else CasFTNetwork(model, *sizes, shape["later"])


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
    mask, trunk = torch.as_tensor(inputs.events.mask[rows]), fitted.network.trunk
    with torch.no_grad(), one_thread():
        path = trunk(tensors_of(fitted.model, inputs, fitted.scales, rows))
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
