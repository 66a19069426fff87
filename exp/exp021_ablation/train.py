"""The paper's Table 1 in full. Parents: exp001-exp005. Asks: what does each representation add to statistics and to
user behaviour, for LightGBM, CatBoost and both together?

Twelve rows of features x three models, on cv and on later posts, beside the paper's printed numbers. Statistics are the
post's, its time and place, and the account's own data; user behaviour adds how the user posts and tags. Every cell is a
file of its own, so that a killed run goes on, and several processes may work at once. Embeddings come as principal
components. Fusion is the mean of the two models at the same seed: the paper does not say how it fuses.

Writes table1.csv, table1.md and table1.png; in metrics.json, answers and the sources of the representations.
"""

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from smp import features, paths, tracks
from smp.disk.store import replacing
from smp.evidence import LEVEL, judge
from smp.experiment import Run, Settings
from smp.folds import load_folds
from smp.learners import CatBoost, LightGBM
from smp.metrics import SRC
from smp.oof import Part
from smp.present import COLORS, markdown, save, subplots
from smp.runner import run_make
from smp.study import Cell, cross_predict, held_gain, run_cells, say, seed_scores, spread
from smp.tracks.base import Data
from smp.tracks.image.exhibits import as_table1
from smp.tracks.load import load_data

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

TRACK = "image"
GROUP = "studies"
PARENTS = ("exp001_clip_ft", "exp002_clip", "exp003_blip", "exp004_vit_bert", "exp005_resnet_bert")
STATISTICS = {
    False: ("post_stats", "time_place", "account"),
    True: ("post_stats", "time_place", "user_behaviour", "tags_user"),
}
REPRESENTATIONS = {
    "": (),
    "ResNet+BERT": ("resnet_image_pca", "bert_text_pca"),
    "ViT+BERT": ("vit_image_pca", "bert_text_pca"),
    "CLIP": ("clip_image_pca", "clip_text_pca"),
    "BLIP": ("blip_image_pca", "blip_text_pca"),
    "CLIP_FT": ("clip_ft_pca",),
}
MODELS = ("LightGBM", "CatBoost", "Fusion")
# Zhou et al., ACM MM 2025, Table 1, as printed: with user behaviour?, representation -> SRC, MAE of each of MODELS.
PAPER = {
    (False, ""): (0.7023, 1.2783, 0.6833, 1.2971, 0.7042, 1.2615),
    (True, ""): (0.7173, 1.2562, 0.7077, 1.2464, 0.7119, 1.2301),
    (False, "ResNet+BERT"): (0.7219, 1.2318, 0.7058, 1.2520, 0.7223, 1.2214),
    (False, "ViT+BERT"): (0.7223, 1.2322, 0.7135, 1.2464, 0.7285, 1.2148),
    (False, "CLIP"): (0.7250, 1.2249, 0.7161, 1.2353, 0.7296, 1.2087),
    (False, "BLIP"): (0.7241, 1.2283, 0.7157, 1.2354, 0.7292, 1.2093),
    (False, "CLIP_FT"): (0.7278, 1.2052, 0.7290, 1.2062, 0.7330, 1.1979),
    (True, "ResNet+BERT"): (0.7245, 1.2208, 0.7110, 1.2414, 0.7276, 1.2278),
    (True, "ViT+BERT"): (0.7258, 1.2215, 0.7170, 1.2407, 0.7297, 1.2210),
    (True, "CLIP"): (0.7225, 1.2287, 0.7112, 1.2448, 0.7258, 1.2154),
    (True, "BLIP"): (0.7237, 1.2264, 0.7127, 1.2135, 0.7269, 1.2036),
    (True, "CLIP_FT"): (0.7295, 1.2007, 0.7303, 1.1941, 0.7395, 1.1810),
}


@dataclass(frozen=True)
class Config(Settings):
    features: tuple[str, ...] = tuple(sorted({*sum((*STATISTICS.values(), *REPRESENTATIONS.values()), ())}))
    lightgbm: LightGBM = LightGBM(objective="huber", rounds=800, feature_fraction=0.3)
    catboost: CatBoost = CatBoost(rounds=800, depth=6, rsm=0.3)
    seeds: tuple[int, ...] = (0, 1, 2)
    processes: int = 1  # at work on the cells


