"""Feature families added one after the other. Parents: none. Asks: what does each add, on cv and on later posts?

The same learner and seeds for every row, so that a step is a paired difference; writes families.csv.
"""

import time
from dataclasses import dataclass

import numpy as np
import pandas as pd

from smp import features
from smp.disk.store import replacing
from smp.errors import one_line_errors
from smp.folds import label_blocks, load_folds
from smp.learners import LightGBM
from smp.oof import cross_fit, parts_of
from smp.runner import Run, finish, open_folder, parse_run, part_matrix, score
from smp.tracks.load import load_posts


@dataclass(frozen=True)
class Config:
    features: tuple[str, ...] = (
        *("post_stats", "time_place", "season", "user_behaviour", "picture_stats", "title_tags", "common_words"),
        *("tags_post", "tags_user", "text_words", "text_characters", "text_descriptions"),
    )
    label_features: tuple[str, ...] = ("account_counters", "target_encoding", "user_labels", "retrieval")
    learner: LightGBM = LightGBM(objective="huber", rounds=300, num_leaves=8, feature_fraction=0.2)
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)


SMALL = {
    "learner": LightGBM(objective="huber", rounds=150, learning_rate=0.1, num_leaves=8, feature_fraction=0.2),
    "seeds": (0, 1),
}


def make(run: Run) -> dict:
    started, config, posts = time.perf_counter(), run.config, load_posts("image")
    folds, y = load_folds("image", posts, run.scheme), posts["label"].to_numpy()
    parts = [p for p in parts_of(posts, folds) if p.name.startswith("fold")]
    rows, last, block = [], None, label_blocks(posts)
    ladder = [(f, ()) for f in config.features] + [((), f) for f in config.label_features]
    plain, labelled = [], []
    for family, label_family in ladder:
        plain += [family] if family else []
        labelled += [label_family] if label_family else []
        X = features.load("image", plain, posts)

        def fit_predict(part, X=X, labelled=tuple(labelled)):
            matrix = part_matrix("image", X, labelled, posts, part, block, config.seeds[0])
            train, query = matrix.take(part.train), matrix.take(part.query)
            pred = [config.learner.fit(train, y[part.train], seed=s).predict(query) for s in config.seeds]
            return np.column_stack(pred)

        name = family or label_family
        made = cross_fit(run.folder / f"{len(rows):02d}_{name}", posts.index, parts, fit_predict)
        scores = score("image", posts["label"], folds, made)
        by_seed = pd.DataFrame(scores["holdout_by_seed"])[["src", "mae"]]
        row = {"family": ("" if not rows else "+ ") + name}
        row |= {f"{k}_{m}": scores[k][m] for k in ("cv", "holdout") for m in ("src", "mae")}
        if last is not None:
            step = by_seed - last
            row |= {f"step_{m}": step[m].mean() for m in step} | {f"step_{m}_sd": step[m].std() for m in step}
        rows.append(row)
        last = by_seed
    table = pd.DataFrame(rows).round(4)
    with replacing(run.folder / "families.csv") as aside:
        table.to_csv(aside, index=False)
    print(table.to_string(index=False))
    return {"seconds": round(time.perf_counter() - started, 1)}


if __name__ == "__main__":
    with one_line_errors():
        run = parse_run(__file__, Config, "image", SMALL)
        if open_folder(run, shared=True):
            finish(run, make(run))
