"""What one experiment states: its config, its command line, and everything its artifacts depend on."""

import json
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import tyro

from smp import features, paths
from smp.disk.hashes import source_hash
from smp.disk.store import read_note
from smp.errors import DataError
from smp.folds import Scheme
from smp.learners import Learner
from smp.learners.kept import restored
from smp.oof import finished
from smp.selection import Selection
from smp.tracks.load import data_name, media_key

Weight = Literal["uniform", "inverse_label"]


class Settings:
    """What every Config can be asked of what it reads."""

    features = ()  # families, or embeddings of experiments
    label_features = ()  # families made from labels
    media = False  # whether pictures or videos are read: then those that are there are part of the settings

    def inputs(self, track: str) -> dict[str, str]:
        """What is read of other experiments: their name -> a hash of it. Raises DataError where one is unfinished."""
        return {}


@dataclass(frozen=True)
class Experiment(Settings):
    """What every first-level experiment states; an experiment's own Config gives the values."""

    learner: Learner
    features: tuple[str, ...]  # families that never saw a label
    label_features: tuple[str, ...] = ()  # families made from labels, computed inside each fit
    label_blocks: int = 5  # blocks in time that the labels learnt from are seen in, one after the other
    level_blocks: int = 0  # the label less its level over so many blocks is learnt (smp.folds.label_level); 0: itself
    weight: Weight = "uniform"  # inverse_label turns an L1 loss into MAPE
    keep: Selection = Selection()  # of the training posts; exp030_sample_selection compares shares
    seeds: tuple[int, ...] = (0, 1, 2)  # predictions are averaged over seeds
    median_folds: int = 0  # inner folds whose predictions bend the model to the median that the track's error asks for

    def __post_init__(self):
        if self.weight not in get_args(Weight):
            raise DataError(f"weight '{self.weight}': must be one of {', '.join(get_args(Weight))}")

    def inputs(self, track: str) -> dict[str, str]:
        return {self.keep.losses: source_hash(self.keep.file(track))} if self.keep.share < 1 else {}


@dataclass(frozen=True)
class Run:
    """One experiment on one data set: everything its artifacts depend on."""

    name: str  # the experiment's folder name, with @variant
    track: str
    config: Any
    settings: dict  # what config.json holds; another run in the same folder must have the same
    scheme: Scheme = "time"
    force: bool = False
    tune: int = 0  # trials of the learner's hyperparameter search

    @property
    def folder(self) -> Path:
        return paths.output(self.track) / self.name

    @property
    def lock(self) -> Path:
        return paths.lock(self.track, self.name)


def parse_run(
    script: str, config_class: type, track: str, small: dict | None = None, variants: dict[str, dict] | None = None
) -> Run:
    """The command line of an experiment: every field of its config, the folds, a variant's name, --force.

    small: values of the small profile. variants: of the variants that the experiment names itself.
    """
    name, profile = Path(script).resolve().parent.name, paths.profile()
    named = ArgumentParser(add_help=False, allow_abbrev=False)
    named.add_argument("--variant")
    values = (variants or {}).get(named.parse_known_args()[0].variant, {})
    default = replace(config_class(), **((small or {}) if profile == "small" else {}) | values)

    def options(
        config: Annotated[config_class, tyro.conf.arg(name="")] = default,
        scheme: Scheme = "time",
        variant: str = "",
        tune: int = 0,
        force: bool = False,
    ) -> Run:
        """Run the experiment.

        Args:
            config: values of this run; another value than the default belongs to a variant of its own.
            scheme: how the labelled posts are folded; another than `time` is a variant of that name.
            variant: name of a variant, kept in a folder of its own (expNNN_name@VARIANT).
            tune: search the learner's hyperparameters on forward parts before the holdout until so many trials are
                finished, and run the best as a variant of that name; the study is kept under output/studies and goes on
                where it stopped.
            force: delete what this experiment made before and start again.
        """
        suffix = "-".join(s for s in (variant, "" if scheme == "time" else scheme, "tuned" if tune else "") if s)
        settings = {
            "config": stated(config),
            "track": track,
            "scheme": scheme,
            "profile": profile,
            "data": data_name(track),
            "features": features.named(track, config.features, config.label_features),
            "parents": config.inputs(track),
            "tune": tune,
        }
        if config.media:
            settings["media"] = media_key(track)
        return Run(f"{name}@{suffix}" if suffix else name, track, config, settings, scheme, force, tune)

    return tyro.cli(options)


def stated(config: Any) -> dict:
    """A config as config.json has it: its fields, and of every value that has fields the name of its class too."""
    return {f.name: _plain(getattr(config, f.name)) for f in fields(config)}


def fields_of(kept: dict) -> dict:
    """The fields of a value that `stated` wrote among those of a config, without the name of its class."""
    return {name: value for name, value in kept.items() if name != "class"}


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {"class": type(value).__name__, **stated(value)}
    return json.loads(json.dumps(value))  # tuples become lists, as they will be when read again


def config_of(track: str, name: str, kind: type) -> Any:
    """What a finished experiment stated, as the config class `kind`. Raises DataError where it is not finished."""
    return restored(kind, json.loads((finished(track, name) / "config.json").read_text())["config"])


def predictions_read(track: str, experiments: Sequence[str]) -> dict[str, str]:
    """Hashes of what a second level reads of finished experiments."""
    found = {name: finished(track, name) for name in experiments}
    files = ("oof.parquet", "forward.parquet", "test.parquet")
    return {name: source_hash(*(folder / file for file in files)) for name, folder in found.items()}


def embeddings_read(track: str, experiment: str) -> dict[str, str]:
    """The keys of a finished experiment's embeddings, which are large: they name weights, data and code."""
    prefix = json.loads((finished(track, experiment) / "config.json").read_text())["config"]["prefix"]
    stored = [paths.features(track) / f"{prefix}_{kind}.ids.parquet" for kind in ("image", "text")]
    return {experiment: "-".join(read_note(file).get("key", "") for file in stored)}
