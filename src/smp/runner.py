"""Runs one experiment: its command line, its folder, its cross-validation, its scores."""

import hashlib
import importlib.metadata
import json
import logging
import platform
import resource
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
import tyro

from smp import features, paths, tracks
from smp.disk.hashes import source_hash
from smp.disk.locks import acquire, locked, release
from smp.disk.store import read_note, replacing
from smp.errors import DataError, one_line_errors
from smp.folds import N_FOLDS, Scheme, label_blocks, load_folds
from smp.learners import Learner
from smp.learners.medians import local_median
from smp.matrix import FeatureMatrix
from smp.metrics import mean_and_errors
from smp.oof import Part, cross_fit, finished, parts_of, write_predictions
from smp.paths import ROOT
from smp.selection import Selection
from smp.tracks.load import ceiling, fingerprint, load_posts
from smp.tuning import search

log = logging.getLogger("smp")


@dataclass(frozen=True)
class Experiment:
    """What every first-level experiment states; an experiment's own Config gives the values."""

    learner: Learner
    features: tuple[str, ...]  # families that never saw a label
    label_features: tuple[str, ...] = ()  # families made from labels, computed inside the fold
    weight: Literal["uniform", "inverse_label"] = "uniform"  # inverse_label turns an L1 loss into MAPE
    keep: Selection = Selection()  # of the training posts; exp030_sample_selection compares shares
    seeds: tuple[int, ...] = (0, 1, 2)  # predictions are averaged over seeds
    median_folds: int = 0  # inner folds whose predictions bend the model to the median that the track's error asks for


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


def run_cv(script: str, config_class: type, track: str, small: dict | None = None) -> None:
    """Entry point of a first-level experiment: cross-validate its learner on its features and predict the test.

    `small`: values of the config in the small profile. Reads the posts, the fold table and the named features; writes
    the experiment's folder (files: see the README) and its row in scores.csv.
    """

    def fit_predict_of(run: Run, posts: pd.DataFrame, folds: pd.DataFrame) -> Callable[[Part], np.ndarray]:
        fit = _fitter(run, posts)
        learner = run.config.learner
        if run.tune:
            learner = _tuned(run, posts, fit)  # any number of processes may search; one fits
            release(_lock(run))  # a shared lock: two that kept theirs would wait for each other
            acquire(_lock(run))
        return lambda part: np.column_stack([fit(learner, part, seed) for seed in run.config.seeds])

    run_experiment(script, config_class, track, fit_predict_of, small)


def _fitter(run: Run, posts: pd.DataFrame) -> Callable[[Learner, Part, int], np.ndarray]:
    """The function that fits a learner with one seed on one part and predicts the part's other rows."""
    config, y = run.config, posts["label"].to_numpy()
    X = features.load(run.track, config.features, posts)

    def fit(learner: Learner, part: Part, seed: int) -> np.ndarray:
        part = replace(part, train=config.keep.rows(run.track, posts, part.train))
        block = label_blocks(posts, part.train if part.month else None)
        matrix = part_matrix(run.track, X, config.label_features, posts, part, block, seed)
        weight = 1 / y[part.train] if config.weight == "inverse_label" else None
        train, query = matrix.take(part.train), matrix.take(part.query)
        pred = learner.fit(train, y[part.train], weight, seed).predict(query)
        log.info("%s seed %d: %d rows x %d columns", part.name, seed, len(part.train), matrix.shape[1])
        if not config.median_folds:
            return pred
        inner = out_of_fold(learner, train, y[part.train], weight, seed, config.median_folds)
        return local_median(inner, y[part.train], tracks.get(run.track).task.weight(y[part.train]), pred)

    return fit


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
    track: str,
    X: FeatureMatrix,
    families: Sequence[str],
    posts: pd.DataFrame,
    part: Part,
    block: np.ndarray,
    seed: int,
) -> FeatureMatrix:
    """X (n, D) with the named label families beside it, made from the labels of the part's training rows alone."""
    if not families:
        return X
    visible = np.full(len(posts), np.nan)
    visible[part.train] = posts["label"].to_numpy()[part.train]
    return X.join(features.from_labels(track, families, posts, visible, block, seed))


