"""Runs one experiment: claims its folder, fits its parts, writes what came of them."""

import hashlib
import importlib.metadata
import json
import logging
import platform
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from smp import features, memory, paths, tracks
from smp.disk.locks import acquire, locked, release
from smp.disk.store import write_json
from smp.errors import DataError, one_line_errors
from smp.experiment import Experiment, Run, parse_run
from smp.folds import label_level, load_folds
from smp.learners import Fitted, Learner
from smp.learners.medians import median_bend
from smp.matrix import FeatureMatrix
from smp.oof import Part, choosing_parts, cross_fit, parts_of, write_predictions
from smp.paths import ROOT
from smp.scores import score, write_scores
from smp.tracks.base import Data
from smp.tracks.load import data_name, fingerprint, load_data
from smp.tuning import search

log = logging.getLogger("smp")
BEND = "bend.json"  # beside a kept model, where its predictions are bent


class Model:
    """What an experiment fits: made once for a run, asked for one part after the other."""

    def __init__(self, run: Run, data: Data, folds: pd.DataFrame):
        self.run, self.config, self.data, self.folds = run, run.config, data, folds
        self.track = tracks.get(run.track)
        self.task = self.track.task
        self.parts = parts_of(data, folds, self.track.split)

    def predict(self, part: Part) -> np.ndarray:
        """Learn from the part's training rows and predict the others: (q, seeds), or (q, seeds, k) of k labels."""
        raise NotImplementedError


class Mean(Model):
    """The mean of the labels learnt from, one number for every item: the constant of least squared error."""

    def predict(self, part: Part) -> np.ndarray:
        return np.full((len(part.query), 1), self.data.labels[part.train].mean())


class Line(Model):
    """Least squares on the one column of the config's `features`."""

    def __init__(self, run: Run, data: Data, folds: pd.DataFrame):
        super().__init__(run, data, folds)
        self.x = features.load(run.track, self.config.features, data).dense()[:, 0].astype(np.float64)

    def predict(self, part: Part) -> np.ndarray:
        line = np.polyfit(self.x[part.train], self.data.labels[part.train], 1)
        return np.polyval(line, self.x[part.query])[:, None]


class Seeded(Model):
    """A model trained once a part and seed, and kept where it predicts the test or the holdout."""

    def given(self, part: Part) -> Any:
        """What all fits and predictions of a part read."""

    def fit(self, part: Part, given: Any, seed: int) -> tuple[Fitted, np.ndarray]:
        """A model trained on the part's training rows, and what it predicts of the others (q,)."""
        raise NotImplementedError

    def predict(self, part: Part) -> np.ndarray:
        made, given = [], self.given(part)
        for seed in self.config.seeds:
            if part.kind == "full" and not len(part.query) and made:  # one is kept; there is nothing to average
                made.append(made[0])
                continue
            fitted, predicted = self.fit(part, given, seed)
            made.append(predicted)
            if part.kind in ("full", "holdout"):  # studies ask the holdout's for more than predictions
                folder = "models" if part.kind == "full" else "holdout_models"
                fitted.save(self.run.folder / folder / f"seed{seed}")
        return np.stack(made, axis=1)


