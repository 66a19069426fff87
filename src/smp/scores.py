"""What was measured: the scores of an experiment's parts, and one table of all experiments of an output folder."""

import json

import numpy as np
import pandas as pd

from smp import paths, tracks
from smp.disk.locks import locked
from smp.disk.store import replacing
from smp.metrics import mean_and_errors
from smp.oof import Made, by_seed, fold_parts, forward_parts, holdout_of
from smp.tracks.base import Data
from smp.tracks.load import ceiling


def score(track: str, data: Data, made: Made) -> dict:
    """Every metric of the track, each beside the number of rows it was measured on.

    cv: the whole OOF column; folds: each apart; forward (where there are such parts): the rows before the holdout, each
    predicted from earlier ones; holdout: the last block, from a model that saw only earlier posts, with the averaged
    seeds and with each seed alone. not_yet_known (where there are any): how many of the labels that a part learnt from
    were not known when its first row was asked.
    """
    room, y, tables = tracks.get(track), data.labels, dict(made)
    means = {part: by_seed(table, y).mean(axis=1) for part, table in tables.items()}
    names = [metric.name for metric in room.task.metrics]

    def measure(rows: np.ndarray, pred: np.ndarray) -> dict:
        return {"rows": len(rows), **room.task.scores(y[rows], pred, data.items.iloc[rows])}

    folds, last = fold_parts(list(tables)), holdout_of(list(tables))
    of_fold = [measure(p.query, means[p]) for p in folds]
    seeds = by_seed(tables[last], y)
    scores = {
        "cv": measure(np.concatenate([p.query for p in folds]), np.concatenate([means[p] for p in folds])),
        "folds": of_fold,
        "fold_mean": {m: float(np.mean([f[m] for f in of_fold])) for m in names},
        "fold_sd": {m: float(np.std([f[m] for f in of_fold])) for m in names},
        "holdout": measure(last.query, means[last]),
        "holdout_by_seed": [measure(last.query, seeds[:, s]) for s in range(seeds.shape[1])],
    }
    if early := {part.name: part.unknown for part in tables if part.unknown}:
        scores["not_yet_known"] = early
    if any(part.kind == "forward" for part in tables):
        forward = forward_parts(list(tables), room.split)
        rows, pred = (np.concatenate(v) for v in zip(*((p.query, means[p]) for p in forward.values())))
        key, before = np.repeat(list(forward), [len(p.query) for p in forward.values()]), np.isin(rows, last.train)
        scores["forward"] = {
            **(measure(rows[before], pred[before]) if before.any() else {"rows": 0}),
            "parts": {k: measure(p.query, means[p]) for k, p in forward.items()},
            "every": {
                "rows": len(rows),
                "metric": room.task.error,
                **mean_and_errors(room.task.item_loss(y[rows], pred), key),
            },
        }
    return scores


def write_scores(track: str) -> pd.DataFrame:
    """Rebuild scores.csv from every finished experiment's metrics.json, and return it.

    forward_<metric>: of the rows before the holdout that were predicted from earlier ones. parts_error: the mean over
    all forward parts of the track's error. share_of_ceiling: on demo data, the holdout score as a share of the best the
    generating model allows (the worst of the track's metrics; for errors the ceiling's error divided by ours).
    not_yet_known: the parts that learnt from labels not known by then, and from how many.
    """
    with locked(paths.lock(track, "scores.csv")):
        rows = [json.loads(path.read_text()) for path in sorted(paths.output(track).glob("exp*/metrics.json"))]
        table = pd.DataFrame([_row(m) for m in rows if "cv" in m])  # others make features, not predictions
        if not table.empty:
            with replacing(paths.output(track) / "scores.csv") as aside:
                table.to_csv(aside, index=False)
        return table


def _row(m: dict) -> dict:
    row = {k: m[k] for k in ("experiment", "track", "data", "profile", "scheme")}
    metrics, best = tracks.get(m["track"]).task.metrics, ceiling(m["track"])
    parts = [part for part in ("cv", "forward", "holdout") if part in m]
    row |= {f"{part}_rows": m[part]["rows"] for part in parts}
    for part in parts:
        row |= {f"{part}_{metric.name}": round(m[part].get(metric.name, np.nan), 4) for metric in metrics}
    if "forward" in m:
        row["parts_error"] = round(m["forward"]["every"]["mean_of_groups"], 4)
    if "not_yet_known" in m:
        row["not_yet_known"] = ", ".join(f"{part} {count}" for part, count in m["not_yet_known"].items())
    if best and "holdout" in best:
        shares = [metric.share(m["holdout"][metric.name], best["holdout"][metric.name]) for metric in metrics]
        row["share_of_ceiling"] = round(min(shares), 3)
    return {**row, "seconds": m["seconds"], "peak_memory_gb": m["peak_memory_gb"]}