def _tuned(run: Run, posts: pd.DataFrame, fit: Callable[[Learner, Part, int], np.ndarray]) -> Learner:
    """The best learner of an Optuna study on inner time folds: later blocks from earlier ones, never the holdout."""
    block, y, task = label_blocks(posts), posts["label"].to_numpy(), tracks.get(run.track).task
    inner = [
        Part(f"inner{b}", np.flatnonzero(block < b), np.flatnonzero(block == b)) for b in (N_FOLDS - 3, N_FOLDS - 2)
    ]

    def loss_of(learner: Learner) -> float:
        return float(np.mean([task.loss(y[p.query], fit(learner, p, run.config.seeds[0])) for p in inner]))

    fixed = {**run.settings, "config": {k: v for k, v in run.settings["config"].items() if k != "learner"}}
    name = hashlib.blake2b(json.dumps([fixed, fingerprint(run.track)]).encode(), digest_size=8).hexdigest()
    file = paths.output(run.track) / "studies" / f"{run.name}.db"
    return search(file, name, run.config.learner, loss_of, run.tune)


def run_experiment(
    script: str,
    config_class: type,
    track: str,
    fit_predict_of: Callable[[Run, pd.DataFrame, pd.DataFrame], Callable[[Part], np.ndarray]],
    small: dict | None = None,
) -> None:
    """The contract around any experiment that predicts labels: resume, refuse, cross-fit, score.

    `fit_predict_of(run, posts, folds)` gives the function that fits one part (smp.oof) and predicts its rows.
    """
    with one_line_errors():
        run = parse_run(script, config_class, track, small)
        if not open_folder(run):
            print(f"{run.name}: finished earlier, nothing to do")
            return
        started = time.perf_counter()
        posts = load_posts(track)
        folds = load_folds(track, posts, run.scheme)
        fit_predict = fit_predict_of(run, posts, folds)
        predictions = cross_fit(run.folder, posts.index, parts_of(posts, folds, tracks.get(track).months), fit_predict)
        write_predictions(run.folder, folds, predictions)
        metrics = score(track, posts["label"], folds, predictions)
        finish(run, {**metrics, "seconds": round(time.perf_counter() - started, 1)})


def run_features(
    script: str,
    config_class: type,
    track: str,
    make: Callable[[Run], dict],
    small: dict | None = None,
    shared: bool = False,
) -> None:
    """Entry point of an experiment that predicts no label itself: one that makes features, or trains what makes them.

    Every one of torchrun's ranks calls `make(run)`, which returns what metrics.json is to hold; rank 0 alone claims the
    folder and writes. A finished run is left alone. shared: of several processes, as `open_folder` has it.
    """
    from smp.nn.parallel import once, process_group  # torch: seconds to import

    with one_line_errors(), process_group():
        run = parse_run(script, config_class, track, small)
        if not once(open_folder, run, shared):
            once(print, f"{run.name}: finished earlier, nothing to do")
            return
        started = time.perf_counter()
        made = make(run)
        once(finish, run, {**made, "seconds": round(time.perf_counter() - started, 1)})


