"""One model under every split and every history. Parents: none. Asks: how much of a song's popularity is told, and how
much is leaked?

Splits: by date (later songs), by artist (artists never met), random rows (an album's songs on both sides, but no copies
of one song). Histories:
none; of the labels that are learnt from; as released (each label shown to all that comes later); with later songs too,
which is a leak. GAMENet's paper reports R2 .13 without and .69 with a career, on other songs and random rows. Writes
leaks.csv, R2 of LightGBM (and of GAMENet with a career) in every cell, mean and sd over seeds, and leaks.png, the same
beside the paper's.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from smp import features, tracks
from smp.disk.store import replacing
from smp.experiment import Run, Settings
from smp.folds import make_folds
from smp.learners import LightGBM
from smp.matrix import FeatureMatrix
from smp.models.gamenet import GAMENet
from smp.oof import Part, cross_fit, holdout_of, parts_of
from smp.present import COLORS, save, subplots
from smp.runner import run_make
from smp.study import say
from smp.tracks.base import Data
from smp.tracks.load import load_data
from smp.tracks.music import networks
from smp.tracks.music.features import career

import numpy as np
import pandas as pd

TRACK = "music"
GROUP = "studies"
PARENTS = ()
SOUND, REST = ("sound", "low_level"), ("lyric_counts", "lyrics", "release", "genres")
HISTORIES = ("none", "learnt from", "as released", "later songs too")
PAPER = {"without": 0.13, "with": 0.69}  # a career: GAMENet's R2
FOLDS = 2  # of five, of each split but that by date: enough to tell .1 of R2


@dataclass(frozen=True)
class Config(Settings):
    learner: LightGBM = LightGBM(rounds=250, num_leaves=15, learning_rate=0.05, feature_fraction=0.5)
    network: networks.Network = networks.Network(GAMENet(), steps=1000)
    seeds: tuple[int, ...] = (0, 1, 2)


SMALL = {"network": networks.Network(GAMENet(), steps=200), "seeds": (0, 1)}


def history(data: Data, part: Part, kind: str) -> FeatureMatrix:
    """The career of every song, as far as `kind` has it seen."""
    if kind == "learnt from":
        return features.from_labels(TRACK, ("history",), data, data.shown(part.train), None, 0)
    if kind == "as released":
        return features.load(TRACK, ("history_as_released",), data)
    turned = data.items.assign(time=data.items["time"].max())  # everybody is asked after the last song came out
    return FeatureMatrix.from_table(career.history_as_released(turned, data.events))


def make(run: Run) -> dict:
    data, room, config = load_data(TRACK), tracks.get(TRACK), run.config
    r2 = room.task.metrics[0]
    date = replace(holdout_of(parts_of(data, make_folds(data, room.split), room.split)), kind="inner", key="date")
    splits = {"date": [date]}
    for scheme, name in (("user", "artist"), ("random", "random")):
        folds = [p for p in parts_of(data, make_folds(data, room.split, scheme), room.split) if p.kind == "fold"]
        splits[name] = [replace(p, kind="inner", key=f"{name}{p.key}") for p in folds[:FOLDS]]
    rows = []
    sound, rest = (features.load(TRACK, names, data) for names in (SOUND, REST))

    def trees(part: Part, X: FeatureMatrix) -> np.ndarray:
        y = data.labels[part.train]
        made = [config.learner.fit(X.take(part.train), y, None, s).predict(X.take(part.query)) for s in config.seeds]
        return np.stack(made, axis=1)

    def gamenet(part: Part, kind: str) -> np.ndarray:
        released = kind == "as released"
        names = ("history_as_released", "career_as_released") if released else ()
        network = replace(
            config.network,
            features=(*config.network.features, *names),
            label_features=() if released else config.network.label_features,
        )
        blocks = networks.stored(network, TRACK, data) | networks.from_labels(network, TRACK, data, part)
        fitted = [networks.fit(network, blocks, data.labels, part.train, s) for s in config.seeds]
        return np.stack([f.predict(blocks, part.query) for f in fitted], axis=1)

    for split, parts in splits.items():
        cells = {("LightGBM", kind, more): [] for kind in HISTORIES for more in ("sound", "everything")}
        cells |= {("GAMENet", kind, "everything"): [] for kind in HISTORIES[1:3]}
        for (model, kind, more), scores in cells.items():

            def fit_predict(part: Part, model=model, kind=kind, more=more) -> np.ndarray:
                if model == "GAMENet":
                    return gamenet(part, kind)
                X = sound if more == "sound" else sound.join(rest)
                return trees(part, X if kind == "none" else X.join(history(data, part, kind)))

            folder = run.folder / f"{model}-{kind}-{more}".replace(" ", "_")
            for part, table in cross_fit(folder, data.ids, parts, fit_predict):
                scores.append([r2(data.labels[part.query], column) for column in table.to_numpy().T])
            of_seed = np.mean(scores, axis=0)
            row = {"model": model, "split": split, "history": kind, "inputs": more, "r2": of_seed.mean()}
            rows.append(row | {"sd": of_seed.std(), "rows": sum(len(p.query) for p in parts)})
    table = pd.DataFrame(rows)
    with replacing(run.folder / "leaks.csv") as aside:
        table.round(4).to_csv(aside, index=False)
    draw(table, run.folder / "leaks.png")
    found = answers_of(table, data)
    say(found)
    return {"answers": found}


def answers_of(table: pd.DataFrame, data: Data) -> list[dict[str, str]]:
    """What the cells say of the paper's step from .13 to .69, and why."""
    at = table.set_index(["model", "split", "history", "inputs"])["r2"].sort_index()
    said = []
    for split in ("date", "artist", "random"):
        none, shown = (at["LightGBM", split, kind, "sound"] for kind in ("none", "as released"))
        best = at["LightGBM", split, "as released", "everything"]
        numbers = f"R2 {none:.3f} without, {shown:.3f} with, {best:.3f} with all else"
        claim = f"a career lifts R2 from .13 to .69 ({split})"
        answer = "yes" if max(shown, best) >= PAPER["with"] else "no"
        said.append({"claim": claim, "answer": answer, "numbers": numbers})
    y = data.labels[data.labelled]
    album = data.items["album"].cat.codes.to_numpy()[data.labelled]
    mean = (np.bincount(album, y) / np.maximum(np.bincount(album), 1))[album]
    share = np.var(mean) / np.var(y) if np.var(y) else 0.0
    claim = "most of the variance lies between albums, whose songs have one career"
    said.append({"claim": claim, "answer": "yes" if share > 0.5 else "no", "numbers": f"{share:.1%}"})
    return said