SMALL = {
    "lightgbm": LightGBM(objective="huber", rounds=150, learning_rate=0.06, num_leaves=15, feature_fraction=0.2),
    "catboost": CatBoost(rounds=150, learning_rate=0.1, depth=4, rsm=0.2),
    "seeds": (0, 1, 2),
}


def row_name(user: bool, representation: str) -> str:
    return " + ".join(filter(None, ("statistics", "user behaviour" if user else "", representation)))


def make_cell(run: Run, name: str) -> Cell:
    """name: number of the row in PAPER - model."""
    data, (number, model) = load_data(TRACK), name.split("-")
    user, representation = list(PAPER)[int(number)]
    X = features.load(TRACK, STATISTICS[user] + REPRESENTATIONS[representation], data)
    y, learner = data.labels, getattr(run.config, model.lower())

    def fit_predict(part: Part, seed: int) -> np.ndarray:
        return learner.fit(X.take(part.train), y[part.train], seed=seed).predict(X.take(part.query))

    return cross_predict(TRACK, data, load_folds(TRACK, data, run.scheme), run.config.seeds, fit_predict)


def make(run: Run) -> dict:
    data, config = load_data(TRACK), run.config
    folds = load_folds(TRACK, data, run.scheme)
    for name in config.features:
        features.load(TRACK, [name], data)
    cells = [f"{number:02d}-{model}" for number in range(len(PAPER)) for model in MODELS[:2]]
    made = run_cells(run.folder / "cells", cells, partial(make_cell, run), config.processes)
    rows, tables = [], {}
    for number, ((user, representation), printed) in enumerate(PAPER.items()):
        of_row = {model: made[f"{number:02d}-{model}"][0] for model in MODELS[:2]}
        of_row["Fusion"] = (of_row["LightGBM"] + of_row["CatBoost"]) / 2  # folds are equal
        for i, model in enumerate(MODELS):
            tables[user, representation, model] = of_row[model]
            costs = [made[f"{number:02d}-{m}"][1] for m in (MODELS[:2] if model == "Fusion" else [model])]
            rows.append(
                {
                    "row": row_name(user, representation),
                    "user_behaviour": user,
                    "representation": representation,
                    "model": model,
                    **spread(seed_scores(TRACK, data, folds, of_row[model])),
                    "paper_src": printed[2 * i],
                    "paper_mae": printed[2 * i + 1],
                    "fit_seconds": sum(c["fit_seconds"] for c in costs),
                }
            )
    table = pd.DataFrame(rows)
    with replacing(run.folder / "table1.csv") as aside:
        table.round(4).to_csv(aside, index=False)
    made_by = sources()
    text = as_markdown(table, made_by)
    with replacing(run.folder / "table1.md") as aside:
        aside.write_text(text)
    draw(table, run.folder / "table1.png")
    print(text)
    say(answers := answer(data, folds, tables, table, made_by))
    return {"rows": len(folds), "holdout_rows": int(folds["holdout"].sum()), "sources": made_by, "answers": answers}


def sources() -> dict[str, str]:
    """Representation -> the networks and weights it comes from, as the experiments that stored it say."""
    said = {}
    for name, families in REPRESENTATIONS.items():
        if name == "CLIP_FT":
            said[name] = f"trained here on CLIP: {said['CLIP']}"
        elif families:
            parts = [_source(family.removesuffix("_pca")) for family in families]
            said[name] = " and ".join(dict.fromkeys(parts))  # both sides of one model: once
    return said


def _source(family: str) -> str:
    file = paths.output(TRACK) / tracks.get(TRACK).embeddings[family] / "metrics.json"
    metrics = json.loads(file.read_text()) if file.exists() else {}  # embeddings may be laid there by hand
    return metrics.get(family, {}).get("source", "a source unknown")


