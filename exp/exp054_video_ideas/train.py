"""Every idea for the video track against one base. Parents: none. Asks: which of them carry over to later months?

Each of the last labelled months is predicted from all earlier ones, up to the holdout; the holdout's figures stand
beside, and choose nothing. A row is an idea: its MAPE, and what it gains over the base on the same posts, the mean over
months; it helps by the rule of smp.evidence, for as many ideas as there are. Learners are judged by what the mean of
five loses without them. Writes ideas.csv.
"""

import hashlib
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from smp import features, tracks
from smp.disk.store import replacing
from smp.evidence import gain
from smp.experiment import Experiment, Run, Weight
from smp.folds import load_folds
from smp.learners import MLP, CatBoost, Forest, GaussianProcess, LightGBM
from smp.learners.medians import median_bend
from smp.matrix import FeatureMatrix
from smp.metrics import MAPE
from smp.oof import Part, choosing_parts, cross_fit, holdout_of, parts_of
from smp.runner import out_of_fold, part_matrix, run_make
from smp.tracks.base import Data
from smp.tracks.load import load_data

import numpy as np
import pandas as pd

TRACK = "video"
GROUP = "studies"
PARENTS = ()
LOW = 4.0  # labels below make a quarter of the MAPE
PUBLIC = (
    *("log_heart_per_video", "log_follower_per_video", "log_heart_per_follower", "log_digg_per_video", "log_heart"),
    *("log_follower", "log_video", "log_following", "log_digg", "video_duration", "music_duration", "video_height"),
    *("content_words", "suggested_words", "hour", "weekday", "has_face", "face_frame_rate", "avg_faces_per_frame"),
    *("avg_face_area_ratio", "close_up_ratio", "rms_mean", "tempo", "spectral_centroid_mean"),
)

TASK = tracks.get(TRACK).task


@dataclass(frozen=True)
class Config(Experiment):
    """The base: LightGBM, L1 weighted by 1/y, on the account's counts, their ratios and the clip."""

    features: tuple[str, ...] = ("video_stats",)
    learner: LightGBM = LightGBM(objective="l1", rounds=700, learning_rate=0.02, min_child_samples=10)
    weight: Weight = "inverse_label"
    seeds: tuple[int, ...] = (0, 1, 2)
    months: int = tracks.get(TRACK).split.months  # the last labelled ones


FEW = LightGBM(objective="l1", rounds=600, num_leaves=8, feature_fraction=0.3)
MEAN = replace(FEW, objective="huber", rounds=400)
TEXT = ("video_stats", "minilm_content")
NET = MLP(objective="l1", epochs=15, batch_size=128, dropout=0.4, weight_decay=0.1, width=128)


@dataclass(frozen=True)
class Idea:
    """A change of the base's values, or a mean of other ideas, and the row that it is compared with."""

    against: str = "base"
    change: dict[str, Any] = field(default_factory=dict)
    blend: tuple[str, ...] = ()  # the plain mean of these rows instead
    columns: tuple[str, ...] = ()  # of the features, only these
    log_target: bool = False
    half_life: float = 0.0  # days after which a training post counts half
    low_chance: bool = False  # P(label < LOW), fitted apart and out of fold, as one more column


def few(**change: Any) -> Idea:
    return Idea("few leaves", {"learner": FEW, **change})


IDEAS = {
    "base": Idea(),
    "unweighted L1": Idea(change={"weight": "uniform"}),
    "few leaves": Idea(change={"learner": FEW}),
    # the best public recipe: CatBoost and LightGBM for MAPE and an MLP on at most 24 columns, faces too
    "public CatBoost": Idea(
        "base", {"features": ("video_stats", "face_audio"), "learner": CatBoost(objective="MAE")}, columns=PUBLIC
    ),
    "public LightGBM": Idea("base", {"features": ("video_stats", "face_audio")}, columns=PUBLIC),
    "public MLP": Idea("base", {"features": ("video_stats", "face_audio"), "learner": NET}, columns=PUBLIC),
    "best public recipe": Idea(blend=("public CatBoost", "public LightGBM", "public MLP")),
    # the loss
    "direct MAPE loss": few(learner=replace(FEW, objective="mape"), weight="uniform"),
    "40 % quantile loss": few(learner=replace(FEW, objective="quantile", alpha=0.4), weight="uniform"),
    "log of the label": Idea("few leaves", {"learner": FEW, "weight": "uniform"}, log_target=True),
    "extremely random splits": few(learner=replace(FEW, extra_trees=True, rounds=1000)),
    # features
    "+ account ratios": few(features=("video_stats", "video_ratios")),
    "+ word statistics": few(features=("video_stats", "video_words")),
    "+ clock and season": few(features=("video_stats", "time_place")),
    "+ face and audio": few(features=("video_stats", "face_audio")),
    "+ TF-IDF SVD": few(features=("video_stats", "text_words")),
    "+ content embedding": few(features=TEXT),
    "+ suggested words' embedding": few(features=("video_stats", "minilm_suggested")),
    "+ music titles' embedding": few(features=("video_stats", "minilm_music")),
    "+ user labels": few(label_features=("user_labels",)),
    "+ content and user labels": few(features=TEXT, label_features=("user_labels",)),
    # training rows and low labels
    "half life of 180 days": Idea("few leaves", {"learner": FEW}, half_life=180),
    "chance of a low label": Idea("few leaves", {"learner": FEW}, low_chance=True),
    # mean models bent to the median
    "Huber, bent to the median": few(features=TEXT, learner=MEAN, weight="uniform", median_folds=5),
    "weighted L1, bent to the median": few(features=TEXT, median_folds=5),
    # other learners
    "CatBoost MAE": few(features=TEXT, learner=CatBoost(objective="MAE", rounds=800, depth=4, rsm=0.4)),
    "CatBoost RMSE, bent to the median": few(
        features=TEXT, learner=CatBoost(rounds=400, depth=4, rsm=0.4), weight="uniform", median_folds=5
    ),
    "MLP": few(features=TEXT, learner=NET),
    "MLP, bent to the median": few(
        features=TEXT, learner=replace(NET, objective="l2"), weight="uniform", median_folds=5
    ),
    "quantile forest": few(learner=Forest(trees=200)),
    "Gaussian process": few(features=("video_stats", "minilm_content"), learner=GaussianProcess()),
    "Gaussian process with users": few(features=(*TEXT, "video_users"), learner=GaussianProcess()),
}
FIVE = (
    *("+ content and user labels", "CatBoost RMSE, bent to the median", "MLP", "quantile forest"),
    "Gaussian process with users",
)
IDEAS["mean of five"] = Idea("best public recipe", blend=FIVE)
IDEAS |= {f"five less {m}": Idea("mean of five", blend=tuple(o for o in FIVE if o != m)) for m in FIVE}