class Tabular(Model):
    """A learner on feature families, one fit a seed (and a label, where there are several)."""

    config: Experiment

    def __init__(self, run: Run, data: Data, folds: pd.DataFrame):
        super().__init__(run, data, folds)
        self.X = features.load(run.track, self.config.features, data)
        self.learner = self.config.learner
        if run.tune:
            self.learner = self.tuned()  # any number of processes may search; one fits
            release(run.lock)  # a shared lock: two that kept theirs would wait for each other
            acquire(run.lock)

    def predict(self, part: Part) -> np.ndarray:
        return np.stack([self.fit(self.learner, part, seed) for seed in self.config.seeds], axis=1)

    def fit(self, learner: Learner, part: Part, seed: int) -> np.ndarray:
        """Predictions (q,) or (q, k) of one seed."""
        config, kept = self.config, self.config.keep.rows(self.run.track, self.data.items, part.train)
        part = replace(part, train=kept)
        matrix = part_matrix(self.run.track, self.X, config.label_features, self.data, part, seed, config.label_blocks)
        log.info("%s seed %d: %d rows x %d columns", part.name, seed, len(part.train), matrix.shape[1])
        y, level = self.data.labels, np.zeros_like(self.data.labels)
        if config.level_blocks:
            level = label_level(self.data, part.train, config.level_blocks)
        keep = self.run.folder / "models" / f"seed{seed}" if part.kind == "full" else None
        if y.ndim == 1:
            return self.fit_label(learner, matrix, part, y, level, seed, keep)
        made = [
            self.fit_label(learner, matrix, part, y[:, j], level[:, j], seed, keep and keep / f"label{j}")
            for j in range(y.shape[1])
        ]
        return np.stack(made, axis=1)

    def fit_label(
        self,
        learner: Learner,
        X: FeatureMatrix,
        part: Part,
        label: np.ndarray,
        level: np.ndarray,
        seed: int,
        keep: Path | None,
    ) -> np.ndarray:
        """Predictions (q,) of one label (n,), learnt as what it has over its level (n,) in time.

        The trained model is kept in a folder where one is named.
        """
        train, y, at = X.take(part.train), label[part.train], level[part.train]
        weight = 1 / y if self.config.weight == "inverse_label" else None
        fitted = learner.fit(train, y - at, weight, seed)
        if keep:
            fitted.save(keep)
        pred = fitted.predict(X.take(part.query)) + level[part.query]
        if not self.config.median_folds:
            return pred
        inner = out_of_fold(learner, train, y - at, weight, seed, self.config.median_folds) + at
        bend = median_bend(inner, y, self.task.weight(y))
        if keep:
            write_json(keep / BEND, asdict(bend))
        return bend(pred)

    def tuned(self) -> Learner:
        """The best learner of an Optuna study on forward parts before the holdout: later rows from earlier ones."""
        run, parts = self.run, choosing_parts(self.parts)
        fixed = {**run.settings, "config": {k: v for k, v in run.settings["config"].items() if k != "learner"}}
        name = hashlib.blake2b(json.dumps([fixed, fingerprint(run.track)]).encode(), digest_size=8).hexdigest()
        file = paths.output(run.track) / "studies" / f"{run.name}.db"
        return search(file, name, self.learner, lambda learner: self.loss(learner, parts), run.tune)

    def loss(self, learner: Learner, parts: Sequence[Part]) -> float:
        """Mean loss of a learner over parts, with the first seed."""
        seed, y = self.config.seeds[0], self.data.labels
        return float(np.mean([self.task.loss(y[p.query], self.fit(learner, p, seed)) for p in parts]))


def out_of_fold(
    learner: Learner, X: FeatureMatrix, y: np.ndarray, weight: np.ndarray | None, seed: int, folds: int
) -> np.ndarray:
    """(n,) predictions of every training row by a model that did not learn from it, over random folds."""
    from sklearn.model_selection import KFold

    out = np.empty(len(y))
    for rows, rest in KFold(folds, shuffle=True, random_state=seed).split(y):
        fitted = learner.fit(X.take(rows), y[rows], None if weight is None else weight[rows], seed)
        out[rest] = fitted.predict(X.take(rest))
    return out


def part_matrix(
    track: str, X: FeatureMatrix, families: Sequence[str], data: Data, part: Part, seed: int, n_blocks: int = 5
) -> FeatureMatrix:
    """X (n, D) with the named label families beside it, made from the labels of the part's training rows alone."""
    if not families:
        return X
    shown, block = data.shown(part.train), part.label_blocks(data, n_blocks)
    return X.join(features.from_labels(track, families, data, shown, block, seed))


def run_cv(script: str, config_class: type, track: str, small: dict | None = None) -> None:
    """Entry point of a first-level experiment: cross-validate its learner on its features and predict the test.

    `small`: values of the config in the small profile. Reads the data, the fold table and the named features; writes
    the experiment's folder (files: see exp/README.md) and its row in scores.csv.
    """
    run_experiment(script, config_class, track, Tabular, small)


def run_experiment(script: str, config_class: type, track: str, model: type[Model], small: dict | None = None) -> None:
    """The contract around any experiment that predicts labels: resume, refuse, cross-fit, score."""
    with one_line_errors():
        run = parse_run(script, config_class, track, small)
        if not open_folder(run):
            print(f"{run.name}: finished earlier, nothing to do")
            return
        started = time.perf_counter()
        data = load_data(track)
        folds = load_folds(track, data, run.scheme)
        fitting = model(run, data, folds)
        made = cross_fit(run.folder, data.ids, fitting.parts, fitting.predict)
        write_predictions(run.folder, data, folds, tracks.get(track).split, made)
        metrics = score(track, data, made)
        finish(run, {**metrics, "seconds": round(time.perf_counter() - started, 1)})


