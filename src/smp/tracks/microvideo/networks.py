"""M3TR on videos: its inputs, what may be retrieved for whom, its training on some rows, and how experiments run it."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from smp import features
from smp.experiment import Run, Settings
from smp.learners import kept
from smp.matrix import FeatureMatrix
from smp.models.m3tr import M3TR, Hawkes, Keys, M3TRNetwork, log_likelihood, nearest, poisson
from smp.nn.blocks import Scale
from smp.nn.columns import Columns
from smp.nn.loop import Training, in_memory, train
from smp.nn.parallel import device, one_thread, seeded
from smp.oof import Part
from smp.runner import Model, run_experiment
from smp.tracks.base import Data
from smp.tracks.microvideo.snapshots import DAY, Snapshots, Steps, clock

SCALES = ("marks", "content", "trajectory", "label")
BATCH = 2048  # videos predicted at once


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


class Trained(Model):
    """M3TR, trained once a part and seed."""

    config: Network

    def __init__(self, run: Run, data: Data, folds: pd.DataFrame):
        super().__init__(run, data, folds)
        self.inputs = prepare(self.config, data, run.track)

    def predict(self, part: Part) -> np.ndarray:
        made, inputs = [], self.inputs.joined(from_labels(self.config, self.run.track, self.data, part))
        for seed in self.config.seeds:
            if part.kind == "full" and not len(part.query) and made:  # one is kept; there is nothing to average
                made.append(made[0])
                continue
            fitted = fit(self.config, inputs, self.data.labels, part.train, seed)
            made.append(fitted.predict(inputs, part.query))
            if part.kind in ("full", "holdout"):  # a study asks the holdout's for more than predictions
                folder = "models" if part.kind == "full" else "holdout_models"
                fitted.save(self.run.folder / folder / f"seed{seed}")
        return np.stack(made, axis=1)


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
class Fitted:
    """A trained network, what was learnt about its inputs, and its bank: positions (b,) and standardised growths."""

    model: M3TR
    network: M3TRNetwork
    columns: Columns
    scales: dict[str, Scale]
    shape: dict
    bank: np.ndarray
    growth: np.ndarray
    seed: int

    def predict(self, inputs: Inputs, rows: np.ndarray) -> np.ndarray:
        """(m,) float64 growths of the named rows."""
        return self._in_batches(inputs, rows, self.network.predict) * self.scales["label"].spread + self.center

    def log_likelihood(self, inputs: Inputs, rows: np.ndarray) -> np.ndarray:
        """(m,) of the feedback in the observed gaps of the named rows."""
        return self._in_batches(
            inputs, rows, lambda batch: log_likelihood(self.network.integrals(batch), batch["counts"])
        )

    @property
    def center(self) -> float:
        return float(self.scales["label"].mean)

    def _in_batches(self, inputs: Inputs, rows: np.ndarray, function) -> np.ndarray:
        target, out = next(self.network.parameters()).device, [np.empty(0)]
        self.network.eval()
        with torch.no_grad(), one_thread():
            tensors = tensors_of(self.model, inputs, self.columns, self.scales, rows, self.bank, self.growth, self.seed)
            for start in range(0, len(rows), BATCH):
                part = {name: value[start : start + BATCH].to(target) for name, value in tensors.items()}
                out.append(function(part).double().cpu().numpy())
        return np.concatenate(out)

    def save(self, folder: Path) -> None:
        """Keep what was learnt in `folder`, for `load`."""
        arrays = kept.with_prefix("network", {k: v.cpu().numpy() for k, v in self.network.state_dict().items()})
        arrays |= kept.with_prefix("columns", self.columns.arrays()) | {"bank": self.bank, "growth": self.growth}
        for name, scale in self.scales.items():
            arrays |= kept.with_prefix(name, asdict(scale))
        values = {"config": asdict(self.model), "shape": self.shape, "seed": self.seed}
        kept.keep(folder, type(self).__name__, values, arrays)

    @classmethod
    def load(cls, folder: Path) -> "Fitted":
        """The model that `save` kept. Raises DataError where it is not whole."""
        card, arrays = kept.card_of(folder), kept.arrays_of(folder)
        model, scales = M3TR(**card["config"]), {name: Scale(**kept.under(name, arrays)) for name in SCALES}
        network = M3TRNetwork(model, card["shape"])
        network.load_state_dict({k: torch.from_numpy(v) for k, v in kept.under("network", arrays).items()})
        columns, bank = Columns.from_arrays(kept.under("columns", arrays)), (arrays["bank"], arrays["growth"])
        return cls(model, network.to(device()), columns, scales, card["shape"], *bank, card["seed"])


def fit(config: Network, inputs: Inputs, labels: np.ndarray, rows: np.ndarray, seed: int) -> Fitted:
    """Train a network on the named rows of inputs and labels (n,); the same rows are its bank."""
    model, y, steps = config.model, labels[rows], inputs.steps
    batches = -(-len(rows) // config.training.batch_size)
    training = replace(config.training, epochs=min(config.training.epochs, -(-config.steps // batches)))
    columns = Columns.fit(inputs.columns.take(rows), seed)
    seen = steps.marks[rows][steps.mask[rows]]
    scales = {"marks": _scale(seen), "label": Scale(y.mean(), y.std() or 1.0)}
    scales |= {name: _scale(getattr(inputs, name)[rows]) for name in ("content", "trajectory")}
    growth = (y - scales["label"].mean) / scales["label"].spread
    with seeded(seed), one_thread():
        tensors = tensors_of(model, inputs, columns, scales, rows, rows, growth, seed)
        tensors["label"] = torch.as_tensor(growth, dtype=torch.float32)
        shape = {name: value.shape[-1] for name, value in tensors.items()} | {"codes": columns.cardinalities}
        network = M3TRNetwork(model, shape)
        train(network, lambda parts, seed: in_memory(tensors, parts, seed), np.arange(len(rows)), training, seed)
    return Fitted(model, network, columns, scales, shape, rows, growth, seed)


def tensors_of(
    model: M3TR,
    inputs: Inputs,
    columns: Columns,
    scales: dict[str, Scale],
    rows: np.ndarray,
    bank: np.ndarray,
    growth: np.ndarray,
    seed: int,
) -> dict[str, Tensor]:
    """What a network reads of the named rows; bank and growth (b,): what may be retrieved."""
    steps, mask = inputs.steps, torch.from_numpy(inputs.steps.mask[rows])
    numbers, codes = columns.read(inputs.columns.take(rows))
    tensors = {
        "marks": torch.nan_to_num(scales["marks"](steps.marks[rows])) * mask[..., None],
        "mask": mask,
        "gap": torch.from_numpy(steps.gap[rows]),
        "counts": torch.from_numpy(steps.counts[rows]),
        "ahead": torch.from_numpy(inputs.ahead[rows]),
        "numbers": torch.from_numpy(numbers),
        "codes": torch.from_numpy(codes),
    }
    scaled = {name: torch.nan_to_num(scales[name](getattr(inputs, name))) for name in ("content", "trajectory")}
    tensors |= {name: values[rows] for name, values in scaled.items()}
    if not model.retrieved:
        return tensors
    content, trajectory = (values.numpy() for values in scaled.values())
    keys = Keys(_of_length_one(content), _of_length_one(trajectory), inputs.asked, inputs.known)
    found, *cosines = nearest(model, keys, rows, bank, seed)
    there = found >= 0
    of_bank = np.zeros(len(inputs.asked))
    of_bank[bank] = growth
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