def parse_run(script: str, config_class: type, track: str, small: dict | None = None) -> Run:
    """The command line of an experiment: every field of its config, the folds, a variant's name, --force."""
    name, profile = Path(script).resolve().parent.name, paths.profile()
    default = replace(config_class(), **(small or {})) if profile == "small" else config_class()

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
            tune: search the learner's hyperparameters on inner time folds until so many trials are finished, and run
                the best as a variant of that name; the study is kept under output/studies and goes on where it stopped.
            force: delete what this experiment made before and start again.
        """
        suffix = "-".join(s for s in (variant, "" if scheme == "time" else scheme, "tuned" if tune else "") if s)
        used = (*getattr(config, "features", ()), *getattr(config, "label_features", ()))
        settings = {
            "config": json.loads(json.dumps(asdict(config))),
            "track": track, "scheme": scheme, "profile": profile, "data": data_name(track),
            "features": {f: features.key(track, f) for f in used},
            "parents": _parents(track, config),
            "tune": tune,
        }  # fmt: skip
        return Run(f"{name}@{suffix}" if suffix else name, track, config, settings, scheme, force, tune)

    return tyro.cli(options)


def _parents(track: str, config: Any) -> dict[str, str]:
    """Experiments the config reads -> a hash of what is read of each. Raises DataError where one is not finished."""
    files = {p: finished(track, p) / "oof.parquet" for p in getattr(config, "parents", ())}
    keep = getattr(config, "keep", None)
    files |= {keep.losses: keep.file(track)} if keep and keep.share < 1 else {}
    model = getattr(config, "model", None)
    if isinstance(model, str) and model.startswith("local-dir:"):  # as load_clip reads it
        from smp.encoders.clip import WEIGHTS  # torch: seconds to import

        name = model.removeprefix("local-dir:")
        if (file := paths.output(track) / name / WEIGHTS).exists():
            files[name] = file
    hashes = {p: source_hash(file) for p, file in files.items()}
    if parent := getattr(config, "parent", None):  # its embeddings are large; their keys name weights, data and code
        prefix = json.loads((finished(track, parent) / "config.json").read_text())["config"]["prefix"]
        stored = [paths.features(track) / f"{prefix}_{kind}.ids.parquet" for kind in ("image", "text")]
        hashes[parent] = "-".join(read_note(file).get("key", "") for file in stored)
    return hashes


def open_folder(run: Run, shared: bool = False) -> bool:
    """Claim the experiment's folder until this process ends; False when the very same run is finished there already.

    A second process waits here for the first. shared: they work side by side instead, for an experiment of many cells
    that `cross_fit` shares out. Raises DataError when the folder holds a run with other settings.
    """
    claim_output(run.track)
    settings = run.folder / "config.json"
    acquire(_lock(run), shared=(shared or run.tune > 0) and not run.force)
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


def _lock(run: Run) -> Path:
    return paths.lock(run.track, run.name)


def finish(run: Run, metrics: dict) -> None:
    """Write metrics.json, last of all, and the experiment's row in scores.csv."""
    gigabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    if platform.system() == "Darwin":
        gigabytes /= 2**10  # bytes there, KiB elsewhere
    packages = ("numpy", "pandas", "scikit-learn", "lightgbm", "catboost", "torch")
    record = {
        "experiment": run.name, "track": run.track, "scheme": run.scheme, "data": data_name(run.track),
        "profile": run.settings["profile"], **metrics, "peak_memory_gb": round(gigabytes, 2),
        "versions": {"python": platform.python_version(), **{p: importlib.metadata.version(p) for p in packages}},
        "commit": _commit(),
    }  # fmt: skip
    write_json(run.folder / "metrics.json", record)
    table = write_scores(run.track)
    if "cv" in metrics:
        print(table[table["experiment"] == run.name].to_string(index=False))
    log.info("finished: %s", json.dumps(record))


