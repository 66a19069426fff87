"""CLIP_FT with one thing changed. Parents: exp001_clip_ft. Asks: which of the choices that the paper leaves open, and
which sharper task, make its features better for later posts?

A row is exp001's model with one option changed, trained on all posts (it sees no popularity) and asked for its
components and scalars; LightGBM learns from these beside exp015's other features. Judged on the forward blocks, paired
over seeds and users' posts, at one level for as many rows as there are. Writes options.csv. Of torchrun's ranks each
trains rows of its own, and the first judges.
"""

import json
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from smp import features, paths, tracks
from smp.clip_ft import extract
from smp.clip_ft.fit import fit, make_task
from smp.clip_ft.model import ModelConfig
from smp.clip_ft.train import TrainConfig
from smp.disk.hashes import source_hash
from smp.disk.store import read_embeddings, read_table, replacing
from smp.encoders import Loading
from smp.evidence import gain, judge
from smp.experiment import Run, Settings, fields_of
from smp.folds import load_folds
from smp.learners import LightGBM
from smp.matrix import FeatureMatrix
from smp.nn.parallel import each_apart, once
from smp.oof import choosing_parts, cross_fit, finished, parts_of
from smp.runner import part_matrix, run_make
from smp.study import say
from smp.tracks.load import load_data

import numpy as np
import pandas as pd

TRACK = "image"
GROUP = "studies"
RANKS = True
PARENTS = ("exp001_clip_ft",)
PARENT = PARENTS[0]
METRICS = tracks.get(TRACK).task.metrics
PLAIN = "as exp001"
OPTIONS = {  # the row -> values of exp001's model that change, or its target
    PLAIN: {},
    "tau_s .02": {"tau_s": 0.02},
    "a context for each class": {"per_class_context": True},
    "equal titles once": {"distinct_titles": True},
    "pictures and texts contrasted": {"contrast": 0.5},
    "concepts as classes": {"target": "concept"},
}


@dataclass(frozen=True)
class Config(Settings):
    features: tuple[str, ...] = ("post_stats", "time_place", "user_behaviour", "tags_post", "tags_user", "title_tags")
    label_features: tuple[str, ...] = ("account_counters", "label_means", "user_labels")
    label_blocks: int = 20
    learner: LightGBM = LightGBM(objective="l2", rounds=400, num_leaves=15, extra_trees=True, feature_fraction=0.3)
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)

    def inputs(self, track: str) -> dict[str, str]:
        return {PARENT: source_hash(finished(track, PARENT) / "all.pt")}


def make(run: Run) -> dict:
    folders = {name: run.folder / name.replace(" ", "_") for name in OPTIONS}
    each_apart(partial(describe, folders), list(OPTIONS))
    return once(judged, run, folders)


def judged(run: Run, folders: dict[str, Path]) -> dict:
    """What every row's features, kept in its folder, are worth."""
    config, data = run.config, load_data(TRACK)
    y = data.labels
    parts = choosing_parts(parts_of(data, load_folds(TRACK, data), tracks.get(TRACK).split))
    X = features.load(TRACK, config.features, data)
    seed, blocks = config.seeds[0], config.label_blocks
    tabular = {p.key: part_matrix(TRACK, X, config.label_features, data, p, seed, blocks) for p in parts}
    made = {}
    for name, folder in folders.items():
        said = described(folder)

        def fit_predict(part, said=said):
            X = tabular[part.key].join(said)
            train, query = X.take(part.train), X.take(part.query)
            pred = [config.learner.fit(train, y[part.train], seed=s).predict(query) for s in config.seeds]
            return np.column_stack(pred)

        made[name] = np.concatenate([t.to_numpy() for _, t in cross_fit(folder, data.ids, parts, fit_predict)])
    query = np.concatenate([p.query for p in parts])
    part = np.repeat([p.key for p in parts], [len(p.query) for p in parts])
    user, rows, answers = data.users[query], {}, []
    for name, pred in made.items():
        pieces = [part == key for key in np.unique(part)]
        rows[name] = {m.name: np.mean([m(y[query][r], p[r]) for r in pieces for p in pred.T]) for m in METRICS}
        if name == PLAIN:
            continue
        tried = len(METRICS) * (len(OPTIONS) - 1)
        gains = [gain(m, y[query], pred, made[PLAIN], user, tried, part) for m in METRICS]
        for metric, found in zip(METRICS, gains):
            rows[name] |= {f"{metric.name} gain": found.mean, f"{metric.name} se": found.se}
        answers.append(judge(f"CLIP_FT is better with: {name} (SRC and MAE on forward blocks)", gains))
    table = pd.DataFrame(rows).T.round(4)
    with replacing(run.folder / "options.csv") as aside:
        table.to_csv(aside, index_label="option")
    print(table.to_string())
    say(answers)
    return {"answers": answers}


def describe(folders: dict[str, Path], name: str) -> None:
    """Train exp001's model with one option changed, and keep what it says of all posts in the option's folder."""
    folder, change = folders[name], dict(OPTIONS[name])
    data, kept = load_data(TRACK), finished(TRACK, PARENT)
    stated = json.loads((kept / "config.json").read_text())["config"]
    clip = json.loads((finished(TRACK, stated["parent"]) / "config.json").read_text())["config"]
    target = change.pop("target", stated["target"])
    model = replace(ModelConfig(**fields_of(stated["model"])), **change)
    train, loading = TrainConfig(**fields_of(stated["train"])), Loading(**fields_of(stated["loading"]))
    task = make_task(data.items, paths.features(TRACK), paths.data(TRACK), clip, model, train, target)
    _, step, _ = fit(task, np.ones(len(data), bool), folder, "all")
    key = source_hash(folder / "all.pt", extract.__file__)
    extract.store_features(step, task.inputs, data.ids, folder, "ft", key, loading, tuple(stated["pca"]))


def described(folder: Path) -> FeatureMatrix:
    """What `describe` kept: components and scalars."""
    data = load_data(TRACK)
    ids, components = read_embeddings(folder, "ft_pca")
    names = [f"ft_pca_{j}" for j in range(components.shape[1])]
    scalars = FeatureMatrix.from_table(read_table(folder / "ft_stats.parquet").loc[data.ids])
    return FeatureMatrix.from_array(components, names, ids.get_indexer(data.ids)).join(scalars)


if __name__ == "__main__":
    run_make(__file__, Config, TRACK, make, {"seeds": (0, 1, 2)})
