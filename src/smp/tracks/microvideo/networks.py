"""M3TR on videos: its inputs, what may be retrieved for whom, its training on some rows, and how experiments run it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from smp import features
from smp.experiment import Run, Settings
from smp.matrix import FeatureMatrix
from smp.models.fitted import FittedModel
from smp.models.m3tr import M3TR, Hawkes, Keys, M3TRNetwork, log_likelihood, nearest, poisson
from smp.nn.blocks import Scale
from smp.nn.columns import Columns
from smp.nn.loop import Batch, Training, in_memory, train
from smp.nn.parallel import one_thread, seeded
from smp.oof import Part
from smp.runner import Seeded, run_experiment
from smp.tracks.base import Data
from smp.tracks.microvideo.snapshots import DAY, Snapshots, Steps, clock


@dataclass(frozen=True)
class Network(Settings):
    """What an experiment states of M3TR; its own Config names the model."""

    model: M3TR = M3TR()
    training: Training = Training(epochs=40, batch_size=256, learning_rate=3e-3, weight_decay=0.1, clip=1.0)
    steps: int = 500  # of a training at most, where its epochs have more
    length: int = 16  # snapshots kept of a video that has more
    features: tuple[str, ...] = ("counters", "about")
    label_features: tuple[str, ...] = ("channel",)
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)  # predictions are averaged over seeds


@dataclass(frozen=True)
class Inputs:
    """What a model is given of n videos, nothing of it seen after a video's observation, and when labels were known."""

    steps: Steps
    ahead: np.ndarray  # (n,) float32, on the clock from the last snapshot to the age asked for
    columns: FeatureMatrix
    content: np.ndarray  # (n, C) float32, NaN where there is none
    trajectory: np.ndarray  # (n, T)
    asked: np.ndarray  # (n,) int64, seconds
    known: np.ndarray

    def joined(self, more: FeatureMatrix | None) -> "Inputs":
        """With more columns."""
        return replace(self, columns=self.columns.join(more)) if more else self


class Trained(Seeded):
    """M3TR on videos."""

    config: Network

    def __init__(self, run: Run, data: Data, folds: pd.DataFrame):
        super().__init__(run, data, folds)
        self.inputs = prepare(self.config, data, run.track)

    def given(self, part: Part) -> Inputs:
        return self.inputs.joined(from_labels(self.config, self.run.track, self.data, part))

    def fit(self, part: Part, given: Inputs, seed: int) -> tuple["Fitted", np.ndarray]:
        fitted = fit(self.config, given, self.data.labels, part.train, seed)
        return fitted, fitted.predict(given, part.query)


def run_network(script: str, config_class: type, track: str, small: dict | None = None) -> None:
    """Entry point of an experiment that trains M3TR."""
    run_experiment(script, config_class, track, Trained, small)


def prepare(config: Network, data: Data, track: str) -> Inputs:
    """The inputs of all items, rows as in the data."""
    seen = Snapshots.of(data.items, data.events)
    steps = seen.steps(min(config.length, int(seen.count.max(initial=1))))
    found = {name: features.load(track, (name,), data).dense() for name in ("content", "trajectory")}
    last = np.append(seen.age, 0.0)[seen.place(0)]
    ahead = (clock(data.items["horizon"].to_numpy()) - clock(last)).astype(np.float32)
    asked, known = (data.items[name].to_numpy("datetime64[s]").astype(np.int64) for name in ("asked", "known"))
    columns = features.load(track, config.features, data)
    return Inputs(steps, ahead, columns, found["content"], found["trajectory"], asked, known)


def from_labels(config: Network, track: str, data: Data, part: Part) -> FeatureMatrix | None:
    """The columns of families made from the labels that a part learns from."""
    if not config.label_features:
        return None
    shown, block = data.shown(part.train), part.label_blocks(data, 5)
    return features.from_labels(track, config.label_features, data, shown, block, 0)


@dataclass(frozen=True)
class Fitted(FittedModel):
    """A trained M3TR; memory: its bank, positions (b,) `rows` and standardised growths (b,) `growth`."""

    KINDS: ClassVar = {M3TR: M3TRNetwork}

    def predict(self, inputs: Inputs, rows: np.ndarray) -> np.ndarray:
        """(m,) float64 growths of the named rows."""
        scale = self.readers["label"]
        return self._of(inputs, rows, self.network.predict) * scale.spread + scale.mean

    def log_likelihood(self, inputs: Inputs, rows: np.ndarray) -> np.ndarray:
        """(m,) of the feedback in the observed gaps of the named rows."""
        return self._of(inputs, rows, lambda batch: log_likelihood(self.network.integrals(batch), batch["counts"]))

    def _of(self, inputs: Inputs, rows: np.ndarray, function: Callable[[Batch], Tensor]) -> np.ndarray:
        tensors = tensors_of(self.model, inputs, self.readers, rows, self.memory, self.shape["seed"])
        return self.asked(function, partial(in_memory, tensors), len(rows))


