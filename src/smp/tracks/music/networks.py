"""What the networks of songs share: their inputs, their training on some rows, and how an experiment runs them."""

import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import torch
from scipy.io import wavfile
from torch import nn

from smp import features, paths
from smp.errors import DataError
from smp.experiment import Run, Settings
from smp.matrix import FeatureMatrix
from smp.models.fitted import FittedModel
from smp.models.gamenet import GAMENet, GAMENetNetwork
from smp.models.lyricnet import LyricNet, LyricNetNetwork
from smp.models.spectrogram_cnn import MEL, SpectrogramCNN, SpectrogramCNNNetwork
from smp.nn.blocks import Scale
from smp.nn.columns import Columns
from smp.nn.loop import Batch, Training, in_memory, train
from smp.nn.parallel import one_thread, seeded
from smp.oof import Part
from smp.runner import Seeded, run_experiment
from smp.tracks.base import Data

Architecture = GAMENet | LyricNet | SpectrogramCNN
LABEL = "label"
Blocks = dict[str, FeatureMatrix]  # of all songs; a family of several kinds of columns is a block a kind


@dataclass(frozen=True)
class Network(Settings):
    """What an experiment states of a network; its own Config names the model."""

    model: Architecture
    training: Training = Training(batch_size=256, learning_rate=2e-3, clip=1.0)
    steps: int = 600  # of a training: its epochs are as many as that makes
    first_steps: int = 600  # of what is trained before, without labels
    features: tuple[str, ...] = ("sound", "low_level", "lyrics", "lyric_counts", "release", "genres")
    label_features: tuple[str, ...] = ("history", "career")
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)  # predictions are averaged over seeds


@dataclass(frozen=True)
class Sounds:
    """Log-mel spectrograms (m, mels, frames) float16 of the songs that have a recording; row (n,): of each, or -1."""

    mel: np.ndarray
    row: np.ndarray

    def stream(self, parts: Sequence[np.ndarray], rows: np.ndarray) -> Iterator[Batch]:
        """The spectrograms of one part of the positions `rows` after another, 0 where a song has none."""
        for part in parts:
            at = self.row[rows[part]]
            mel = np.where((at >= 0)[:, None, None], self.mel[at], 0)
            yield {MEL: torch.from_numpy(mel), f"{MEL}_there": torch.from_numpy((at >= 0).astype(np.float32))}


class Trained(Seeded):
    """A network on songs."""

    config: Network

    def __init__(self, run: Run, data: Data, folds: pd.DataFrame):
        super().__init__(run, data, folds)
        self.sounds = recordings(self.config.model, data) if isinstance(self.config.model, SpectrogramCNN) else None
        self.stored = stored(self.config, run.track, data)

    def given(self, part: Part) -> Blocks:
        return self.stored | from_labels(self.config, self.run.track, self.data, part)

    def fit(self, part: Part, given: Blocks, seed: int) -> tuple["Fitted", np.ndarray]:
        fitted = fit(self.config, given, self.data.labels, part.train, seed, self.sounds)
        return fitted, fitted.predict(given, part.query, self.sounds)


def run_network(script: str, config_class: type, track: str, small: dict | None = None) -> None:
    """Entry point of an experiment that trains a network on songs."""
    run_experiment(script, config_class, track, Trained, small)


def stored(config: Network, track: str, data: Data) -> Blocks:
    """The blocks of the families that never saw a label."""
    found = {name: features.load(track, (name,), data) for name in config.features}
    return {key: block for name, matrix in found.items() for key, block in _blocks(name, matrix).items()}


def from_labels(config: Network, track: str, data: Data, part: Part) -> Blocks:
    """The blocks of the families made from the labels that a part learns from."""
    shown, block = data.shown(part.train), part.label_blocks(data, 5)
    names = config.label_features
    found = {name: features.from_labels(track, (name,), data, shown, block, 0) for name in names}
    return {key: block for name, matrix in found.items() for key, block in _blocks(name, matrix).items()}


def _blocks(family: str, matrix: FeatureMatrix) -> Blocks:
    """A block, `<family>`; of columns such as low_level_MFCC_1 one a kind, `<family>.<kind>`."""
    family = family.removesuffix("_as_released")
    table = pd.DataFrame(matrix.dense(), columns=matrix.names)
    if family != "low_level":
        return {family: matrix}
    kinds = [re.sub(r"[\W_]*\d+$", "", name.removeprefix(f"{family}_")) for name in table]
    sizes = pd.Series(kinds).value_counts()
    kinds = [k if sizes[k] > 2 and k != "there" else "rest" for k in kinds]
    there = table[f"{family}_there"]
    made = {f"{family}.{k}": table.loc[:, [k == other for other in kinds]].copy() for k in dict.fromkeys(kinds)}
    return {k: FeatureMatrix.from_table(t.assign(**{f"{family}_there": there})) for k, t in made.items()}


def recordings(model: SpectrogramCNN, data: Data) -> Sounds | None:
    """The spectrograms of audio/<track>.wav beside the official files; None where there is none.

    Stereo is averaged, another rate resampled, a long recording cut in its middle, a short one filled with silence.
    """
    folder = paths.data("music") / "audio"
    row = np.full(len(data), -1)
    files = [folder / f"{post}.wav" for post in data.ids] if folder.is_dir() else []
    found = [(i, file) for i, file in enumerate(files) if file.is_file()]
    if not found:
        return None
    row[[i for i, _ in found]] = np.arange(len(found))
    with one_thread():
        return Sounds(np.stack([spectrogram(model, *samples(file)) for _, file in found]), row)


