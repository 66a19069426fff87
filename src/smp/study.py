"""What studies are made of: cells, each a model cross-validated one way, shared by as many processes as there are."""

import json
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from filelock import FileLock, Timeout
from tqdm import tqdm

from smp.data.store import read_note, read_table, write_table
from smp.metrics import TRACK_METRICS
from smp.oof import Part, parts_of
from smp.paths import Track

Cell = tuple[pd.DataFrame, dict[str, float]]  # out-of-fold predictions (fold, a column a seed), and what they cost


def run_cells(folder: Path, cells: Sequence[str], make: Callable[[str], Cell], processes: int = 1) -> dict[str, Cell]:
    """Every cell's table and costs; what has no file `<cell>.parquet` in `folder` yet is made, and written aside.

    Any number of processes, started here or by hand, may work on one folder: a cell is claimed by a lock that the
    system takes back when its owner dies. make: picklable where processes > 1.
    """
    attempts = joblib.Parallel(processes, return_as="generator_unordered")(
        joblib.delayed(_attempt)(folder / f"{cell}.parquet", make, wait=0) for cell in cells
    )
    with warnings.catch_warnings():  # a worker that grew is replaced, which is no news
        warnings.filterwarnings("ignore", "A worker stopped", UserWarning)
        for _ in tqdm(attempts, total=len(cells), desc=folder.parent.name, unit="cell"):
            pass
    for cell in cells:  # claimed by others, or left by one that died meanwhile
        _attempt(folder / f"{cell}.parquet", make, wait=-1)
    return {cell: _read(folder / f"{cell}.parquet") for cell in cells}


def _attempt(path: Path, make: Callable[[str], Cell], wait: float) -> None:
    claim = path.with_name(f".{path.stem}.lock")
    claim.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(claim, timeout=wait):
            if not path.exists():
                table, costs = make(path.stem)
                write_table(path, table, {"costs": json.dumps(costs)})
    except Timeout:
        pass


def _read(path: Path) -> Cell:
    return read_table(path), json.loads(read_note(path)["costs"])


def cross_predict(
    posts: pd.DataFrame, folds: pd.DataFrame, seeds: Sequence[int], fit_predict: Callable[[Part, int], np.ndarray]
) -> Cell:
    """Out-of-fold predictions of every labelled post, a column a seed.

    Costs: `fit_seconds`, mean processor time of a fit (which does not grow when other work shares the machine), and
    `fit_mb`, the mean growth of the process's peak memory while it ran (Linux; elsewhere NaN).
    """
    tables, seconds, megabytes = [], [], []
    for part in parts_of(posts, folds):
        if not part.name.startswith("fold"):
            continue
        columns = {}
        for seed in seeds:
            before, started = _reset_peak(), time.process_time()
            columns[f"seed{seed}"] = fit_predict(part, seed)
            seconds.append(time.process_time() - started)
            megabytes.append(_peak() - before)
        tables.append(pd.DataFrame(columns, index=posts.index[part.query]))
    table = pd.concat(tables).reindex(folds.index)
    table.insert(0, "fold", folds["fold"])
    return table, {"fit_seconds": float(np.mean(seconds)), "fit_mb": float(np.mean(megabytes))}


def seed_scores(track: Track, posts: pd.DataFrame, folds: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """A row a seed: cv_<metric> over all rows, holdout_<metric> over the last block in time."""
    y, held = posts["label"].loc[folds.index].to_numpy(), folds["holdout"].to_numpy()
    rows = {}
    for seed in table.columns.drop("fold"):
        pred = table[seed].to_numpy()
        rows[seed] = {f"cv_{name}": metric(y, pred) for name, metric in TRACK_METRICS[track].items()}
        rows[seed] |= {f"holdout_{name}": m(y[held], pred[held]) for name, m in TRACK_METRICS[track].items()}
    return pd.DataFrame(rows).T


def spread(scores: pd.DataFrame) -> dict[str, float]:
    """Mean over the rows of `seed_scores` under its name, and standard deviation as `<name>_sd`."""
    return {**scores.mean().to_dict(), **scores.std(ddof=0).add_suffix("_sd").to_dict()}


def say(answers: Sequence[dict[str, str]]) -> None:
    """Print what a study found: each with its claim, its answer (yes, no, ...) and the numbers behind it."""
    print(*(f"{a['claim']}\n  -> {a['answer']}: {a['numbers']}" for a in answers), sep="\n")


def _reset_peak() -> float:
    """Forget the process's peak memory; returns what it holds now (MB)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return np.nan
    return _peak()


def _peak() -> float:
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return np.nan
    return int(status.split("VmHWM:")[1].split()[0]) / 1024
