"""What a final model looks at: importances and SHAP values of the best LightGBM in it, as its experiment kept it."""

import hashlib
import json
from dataclasses import dataclass

import numpy as np
import pandas as pd

from smp import features, learners, paths, tracks
from smp.disk.store import read_note, read_table, write_table
from smp.oof import parts_of
from smp.report.results import Results
from smp.runner import part_matrix

ROWS = 2000  # posts explained
SHOWN = 20  # features drawn


@dataclass(frozen=True)
class Explanation:
    """importance: feature, gain (share of the total), shap (mean |contribution| in units of the label), all features.

    values, shap: (rows, SHOWN) of the features with the largest shap, columns by name.
    """

    experiment: str
    importance: pd.DataFrame
    values: pd.DataFrame
    shap: pd.DataFrame


def representative(results: Results) -> str:
    """The best LightGBM on the holdout of those the final experiment combines, or of all; empty where there is none."""
    names = _config(results, results.final).get("parents") or list(results.metrics)
    for name in results.best_first["experiment"]:
        if name in names and (_config(results, name).get("learner") or {}).get("class") == "LightGBM":
            return name
    return ""


def explain(results: Results) -> Explanation | None:
    """Exact TreeSHAP values by the representative as it was fitted on all labels; kept once made.

    Of test posts, or of the holdout's where a track has no test.
    """
    name = representative(results)
    if not name:
        return None
    folder = paths.output(results.track) / "report"
    settings = (results.folder / name / "config.json").read_bytes()
    key = hashlib.blake2b(settings + f"{ROWS} {SHOWN}".encode(), digest_size=8).hexdigest()
    files = {part: folder / f"{results.track}_{part}.parquet" for part in ("importance", "values", "shap")}
    if not all(read_note(f).get("key") == key for f in files.values()):
        for part, table in _explain(results, name).items():
            write_table(files[part], table, {"key": key})
    return Explanation(name, **{part: read_table(f) for part, f in files.items()})


def _explain(results: Results, name: str) -> dict[str, pd.DataFrame]:
    data, config = results.data, _config(results, name)
    seed = config["seeds"][0]
    kept = results.folder / name / "models" / f"seed{seed}"
    model = learners.load(kept / "label0" if (kept / "label0").exists() else kept)
    folds, split = read_table(paths.fold_table(results.track)), tracks.get(results.track).split
    full = next(p for p in parts_of(data, folds, split) if p.kind == "full")
    asked = full.query if len(full.query) else data.ids.get_indexer(folds.index[folds["holdout"]])
    X = features.load(results.track, config["features"], data)
    X = part_matrix(results.track, X, config["label_features"], data, full, seed, config["label_blocks"])
    rows = np.sort(np.random.default_rng(0).permutation(asked)[:ROWS])
    values = X.take(rows).dense()
    shap = model.booster.predict(values, pred_contrib=True)[:, :-1]  # the last column is the mean prediction
    gain = np.array([model.importance()[n] for n in X.names])
    importance = pd.DataFrame({"feature": X.names, "gain": gain / gain.sum(), "shap": np.abs(shap).mean(axis=0)})
    importance = importance.sort_values("shap", ascending=False, ignore_index=True)
    shown = [X.names.index(n) for n in importance["feature"][:SHOWN]]
    index, columns = data.ids[rows], list(importance["feature"][:SHOWN])
    return {
        "importance": importance,
        "values": pd.DataFrame(values[:, shown], index=index, columns=columns),
        "shap": pd.DataFrame(shap[:, shown], index=index, columns=columns),
    }


def _config(results: Results, name: str) -> dict:
    return json.loads((results.folder / name / "config.json").read_text())["config"]