def samples(file: Path) -> tuple[int, np.ndarray]:
    """Rate and (t,) float32 samples in -1..1 of a wav file. Raises DataError where it is none."""
    try:
        rate, sound = wavfile.read(file)
        if not len(sound):
            raise ValueError("no sound in it")
    except (
        ValueError,
        OSError,
        EOFError,
        struct.error,
        UnboundLocalError,
        ZeroDivisionError,
    ) as error:  # of a bad header
        raise DataError(f"{file}: not a readable wav file ({str(error).splitlines()[0]}); write it again") from None
    scale = 1.0 if sound.dtype.kind == "f" else float(np.iinfo(sound.dtype).max)
    sound = sound.astype(np.float32) / scale
    return rate, sound.mean(axis=1) if sound.ndim > 1 else sound


def spectrogram(model: SpectrogramCNN, rate: int, sound: np.ndarray) -> np.ndarray:
    """(mels, frames) float16 log-mel spectrogram, standardised over the recording."""
    from torchaudio.functional import resample
    from torchaudio.transforms import MelSpectrogram

    wave = torch.from_numpy(sound)
    wave = resample(wave, rate, model.rate) if rate != model.rate else wave
    length = model.hop * (model.frames - 1)
    start = max(len(wave) - length, 0) // 2
    wave = nn.functional.pad(wave[start : start + length], (0, max(length - len(wave), 0)))
    mel = torch.log(MelSpectrogram(model.rate, model.n_fft, hop_length=model.hop, n_mels=model.mels)(wave) + 1e-4)
    return ((mel - mel.mean()) / (mel.std() + 1e-3)).half().numpy()


@dataclass(frozen=True)
class Fitted(FittedModel):
    """A trained network of songs; its readers are those of the blocks, and the label's."""

    KINDS: ClassVar = {GAMENet: GAMENetNetwork, LyricNet: LyricNetNetwork, SpectrogramCNN: SpectrogramCNNNetwork}

    @property
    def columns(self) -> dict[str, Columns]:
        return {name: reader for name, reader in self.readers.items() if name != LABEL}

    def predict(self, blocks: Blocks, rows: np.ndarray, sounds: Sounds | None = None) -> np.ndarray:
        """(m,) float64 labels of the named rows."""
        if not len(rows):  # a quantile is found of one row at least
            return np.empty(0)
        stream = _stream(tensors_of(self.columns, blocks, rows), sounds if MEL in self.shape else None, rows)
        label = self.readers[LABEL]
        return self.asked(self.network.predict, stream, len(rows)) * label.spread + label.mean


def tensors_of(columns: dict[str, Columns], blocks: Blocks, rows: np.ndarray) -> Batch:
    """Each block's numbers (m, d), and whether a song has any, (m,)."""
    tensors = {}
    for name, how in columns.items():
        block = blocks[name].take(rows)
        tensors[name] = torch.from_numpy(how.read(block)[0])
        flag = f"{name.split('.')[0]}_there"
        there = block.dense()[:, block.names.index(flag)] if flag in block.names else np.ones(len(rows), np.float32)
        tensors[f"{name}_there"] = torch.from_numpy(there)
    return tensors


def _stream(tensors: Batch, sounds: Sounds | None, rows: np.ndarray):
    """A stream of items of the tensors and, where there are recordings, of their spectrograms."""

    def stream(parts: Sequence[np.ndarray], seed: int) -> Iterator[Batch]:
        heard = sounds.stream(parts, rows) if sounds else ({} for _ in parts)
        for batch, more in zip(in_memory(tensors, parts, seed), heard):
            yield batch | more

    return stream


def fit(
    config: Network,
    blocks: Blocks,
    labels: np.ndarray,
    rows: np.ndarray,
    seed: int,
    sounds: Sounds | None = None,
) -> Fitted:
    """Train a network on the named rows of blocks and labels (n,)."""
    model, y = config.model, labels[rows]
    columns = {name: Columns.fit(block.take(rows), seed) for name, block in blocks.items()}
    columns = {name: how for name, how in columns.items() if how.width}
    tensors = tensors_of(columns, blocks, rows)
    scale = Scale(y.mean(), y.std() or 1.0)
    tensors[LABEL] = torch.as_tensor((y - scale.mean) / scale.spread, dtype=torch.float32)
    shape = {name: tensors[name].shape[1] for name in columns}
    if isinstance(model, SpectrogramCNN):
        tensors["kind"] = torch.from_numpy(np.searchsorted(model.bounds, y, side="right"))
        sounds = sounds if sounds and (sounds.row[rows] >= 0).any() else None
        shape |= {MEL: model.mels} if sounds else {}
    stream, at = _stream(tensors, sounds, rows), np.arange(len(rows))
    with seeded(seed), one_thread():
        network = Fitted.KINDS[type(model)](model, shape)
        if hasattr(network, "first"):
            train(network.first, stream, at, _of(config.training, config.first_steps, len(rows)), seed)
            network.first.requires_grad_(False)
        train(network, stream, at, _of(config.training, config.steps, len(rows)), seed)
    return Fitted(model, network, columns | {LABEL: scale}, shape)


def _of(training: Training, steps: int, rows: int) -> Training:
    """A training of so many steps; no batch is of one song, which no batch normalisation can read."""
    size = min(training.batch_size, rows)
    return replace(training, batch_size=size, drop_last=True, epochs=-(-steps // max(rows // size, 1)))