def draw(table: pd.DataFrame, path: Path) -> None:
    """A panel a split, R2 by what is seen of the career, with the paper's two figures as lines."""
    splits = table["split"].unique()
    figure, axes = subplots(1, len(splits), sharey=True)
    kinds, at = table.groupby(["model", "inputs"], sort=False), np.arange(len(HISTORIES))
    for axis, split in zip(axes[0], splits):
        for place, ((model, inputs), rows) in enumerate(kinds):
            own = rows[rows["split"] == split].set_index("history").reindex(HISTORIES)
            where, label = at + 0.27 * (place - 1), f"{model}, {inputs}"
            axis.bar(where, own["r2"], 0.25, yerr=own["sd"], color=COLORS[place], label=label)
        for (which, value), style in zip(PAPER.items(), (":", "--")):
            axis.axhline(
                value, color="black", linewidth=0.8, linestyle=style, label=f"GAMENet's paper, {which} a career"
            )
        axis.set_xticks(at, HISTORIES, rotation=20, ha="right", fontsize=8)
        axis.set_title({"date": "later songs", "artist": "artists never met", "random": "random rows: a leak"}[split])
    axes[0][0].set_ylabel("R2")
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8)
    save(figure, path)


if __name__ == "__main__":
    run_make(__file__, Config, TRACK, make, SMALL)