def as_markdown(table: pd.DataFrame, made_by: dict[str, str]) -> str:
    """A table a metric: for every row and model the paper's number, ours on cv and on the holdout with seed spread; and
    what made each representation here."""
    parts = [f"**{m.upper()}**\n\n{markdown(as_table1(table, m))}\n" for m in ("src", "mae")]
    parts.append("Made here by: " + "; ".join(f"{name}: {source}" for name, source in made_by.items()) + "\n")
    return "\n".join(parts)


def answer(data: Data, folds: pd.DataFrame, tables: dict, table: pd.DataFrame, made_by: dict[str, str]) -> list[dict]:
    """What the table of the paper claims, held against ours on the holdout (SRC) by the rule of smp.evidence.

    tables: (user behaviour?, representation, model) -> predictions. Rows of random networks are left out of the order:
    where they stand says nothing of the paper's.
    """

    def judged(claim: str, pairs: list[tuple[tuple, tuple]]) -> dict:
        asked = (held_gain(TRACK, data, folds, SRC, tables[a], tables[b], tried=len(pairs)) for a, b in pairs)
        return judge(f"{claim} (SRC)", list(asked))

    best = (True, "CLIP_FT", "Fusion")
    answers = [
        judged(
            "CLIP_FT with user behaviour and fusion is the best row",
            [(best, k) for k in tables if k[2] == "Fusion" and k != best],
        )
    ]
    for other, claim in (("CLIP", "fine-tuned CLIP beats frozen CLIP"), ("", "fine-tuned CLIP beats none")):
        answers.append(judged(claim, [((u, "CLIP_FT", m), (u, other, m)) for u in (False, True) for m in MODELS]))
    pairs = [((True, r, m), (False, r, m)) for r in REPRESENTATIONS for m in MODELS]
    answers.append(judged("user behaviour adds to every row", pairs))
    pairs = [(k, (*k[:2], model)) for k in tables if k[2] == "Fusion" for model in MODELS[:2]]
    answers.append(judged("fusion beats both of its models", pairs))
    random = [name for name, source in made_by.items() if "RANDOM" in source]
    kept = table[~table["representation"].isin(random)].groupby("model", sort=False)
    orders = {m: spearmanr(rows["paper_src"], rows["holdout_src"]) for m, rows in kept}
    without = f" without {', '.join(random)}, which are RANDOM networks here" if random else ""
    clear = {np.sign(o.statistic) if o.pvalue < LEVEL / len(orders) else 0 for o in orders.values()}
    answers.append(
        {
            "claim": "the rows come in the paper's order, more than chance would have it",
            "answer": "yes" if clear == {1} else "no" if -1 in clear else "not resolved",
            "numbers": f"rank correlation of the SRC of {len(kept.get_group(MODELS[0]))} rows{without}, paper against "
            "holdout: " + ", ".join(f"{m} {o.statistic:.2f} (p {o.pvalue:.2g})" for m, o in orders.items()),
        }
    )
    return answers


def draw(table: pd.DataFrame, path: Path) -> None:
    """The paper's numbers and ours side by side; each panel has its own scale, for the data are others."""
    figure, axes = subplots(1, 4, 3.6, 4.6, sharey=True)
    names = list(table["row"].unique())
    shift = dict(zip(MODELS, (-0.2, 0, 0.2)))
    panels = (("paper", "src"), ("holdout", "src"), ("paper", "mae"), ("holdout", "mae"))
    for axis, (part, metric) in zip(axes[0], panels):
        for (model, rows), color in zip(table.groupby("model", sort=False), COLORS):
            at = np.array([names.index(r) for r in rows["row"]]) + shift[model]
            error = rows[f"{part}_{metric}_sd"] if part != "paper" else None
            axis.errorbar(rows[f"{part}_{metric}"], at, xerr=error, fmt="o", markersize=5, color=color, label=model)
        better = "higher" if metric == "src" else "lower"
        axis.set_title("the paper, official test" if part == "paper" else "here, holdout", fontsize=10)
        axis.set_xlabel(f"{metric.upper()} ({better} is better)")
    axes[0][0].set_yticks(range(len(names)), names)
    axes[0][0].invert_yaxis()
    axes[0][0].legend(fontsize=8, loc="lower left")
    save(figure, path)


if __name__ == "__main__":
    run_make(__file__, Config, TRACK, make, SMALL, shared=True)
