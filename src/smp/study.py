"""What studies are made of: cells, each a model cross-validated one way, shared by as many processes as there are."""

import ctypes
import json
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from joblib.externals.loky import get_reusable_executor

from smp import tracks
from smp.disk.locks import locked
from smp.disk.store import read_note, read_table, write_table
from smp.errors import DataError
from smp.evidence import Gain, gain
from smp.metrics import Metric
from smp.oof import Part, fold_parts, parts_of
from smp.progress import progress
from smp.tracks.base import Data

Cell = tuple[
    pd.DataFrame, dict[str, float | list[float]]
]  # out-of-fold predictions (fold, a column a seed), and what they cost


def run_cells(folder: Path, cells: Sequence[str], make: Callable[[str], Cell], processes: int = 1) -> dict[str, Cell]:
    """Every cell's table and costs; what has no file `<cell>.parquet` in `folder` yet is made, and written aside.

    Any number of processes, started here or by hand, may work on one folder: a cell is claimed by a lock that the
    system takes back when its owner dies. make: picklable where processes > 1.
    """
    attempts = joblib.Parallel(processes, return_as="generator_unordered")(
        joblib.delayed(_attempt)(folder / f"{cell}.parquet", make, wait=False) for cell in cells
    )
    with warnings.catch_warnings():  # a worker that grew is replaced, which is no news
        warnings.filterwarnings("ignore", "A worker stopped", UserWarning)
        for _ in progress(attempts, total=len(cells), desc=folder.parent.name, unit="cell"):
            pass
    if processes > 1:  # else a forked stage would wait minutes at its end for the idle workers to leave
        get_reusable_executor().shutdown(wait=True)
    for cell in cells:  # claimed by others, or left by one that died meanwhile
        _attempt(folder / f"{cell}.parquet", make, wait=True)
    return {cell: _read(folder / f"{cell}.parquet") for cell in cells}


def _attempt(path: Path, make: Callable[[str], Cell], wait: bool) -> None:
    with locked(path.with_name(f".{path.stem}.lock"), wait=wait) as mine:
        if mine and not path.exists():
            table, costs = make(path.stem)
            write_table(path, table, {"costs": json.dumps(costs)})


def _read(path: Path) -> Cell:
    return read_table(path), json.loads(read_note(path)["costs"])


def cross_predict(
    track: str,
    data: Data,
    folds: pd.DataFrame,
    seeds: Sequence[int],
    fit_predict: Callable[[Part, int], np.ndarray],
) -> Cell:
    """Out-of-fold predictions of every labelled post, a column a seed.

    Raises DataError where the folds are not blocks in time. Costs: `fit_seconds`, mean processor time of a fit (which
    does not grow when other work shares the machine, and knows nothing of a GPU's), `fit_wall_seconds`, and `fit_mb`,
    the mean growth of the process's peak memory while it ran (Linux; elsewhere NaN); the seconds of every seed's fits,
    their means, under the same names with `_of_seed`.
    """
    tables, seconds, walls, megabytes = [], [], [], []
    parts = fold_parts(parts_of(data, folds, tracks.get(track).split))
    if parts[-1].kind != "holdout":
        raise DataError("a study's holdout is the last fold in time: run it without --scheme")
    for part in parts:
        columns = {}
        for seed in seeds:
            before, started, wall = _reset_peak(), time.process_time(), time.perf_counter()
            columns[f"seed{seed}"] = fit_predict(part, seed)
            seconds.append(time.process_time() - started)
            walls.append(time.perf_counter() - wall)
            megabytes.append(_peak() - before)
        tables.append(pd.DataFrame(columns, index=data.ids[part.query]))
    table = pd.concat(tables).reindex(folds.index)
    table.insert(0, "fold", folds["fold"])
    costs = {"fit_seconds": seconds, "fit_wall_seconds": walls, "fit_mb": megabytes}
    of_seed = {n: np.reshape(costs[n], (len(parts), -1)).mean(0).tolist() for n in ("fit_seconds", "fit_wall_seconds")}
    mean = {name: float(np.mean(values)) for name, values in costs.items()}
    return table, mean | {f"{name}_of_seed": values for name, values in of_seed.items()}


