"""What each ingredient of the emoji graph gives. Parents: exp095_words, exp095_emoji_tokens, exp095_names,
exp096_emoji_graph. Asks: do pre-training tasks, the graph and the emoji themselves help?

A variant takes one thing out and is made as the system is, on the same folds with the same seeds (of popularity: on the
forward parts); all are compared over all of them, paired over seeds and users. Writes
ingredients.csv; tasks.csv, macro F1 of every system and task over the
folds, and learnt from the official train and val posts and asked for the official test; links.csv, the AUC of links
that the graph was trained without, beside the product of their ends' degrees.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace

from smp import paths, tracks
from smp.disk.store import replacing
from smp.experiment import Run, Settings, predictions_read
from smp.folds import load_folds
from smp.metrics import Metric
from smp.models.emoji_graph import PAIRS, EmojiGraph, link_score, no_links, node_counts, wires
from smp.nn.parallel import one_thread
from smp.oof import Part, cross_fit, finished, fold_parts, forward_parts, parts_of
from smp.runner import run_make
from smp.study import claims, say, side_by_side
from smp.tracks.base import Data
from smp.tracks.emoji.classes import macro_f1, tasks_of
from smp.tracks.emoji.networks import SENTENCES, Graph, GraphModel, Linear, Network, Text
from smp.tracks.load import load_data

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import roc_auc_score

TRACK = "emoji"
GROUP = "studies"
PARENTS = ("exp095_words", "exp095_emoji_tokens", "exp095_names", "exp096_emoji_graph")
WORDS, TOKENS, NAMES, GRAPH = PARENTS
TRANSDUCTIVE = "with a transductive graph"
BARE = {"emojis": False, "terms": "words", "features": (SENTENCES["words"],)}
# what is taken out -> how the experiment's values change
VARIANTS: dict[str, Callable[[Graph], Graph]] = {
    "without the graph": lambda g: replace(g, model=replace(g.model, width=0)),
    "without pre-training": lambda g: replace(g, model=replace(g.model, contrast=0.0, links=0.0, steps=0)),
    "links alone": lambda g: replace(g, model=replace(g.model, contrast=0.0)),
    "contrast alone": lambda g: replace(g, model=replace(g.model, links=0.0)),
    TRANSDUCTIVE: lambda g: replace(g, graph="transductive"),  # of classes, which have no time
    "without emoji": lambda g: replace(g, **BARE),
}
OFFICIAL = "official"


@dataclass(frozen=True)
class Config(Settings):
    seeds: tuple[int, ...] = (0, 1, 2)

    def inputs(self, track: str) -> dict[str, str]:
        return predictions_read(track, PARENTS)


def stated(name: str) -> dict:
    """The values of a finished experiment."""
    return json.loads((finished(TRACK, name) / "config.json").read_text())["config"]


def of_text(name: str) -> Text:
    values = stated(name)
    return Text(values["terms"], tuple(values["features"]), values["strength"], tuple(values["seeds"]))


def of_graph(values: dict, seeds: tuple[int, ...]) -> Graph:
    model = EmojiGraph(**{k: v for k, v in values["model"].items() if k != "class"})
    plain = {k: values[k] for k in ("terms", "strength", "graph", "emojis", "pmi")}
    return Graph(**plain, model=model, features=tuple(values["features"]), seeds=seeds)


def make(run: Run) -> dict:
    data, room = load_data(TRACK), tracks.get(TRACK)
    # of popularity the headline is the rank correlation
    metric = room.task.metrics[0] if data.labels.ndim == 2 else next(m for m in room.task.metrics if m.name == "src")
    folds = load_folds(TRACK, data)
    made = parts_of(data, folds, room.split)  # classes have no time; what is liked is asked of later posts alone
    asked = fold_parts(made) if data.labels.ndim == 2 else forward_parts(made, room.split).values()
    parts = [Part("inner", str(k), p.train, p.query) for k, p in enumerate(asked)]
    split = data.items["official"].astype("str").to_numpy()
    train, test = (np.flatnonzero(data.labelled & m) for m in (np.isin(split, ("train", "val")), split == "test"))
    if len(train) and len(test):
        parts.append(Part("inner", OFFICIAL, train, test))

    graph = of_graph(stated(GRAPH), run.config.seeds)
    systems = {name: of_text(name) for name in (WORDS, TOKENS, NAMES)} | {GRAPH: graph}
    systems |= {f"{GRAPH} {name}": change(graph) for name, change in VARIANTS.items()}
    if data.labels.ndim == 1:
        del systems[f"{GRAPH} {TRANSDUCTIVE}"]
    shape, predicted, official = data.labels.shape[1:], {}, {}
    for name, config in systems.items():
        kind = GraphModel if isinstance(config, Graph) and config.model.width else Linear
        model = kind(replace(run, config=config), data, folds)
        made = cross_fit(run.folder / name.replace(" ", "_"), data.ids, parts, model.predict)
        tables = [t.to_numpy().reshape(len(t), -1, *shape) for _, t in made]
        official[name] = tables.pop() if parts[-1].key == OFFICIAL else None
        predicted[name] = np.concatenate(tables)
    rows = np.concatenate([p.query for p in parts if p.key != OFFICIAL])
    user = data.items["user_id"].cat.codes.to_numpy()[rows]
    pairs = [(GRAPH, name) for name in systems if name != GRAPH] + [(TOKENS, WORDS)]
    table = side_by_side(metric, data.labels[rows], predicted, pairs, user)
    links = pd.DataFrame([known_links(graph, data, run, seed) for seed in run.config.seeds])
    made = {"ingredients": table, "links": links}
    if data.labels.ndim == 2:
        made["tasks"] = by_task(data, predicted, rows, official, train, test)
    for name, one in made.items():
        with replacing(run.folder / f"{name}.csv") as aside:
            one.round(4).to_csv(aside, index=False)
    found = claims(table, metric)
    auc, degrees = links["auc"].mean(), links["degree_product"].mean()
    said = "yes" if auc >= 0.8 and (links["auc"] > links["degree_product"]).all() else "no"
    claim = "links left out are told with an AUC of .80 and better than by degrees"
    found.append({"claim": claim, "answer": said, "numbers": f"AUC {auc:.3f} and {degrees:.3f}"})
    say(found)
    return {"answers": found}


def by_task(
    data: Data, predicted: dict, rows: np.ndarray, official: dict, train: np.ndarray, test: np.ndarray
) -> pd.DataFrame:
    """A row a system: macro F1 of every task, mean and sd over seeds, over the folds and of the official test, where
    there is an official train or val too."""
    learnt = {str(task) for task in data.items["task"].iloc[train]}
    of, table = Metric("macro_f1", macro_f1, greater_is_better=True), []
    for name in predicted:
        row = {"system": name}
        for kind, at, made in (("", rows, predicted[name]), ("official ", test, official[name])):
            for own, columns in tasks_of(data.labels[at]) if made is not None else ():
                task = str(data.items["task"].iloc[at[own[0]]])
                if kind and task not in learnt:
                    continue
                y = data.labels[np.ix_(at[own], columns)]
                scores = [of(y, made[own][:, s][:, columns]) for s in range(made.shape[1])]
                row |= {f"{kind}{task}": np.mean(scores), f"{kind}{task} sd": np.std(scores)}
        table.append(row)
    return pd.DataFrame(table)


def known_links(graph: Graph, data: Data, run: Run, seed: int) -> dict[str, float]:
    """AUC of a tenth of the links, which an encoder was trained without, against drawn pairs; and of the product of
    their ends' degrees."""
    model = GraphModel(replace(run, config=graph), data, load_folds(TRACK, data))
    rng, everybody = np.random.default_rng([seed, 5]), np.arange(len(data))
    network = Network(graph, model.words, model.emojis, model.dense, everybody, paths.features(TRACK))
    hidden = {pair: rng.random(e.shape[1]) < 0.1 for pair, e in network.edges.items()}
    left = {pair: e[:, ~hidden[pair]] for pair, e in network.edges.items()}
    encoder, _ = network.pretrained(seed, left)
    vectors = network.inputs()
    sizes = node_counts(encoder, vectors)
    encoder.eval()
    with torch.no_grad(), one_thread():
        made = encoder(vectors, {k: torch.arange(n) for k, n in sizes.items()}, wires(left))
    of = {"auc": [], "degree_product": []}
    for pair in PAIRS:
        true = network.edges[pair][:, hidden[pair]]
        if not true.shape[1]:
            continue
        apart = no_links(network.edges[pair], true[0], sizes[pair[1]], rng)
        asked = np.hstack([true, apart])
        label = np.repeat([1, 0], [true.shape[1], apart.shape[1]])
        degree = [np.bincount(left[pair][i], minlength=sizes[pair[i]])[asked[i]] for i in (0, 1)]
        of["auc"].append(roc_auc_score(label, link_score(made, pair, asked).numpy()))
        of["degree_product"].append(roc_auc_score(label, degree[0] * degree[1]))
    return {"seed": seed, **{name: float(np.mean(values)) for name, values in of.items()}}


if __name__ == "__main__":
    run_make(__file__, Config, TRACK, make, {"seeds": (0, 1)})
