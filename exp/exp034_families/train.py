"""Feature families added one after the other. Parents: none. Asks: what does each add, on cv and on later posts?

The same learner and seeds for every row, so that a step is a paired difference; writes families.csv.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from smp import features, tracks
from smp.disk.store import replacing
from smp.experiment import Run, Settings
from smp.folds import load_folds
from smp.learners import LightGBM
from smp.oof import cross_fit, parts_of
from smp.runner import part_matrix, run_make
from smp.scores import score
from smp.tracks.load import load_data

TRACK = "image"
GROUP = "studies"
PARENTS = ()


@dataclass(frozen=True)
class Config(Settings):
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
    config, data = run.config, load_data(TRACK)
    folds, y = load_folds(TRACK, data, run.scheme), data.labels
    parts = [p for p in parts_of(data, folds, tracks.get(TRACK).split) if p.kind in ("fold", "holdout")]
    rows, last = [], None
    ladder = [(f, ()) for f in config.features] + [((), f) for f in config.label_features]
    plain, labelled = [], []
    for family, label_family in ladder:
        plain += [family] if family else []
        labelled += [label_family] if label_family else []
        X = features.load(TRACK, plain, data)

        def fit_predict(part, X=X, labelled=tuple(labelled)):
            matrix = part_matrix(TRACK, X, labelled, data, part, config.seeds[0])
            train, query = matrix.take(part.train), matrix.take(part.query)
            pred = [config.learner.fit(train, y[part.train], seed=s).predict(query) for s in config.seeds]
            return np.column_stack(pred)

        name = family or label_family
        made = cross_fit(run.folder / f"{len(rows):02d}_{name}", data.ids, parts, fit_predict)
        scores = score(TRACK, data, made)
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
    return {}


if __name__ == "__main__":
    run_make(__file__, Config, TRACK, make, SMALL, shared=True)