def run_make(
    script: str,
    config_class: type,
    track: str,
    make: Callable[[Run], dict],
    small: dict | None = None,
    shared: bool = False,
    variants: dict[str, dict] | None = None,
) -> None:
    """Entry point of an experiment that predicts no label itself: one that makes features, or answers a question.

    Every one of torchrun's ranks calls `make(run)`, which returns what metrics.json is to hold; rank 0 alone claims the
    folder and writes. A finished run is left alone. shared: of several processes, as `open_folder` has it. small,
    variants: as `parse_run` has them.
    """
    from smp.nn.parallel import once, process_group  # torch: seconds to import

    with one_line_errors(), process_group():
        run = parse_run(script, config_class, track, small, variants)
        if not once(open_folder, run, shared):
            once(print, f"{run.name}: finished earlier, nothing to do")
            return
        started = time.perf_counter()
        made = make(run)
        once(finish, run, {**made, "seconds": round(time.perf_counter() - started, 1)})


def open_folder(run: Run, shared: bool = False) -> bool:
    """Claim the experiment's folder until this process ends; False when the very same run is finished there already.

    A second process waits here for the first. shared: they work side by side instead, for an experiment of many cells
    that `cross_fit` shares out. Raises DataError when the folder holds a run with other settings.
    """
    claim_output(run.track)
    settings = run.folder / "config.json"
    acquire(run.lock, shared=(shared or run.tune > 0) and not run.force)
    if run.force and run.folder.exists():
        trash = run.folder.with_name(f".{run.name}.deleted")
        shutil.rmtree(trash, ignore_errors=True)  # of a run that was killed here
        run.folder.rename(trash)  # at once: a half-deleted folder would be taken for a half-finished run
        shutil.rmtree(trash)
    if settings.exists():
        found = json.loads(settings.read_text())
        other = sorted(k for k in {*found, *run.settings} if found.get(k) != run.settings.get(k))
        if other:
            raise DataError(
                f"{settings}: made with other {', '.join(other)}; keep both with --variant NAME or "
                "start again with --force"
            )
        if (run.folder / "metrics.json").exists():
            return False
    else:
        write_json(settings, run.settings)
    logging.raiseExceptions = False  # a full disk is told once, by what cannot be written, not by the log too
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(message)s",
        handlers=[logging.FileHandler(run.folder / "log.txt")],
        force=True,
    )
    log.info("%s %s", run.name, json.dumps(run.settings))
    return True


def finish(run: Run, metrics: dict) -> None:
    """Write metrics.json, last of all, and the experiment's row in scores.csv."""
    packages = ("numpy", "pandas", "scikit-learn", "lightgbm", "catboost", "torch")
    record = {
        "experiment": run.name,
        "track": run.track,
        "scheme": run.scheme,
        "data": data_name(run.track),
        "profile": run.settings["profile"],
        **metrics,
        "peak_memory_gb": round(memory.peak_gb(), 2),
        "versions": {"python": platform.python_version(), **{p: importlib.metadata.version(p) for p in packages}},
        "commit": _commit(),
    }
    write_json(run.folder / "metrics.json", record)
    table = write_scores(run.track)
    if "cv" in metrics:
        print(table[table["experiment"] == run.name].to_string(index=False))
    log.info("finished: %s", json.dumps(record))


def claim_output(track: str) -> None:
    """Stamp the output folder with data fingerprint and profile (run.json). Raises DataError on a mismatch."""
    path = paths.output(track) / "run.json"
    mine = {"data": data_name(track), "fingerprint": fingerprint(track), "profile": paths.profile()}
    with locked(paths.lock(track, "run.json")):
        stamps = json.loads(path.read_text()) if path.exists() else {}
        if stamps.setdefault(track, mine) != mine:
            other = [k for k, v in mine.items() if stamps[track].get(k) != v]
            raise DataError(
                f"{path}: this folder holds {track} results of another {' and '.join(other)}; "
                f"point SMP_OUTPUT at another folder, or delete {path.parent}"
            )
        write_json(path, stamps)


def _commit() -> str:
    """What git calls this checkout; unknown outside one, and on a machine without git."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12"]
    with suppress(OSError):
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or "unknown"
    return "unknown"
