"""What the pictures and words add, as each representation sees them. Parents: exp001_clip_ft, exp002_clip,
exp005_resnet_bert. Asks: does training to tell the subcategories make CLIP's features better? (Table 1)

The tabular model alone, and with each representation: as many components of all, what CLIP_FT says of how a post stands
to the classes, and its F whole (eq. 11). The same seeds for every row, judged on the forward blocks and on the holdout,
each predicted from earlier ones. Writes representations.csv; accuracy.csv, how often each branch
of CLIP_FT names the subcategory of posts it did not see, before and after training; representations.png; and answers
in metrics.json.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from smp import features, tracks
from smp.disk.store import replacing
from smp.evidence import gain, judge
from smp.experiment import Run, Settings
from smp.folds import load_folds
from smp.learners import LightGBM
from smp.oof import choosing_parts, cross_fit, finished, holdout_of, parts_of
from smp.present import COLORS, PALE, save, subplots
from smp.runner import part_matrix, run_make
from smp.study import say
from smp.tracks.load import load_data

import numpy as np
import pandas as pd

TRACK = "image"
GROUP = "studies"
PARENTS = ("exp001_clip_ft", "exp002_clip", "exp005_resnet_bert")
REPRESENTATIONS = {
    "no pixels": (),
    "frozen CLIP": ("clip_image_pca", "clip_text_pca"),
    "CLIP_FT": ("clip_ft_pca",),
    "CLIP_FT and its scalars": ("clip_ft_pca", "clip_ft_stats"),
    "CLIP_FT, F whole": ("clip_ft", "clip_ft_stats"),
    "CNN + BERT": ("resnet_image_pca", "bert_text_pca"),
}
CLAIMS = (("frozen CLIP", "no pixels"), ("CLIP_FT", "frozen CLIP"))
METRICS = tracks.get(TRACK).task.metrics


@dataclass(frozen=True)
class Config(Settings):
    features: tuple[str, ...] = (
        *("post_stats", "time_place", "user_behaviour", "tags_post", "tags_user", "title_tags"),
        *dict.fromkeys(name for names in REPRESENTATIONS.values() for name in names),
    )
    label_features: tuple[str, ...] = ("account_counters", "label_means", "user_labels")
    label_blocks: int = 20
    learner: LightGBM = LightGBM(objective="huber", rounds=800, extra_trees=True, feature_fraction=0.4)
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)


SMALL = {"learner": LightGBM(objective="huber", rounds=400, learning_rate=0.05, extra_trees=True, feature_fraction=0.4)}


def make(run: Run) -> dict:
    config, data = run.config, load_data(TRACK)
    y, parts = data.labels, parts_of(data, load_folds(TRACK, data), tracks.get(TRACK).split)
    parts = [*choosing_parts(parts), holdout_of(parts)]
    own = {name for names in REPRESENTATIONS.values() for name in names}
    X = features.load(TRACK, [name for name in config.features if name not in own], data)
    blocks, seed = config.label_blocks, config.seeds[0]
    tabular = {p.name: part_matrix(TRACK, X, config.label_features, data, p, seed, blocks) for p in parts}
    wide = next(iter(tabular.values())).shape[1]

    made = {}
    for name, families in REPRESENTATIONS.items():
        more = features.load(TRACK, families, data) if families else None

        def fit_predict(part, more=more):
            X = tabular[part.name]
            X = X.join(more) if more else X
            train, query = X.take(part.train), X.take(part.query)
            pred = [config.learner.fit(train, y[part.train], seed=s).predict(query) for s in config.seeds]
            return np.column_stack(pred)

        folder = run.folder / name.replace(" ", "_")
        pred = [table.to_numpy() for _, table in cross_fit(folder, data.ids, parts, fit_predict)]
        made[name] = wide + (more.shape[1] if more else 0), np.concatenate(pred)
    query = np.concatenate([p.query for p in parts])
    part = np.repeat([p.name for p in parts], [len(p.query) for p in parts])
    user = data.users[query]
    table, answers = compare(made, y[query], user, part)
    accuracy = pd.DataFrame(json.loads((finished(TRACK, "exp001_clip_ft") / "metrics.json").read_text())["accuracy"])
    for frame, name in ((table, "representations"), (accuracy.T, "accuracy")):
        with replacing(run.folder / f"{name}.csv") as aside:
            frame.to_csv(aside, index_label="training" if name == "accuracy" else "representation")
        print(frame.to_string())
    draw(table, accuracy.T, run.folder / "representations.png")
    say(answers)
    return {"holdout_rows": int((part == "holdout").sum()), "representations": table.T.to_dict(), "answers": answers}


def compare(
    made: dict[str, tuple[int, np.ndarray]], y: np.ndarray, user: np.ndarray, part: np.ndarray
) -> tuple[pd.DataFrame, list[dict[str, str]]]:
    """Mean scores over seeds with what each gains over two others, by the rule of smp.evidence; and the answers, which
    are the forward blocks'.

    made: representation -> columns, (q, seeds) predictions of the labels y (q,) of posts by users (q,) in parts (q,).
    """
    rows, answers = {name: {"columns": columns} for name, (columns, _) in made.items()}, []
    for name, (_, pred) in made.items():
        for where, at in (("forward", part != "holdout"), ("holdout", part == "holdout")):
            pieces = [at & (part == one) for one in np.unique(part[at])]
            for metric in METRICS:
                scores = [metric(y[piece], p[piece]) for piece in pieces for p in pred.T]
                rows[name][f"{where} {metric.name}"] = np.mean(scores)
            for other in ("no pixels", "frozen CLIP"):
                ours, theirs, tried = pred[at], made[other][1][at], len(METRICS) * len(CLAIMS)
                gains = [gain(m, y[at], ours, theirs, user[at], tried, part[at]) for m in METRICS]
                for metric, found in zip(METRICS, gains):
                    over = f"{where} {metric.name} over {other}"
                    rows[name] |= {over: found.mean, f"{over}, se": found.se}
                if (name, other) in CLAIMS and where == "forward":
                    judged = judge(f"{name} beats {other} (SRC and MAE)", gains)
                    of = ", ".join(f"{metric.name.upper()} {found}" for metric, found in zip(METRICS, gains))
                    answers.append(judged | {"numbers": f"{of} on forward blocks, {pred.shape[1]} seeds"})
    return pd.DataFrame(rows).T.round(4), answers


def draw(table: pd.DataFrame, accuracy: pd.DataFrame, path: Path) -> None:
    """Accuracy of the branches before and after training, and what each representation adds to the tabular model."""
    figure, [[left, *right]] = subplots(1, 3, gridspec_kw={"width_ratios": (3, 2, 2)})
    accuracy.drop(columns=["rows", "loss"]).T.plot.bar(ax=left, rot=20, color=[PALE, COLORS[0]])
    left.set(title=f"right subcategory, out of fold, {int(accuracy['rows'].iloc[0]):,} posts", ylim=(0, 1))
    rows = table.drop(index="no pixels")
    for axis, metric in zip(right, METRICS):
        step = f"holdout {metric.name} over no pixels"
        axis.barh(rows.index, rows[step], xerr=rows[f"{step}, se"], color=COLORS[0])
        axis.invert_yaxis()
        alone = table.loc["no pixels", f"holdout {metric.name}"]
        axis.set_title(f"holdout {metric.name.upper()} against no pixels, {alone:.4f}")
    save(figure, path)


if __name__ == "__main__":
    run_make(__file__, Config, TRACK, make, SMALL)