def seed_scores(track: str, data: Data, folds: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """A row a seed: cv_<metric> over all rows, holdout_<metric> over the last block in time."""
    at, held = data.ids.get_indexer(folds.index), folds["holdout"].to_numpy()
    y, items = data.labels[at], data.items.iloc[at]
    rows, task = {}, tracks.get(track).task
    for seed in table.columns.drop("fold"):
        pred = table[seed].to_numpy()
        rows[seed] = {f"cv_{name}": value for name, value in task.scores(y, pred, items).items()}
        late = task.scores(y[held], pred[held], items[held])
        rows[seed] |= {f"holdout_{name}": value for name, value in late.items()}
    return pd.DataFrame(rows).T


def spread(scores: pd.DataFrame) -> dict[str, float]:
    """Mean over the rows of `seed_scores` under its name, and standard deviation as `<name>_sd`."""
    return {**scores.mean().to_dict(), **scores.std(ddof=0).add_suffix("_sd").to_dict()}


def held_gain(
    track: str, data: Data, folds: pd.DataFrame, metric: Metric, a: pd.DataFrame, b: pd.DataFrame, **asked
) -> Gain:
    """What the table of `cross_predict` a gains over b on the holdout, users' posts together (smp.evidence.gain)."""
    held = folds["holdout"].to_numpy()
    rows = data.ids.get_indexer(folds.index[held])
    ours, theirs = (table.drop(columns="fold").to_numpy()[held] for table in (a, b))
    user = data.users[rows]
    return gain(metric, data.labels[rows], ours, theirs, user, **asked)


def side_by_side(
    metric: Metric, y: np.ndarray, predicted: dict[str, np.ndarray], pairs: Sequence[tuple[str, str]], group: np.ndarray
) -> pd.DataFrame:
    """A row a pair of predictions (q, seeds[, k]) of the labels y: the metric of both, mean and sd over the seeds that
    both have, and what the first gains (smp.evidence.gain, of as many as there are pairs; group (q,): drawn together).
    Predictions of one seed stand beside each seed of the other.
    """
    rows = []
    for pair in pairs:
        both = [predicted[name] for name in pair]
        most = max(p.shape[1] for p in both)
        both = [np.repeat(p, most, axis=1) if p.shape[1] == 1 else p for p in both]
        seeds = min(p.shape[1] for p in both)
        a, b = (p[:, :seeds] for p in both)
        of = np.array([[metric(y, p[:, s]) for s in range(seeds)] for p in (a, b)])
        made = gain(metric, y, a, b, group, tried=len(pairs))
        row = {
            "system": pair[0],
            "compared with": pair[1],
            "seeds": seeds,
            metric.name: of[0].mean(),
            "sd": of[0].std(),
        }
        row |= {f"other {metric.name}": of[1].mean(), "other sd": of[1].std()}
        rows.append(row | {"gain": made.mean, "se": made.se, "p": made.p, "better": made.answer})
    return pd.DataFrame(rows)


def claims(table: pd.DataFrame, metric: Metric) -> list[dict[str, str]]:
    """What `side_by_side` answers, a claim a row."""
    name, found = metric.name, []
    for row in table.to_dict("records"):
        numbers = f"{name} {row[name]:.3f} and {row[f'other {name}']:.3f}, gain {row['gain']:+.3f} (se {row['se']:.3f})"
        claim = f"{row['system']} is better than {row['compared with']}"
        found.append({"claim": claim, "answer": row["better"], "numbers": numbers})
    return found


def say(answers: Sequence[dict[str, str]]) -> None:
    """Print what a study found: each with its claim, its answer (yes, no, ...) and the numbers behind it."""
    print(*(f"{a['claim']}\n  -> {a['answer']}: {a['numbers']}" for a in answers), sep="\n")


def _reset_peak() -> float:
    """Give free memory back to the system and forget the process's peak; returns what it holds now (MB)."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
    except (OSError, AttributeError, TypeError):  # not Linux
        return np.nan
    return _peak()


def _peak() -> float:
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return np.nan
    return int(status.split("VmHWM:")[1].split()[0]) / 1024
