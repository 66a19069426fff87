"""What a final model looks at: importances and SHAP values of one of its parts, fitted again on the earlier posts."""

import hashlib
import json
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd

from smp import features, paths
from smp.disk.store import read_note, read_table, write_table
from smp.learners import LightGBM
from smp.oof import Part
from smp.report.results import Results
from smp.runner import part_matrix

ROWS = 2000  # holdout posts explained
SHOWN = 20  # features drawn
SEED = 0


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
    config = json.loads((results.folder / results.final / "config.json").read_text())["config"]
    names = config.get("parents") or list(results.metrics)
    scores = results.scores[results.scores["experiment"].isin(names)]
    for name in scores.sort_values(f"holdout_{results.main_metric}", ascending=results.main_metric != "src")[
        "experiment"
    ]:
        if (_config(results, name).get("learner") or {}).get("class") == "LightGBM":
            return name
    return ""


def explain(results: Results) -> Explanation | None:
    """Fit the representative on all but the holdout and take exact TreeSHAP values of holdout posts; kept once made."""
    name = representative(results)
    if not name:
        return None
    folder = paths.output(results.track) / "report"
    settings = (results.folder / name / "config.json").read_bytes()
    key = hashlib.blake2b(settings + f"{ROWS} {SHOWN}".encode(), digest_size=8).hexdigest()
    files = {part: folder / f"{results.track}_{part}.parquet" for part in ("importance", "values", "shap")}
    if not all(read_note(f).get("key") == key for f in files.values()):
        for part, table in _explain(results, _config(results, name)).items():
            write_table(files[part], table, {"key": key})
    return Explanation(name, **{part: read_table(f) for part, f in files.items()})


def _explain(results: Results, config: dict) -> dict[str, pd.DataFrame]:
    data, folds = results.data, results.predictions
    at, y = data.ids.get_indexer(folds.index), data.labels
    part = Part("holdout", "", at[~folds["holdout"]], at[folds["holdout"]])
    X = features.load(results.track, config["features"], data)
    X = part_matrix(results.track, X, config["label_features"], data, part, SEED, config["label_blocks"])
    known = {f.name for f in fields(LightGBM)}
    learner = LightGBM(**{k: v for k, v in config["learner"].items() if k in known})
    weight = 1 / y[part.train] if config["weight"] == "inverse_label" else None
    model = learner.fit(X.take(part.train), y[part.train], weight, SEED)
    rows = np.sort(np.random.default_rng(SEED).permutation(part.query)[:ROWS])
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