def fit(config: Network, inputs: Inputs, labels: np.ndarray, rows: np.ndarray, seed: int) -> Fitted:
    """Train a network on the named rows of inputs and labels (n,); the same rows are its bank."""
    model, y, steps = config.model, labels[rows], inputs.steps
    batches = -(-len(rows) // config.training.batch_size)
    training = replace(config.training, epochs=min(config.training.epochs, -(-config.steps // batches)))
    scale, columns = Scale(y.mean(), y.std() or 1.0), Columns.fit(inputs.columns.take(rows), seed)
    readers = {"columns": columns, "marks": _scale(steps.marks[rows][steps.mask[rows]]), "label": scale}
    readers |= {name: _scale(getattr(inputs, name)[rows]) for name in ("content", "trajectory")}
    bank = {"rows": rows, "growth": (y - scale.mean) / scale.spread}
    with seeded(seed), one_thread():
        tensors = tensors_of(model, inputs, readers, rows, bank, seed)
        tensors["label"] = torch.as_tensor(bank["growth"], dtype=torch.float32)
        shape = {name: value.shape[-1] for name, value in tensors.items()}
        shape |= {"codes": columns.cardinalities, "seed": seed}
        network = M3TRNetwork(model, shape)
        train(network, partial(in_memory, tensors), np.arange(len(rows)), training, seed)
    return Fitted(model, network, readers, shape, bank)


def tensors_of(
    model: M3TR,
    inputs: Inputs,
    readers: dict[str, Scale | Columns],
    rows: np.ndarray,
    bank: dict[str, np.ndarray],
    seed: int,
) -> Batch:
    """What a network reads of the named rows; bank: positions (b,) `rows` of what may be found, and its `growth`."""
    steps, mask = inputs.steps, torch.from_numpy(inputs.steps.mask[rows])
    numbers, codes = readers["columns"].read(inputs.columns.take(rows))
    tensors = {
        "marks": torch.nan_to_num(readers["marks"](steps.marks[rows])) * mask[..., None],
        "mask": mask,
        "gap": torch.from_numpy(steps.gap[rows]),
        "counts": torch.from_numpy(steps.counts[rows]),
        "ahead": torch.from_numpy(inputs.ahead[rows]),
        "numbers": torch.from_numpy(numbers),
        "codes": torch.from_numpy(codes),
    }
    scaled = {name: torch.nan_to_num(readers[name](getattr(inputs, name))) for name in ("content", "trajectory")}
    tensors |= {name: values[rows] for name, values in scaled.items()}
    if not model.retrieved:
        return tensors
    content, trajectory = (values.numpy() for values in scaled.values())
    keys = Keys(_of_length_one(content), _of_length_one(trajectory), inputs.asked, inputs.known)
    found, *cosines = nearest(model, keys, rows, bank["rows"], seed)
    there = found >= 0
    of_bank = np.zeros(len(inputs.asked))
    of_bank[bank["rows"]] = bank["growth"]
    apart = trajectory[rows][:, None] - trajectory[found]
    waited = np.log1p(np.where(there, inputs.asked[rows][:, None] - inputs.known[found], 0) / (3600 * DAY)) / 4  # days
    near = np.concatenate([np.stack([of_bank[found], *cosines, waited], 2), apart], 2)
    tensors["near"] = torch.as_tensor(np.where(there[..., None], near, 0.0), dtype=torch.float32)
    return tensors | {"near_there": torch.from_numpy(there)}


def _scale(values: np.ndarray) -> Scale:
    """Of the values (m, d) that are there; of a column without any 0 and 1."""
    empty = ~np.isfinite(values).any(axis=0)
    values = np.where(empty, 0.0, values)
    return Scale(np.nanmean(values, axis=0), np.nanstd(values, axis=0) + 1e-3)


def _of_length_one(values: np.ndarray) -> np.ndarray:
    return values / (np.linalg.norm(values, axis=1, keepdims=True) + 1e-9)


def rival_processes(inputs: Inputs, train: np.ndarray, rows: np.ndarray) -> dict[str, np.ndarray]:
    """(m,) log-likelihoods of the rows' feedback under processes in closed form, fitted to the rows `train`."""
    past, asked = ([torch.from_numpy(v[r]) for v in (inputs.steps.gap, inputs.steps.counts)] for r in (train, rows))
    with one_thread():
        integrals = {"hawkes": Hawkes.fit(*past)(*asked).detach(), "poisson": poisson(*asked, past)}
        return {name: log_likelihood(made, asked[1]).double().numpy() for name, made in integrals.items()}