def fit_predict(config: Experiment, idea: Idea, data: Data, part: Part) -> np.ndarray:
    """(len(part.query), seeds) predictions of one idea."""
    y, time, X = data.labels, data.items["time"], features.load(TRACK, config.features, data)
    if idea.columns:
        at = [X.names.index(c) for c in idea.columns if c in X.names]  # without the optional file: fewer
        X = FeatureMatrix.from_array(X.dense()[:, at], [X.names[j] for j in at], np.arange(len(X)))
    target = np.log(y[part.train]) if idea.log_target else y[part.train]
    weight = 1 / y[part.train] if config.weight == "inverse_label" else None
    if idea.half_life:
        age = (time.iloc[part.query].min() - time.iloc[part.train]).dt.total_seconds() / 86400
        weight = weight * 0.5 ** (age.to_numpy() / idea.half_life)
    columns = []
    for seed in config.seeds:
        matrix = part_matrix(TRACK, X, config.label_features, data, part, seed, config.label_blocks)
        if idea.low_chance:
            chance, is_low = np.empty(len(data), np.float32), (y[part.train] < LOW).astype(float)
            model, train = replace(FEW, objective="l2", rounds=200), matrix.take(part.train)
            chance[part.train] = out_of_fold(model, train, is_low, None, seed, 5)
            chance[part.query] = model.fit(train, is_low, seed=seed).predict(matrix.take(part.query))
            matrix = matrix.join(FeatureMatrix.from_array(chance[:, None], ["low_chance"], np.arange(len(data))))
        train, query = matrix.take(part.train), matrix.take(part.query)
        pred = config.learner.fit(train, target, weight, seed).predict(query)
        if config.median_folds:
            inner = out_of_fold(config.learner, train, target, weight, seed, config.median_folds)
            pred = median_bend(inner, target, TASK.weight(target))(pred)
        columns.append(np.exp(pred) if idea.log_target else pred)
    return np.column_stack(columns)


def make(run: Run) -> dict:
    data, means, rows = load_data(TRACK), {}, []
    split = replace(tracks.get(TRACK).split, months=run.config.months)
    parts = parts_of(data, load_folds(TRACK, data), split)
    parts = [*choosing_parts(parts), holdout_of(parts)]
    query = np.concatenate([p.query for p in parts])
    month = np.repeat([p.name for p in parts], [len(p.query) for p in parts])
    late, y, user = month == "holdout", data.labels[query], data.users[query]
    for name, idea in IDEAS.items():
        if idea.blend:
            means[name] = np.mean([means[b] for b in idea.blend], axis=0)
        else:
            config = replace(run.config, **idea.change)
            slow = isinstance(config.learner, CatBoost | Forest | GaussianProcess)
            config = replace(config, seeds=config.seeds[:1] if slow else config.seeds)
            folder = run.folder / hashlib.blake2b(repr((config, idea)).encode(), digest_size=6).hexdigest()
            made = cross_fit(folder, data.ids, parts, partial(fit_predict, config, idea, data))
            means[name] = pd.concat([table.mean(axis=1) for _, table in made]).to_numpy()
        row = {"idea": name, "against": idea.against}
        for where, at in (("forward", ~late), ("holdout", late)):
            ours, theirs = (means[one][at, None] for one in (name, idea.against))
            found = gain(MAPE, y[at], ours, theirs, user[at], len(IDEAS), month[at])
            row |= {f"{where}_mape": MAPE(y[at], means[name][at]), f"{where}_gain": found.mean, f"{where}_se": found.se}
            row[f"{where}_helps"] = "" if name == idea.against else found.answer
        rows.append(row)
    table = pd.DataFrame(rows).round(4)
    with replacing(run.folder / "ideas.csv") as aside:
        table.to_csv(aside, index=False)
    print(table.to_string(index=False))
    return {"rows": int((~late).sum()), "holdout_rows": int(late.sum())}


if __name__ == "__main__":
    run_make(__file__, Config, TRACK, make, {"seeds": (0,), "months": 3})