def score(track: str, label: pd.Series, folds: pd.DataFrame, predictions: dict[str, pd.DataFrame]) -> dict:
    """Every metric of the track, each beside the number of rows it was measured on.

    cv: the whole OOF column; folds: each apart; months (where there are any): the last ones, each from earlier ones;
    holdout: the last block, from a model that saw only earlier posts, with the averaged seeds and with each seed alone.
    """
    y = label.loc[folds.index]

    def measure(pred: pd.Series) -> dict:
        true = y.loc[pred.index].to_numpy()
        return {"rows": len(pred), **tracks.get(track).task.scores(true, pred.to_numpy())}

    per_fold = {k: v for k, v in predictions.items() if k.startswith("fold")}
    means = {k: v.mean(axis=1) for k, v in per_fold.items()}
    of_fold = [measure(m) for m in means.values()]
    last = predictions.get("holdout", predictions[f"fold{folds['fold'].max()}"])
    names = [m.name for m in tracks.get(track).task.metrics]
    return {
        **_score_months(track, label, predictions),
        "cv": measure(pd.concat(means.values())),
        "folds": of_fold,
        "fold_mean": {m: float(np.mean([f[m] for f in of_fold])) for m in names},
        "fold_sd": {m: float(np.std([f[m] for f in of_fold])) for m in names},
        "holdout": measure(last.mean(axis=1)),
        "holdout_by_seed": [measure(last[s]) for s in last.columns],
    }


def _score_months(track: str, label: pd.Series, predictions: dict[str, pd.DataFrame]) -> dict:
    """The mean error over the posts of the last months, and over the months, each with its standard error."""
    means = {k.removeprefix("month"): v.mean(axis=1) for k, v in predictions.items() if k.startswith("month")}
    if not means:
        return {}
    table = pd.concat(means, names=["month"]).reset_index("month")
    task = tracks.get(track).task
    losses = task.item_loss(label.loc[table.index].to_numpy(), table[0].to_numpy())
    by_month = pd.Series(losses).groupby(table["month"].to_numpy()).mean()
    return {"months": {"rows": len(table), "metric": task.error, **mean_and_errors(losses, table["month"].to_numpy()),
                       "by_month": by_month.to_dict()}}  # fmt: skip


def write_scores(track: str) -> pd.DataFrame:
    """Rebuild scores.csv from every finished experiment's metrics.json, and return it.

    months_error: mean over the last months, each predicted from earlier ones, of the track's error.
    share_of_ceiling: on demo data, the holdout score as a share of the best the generating model allows (the worst of
    the track's metrics; for errors the ceiling's error divided by ours).
    """
    with locked(paths.lock(track, "scores.csv")):
        return _write_scores(track)


def _write_scores(track: str) -> pd.DataFrame:
    rows = []
    for path in sorted(paths.output(track).glob("exp*/metrics.json")):
        m = json.loads(path.read_text())
        if "cv" not in m:
            continue  # an experiment that makes features, not predictions
        row = {k: m[k] for k in ("experiment", "track", "data", "profile", "scheme")}
        row["cv_rows"], row["holdout_rows"] = m["cv"]["rows"], m["holdout"]["rows"]
        best, metrics = ceiling(m["track"]) or {}, tracks.get(m["track"]).task.metrics
        for part in ("cv", "holdout"):
            for metric in metrics:
                row[f"{part}_{metric.name}"] = round(m[part][metric.name], 4)
        if "months" in m:
            row["months_error"] = round(m["months"]["mean_of_groups"], 4)
        if best:
            shares = [metric.share(m["holdout"][metric.name], best["holdout"][metric.name]) for metric in metrics]
            row["share_of_ceiling"] = round(min(shares), 3)
        rows.append({**row, "seconds": m["seconds"], "peak_memory_gb": m["peak_memory_gb"]})
    table = pd.DataFrame(rows)
    if table.empty:
        return table
    with replacing(paths.output(track) / "scores.csv") as aside:
        table.to_csv(aside, index=False)
    return table


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


def data_name(track: str) -> str:
    """`official` or `GENERATED DEMO`, as every result says."""
    return "GENERATED DEMO" if paths.is_demo(track) else "official"


def write_json(path: Path, value: dict) -> None:
    """Write aside, then rename."""
    with replacing(path) as aside:
        aside.write_text(json.dumps(value, indent=1) + "\n")


def _commit() -> str:
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or "unknown"
