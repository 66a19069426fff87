"""What exp010 owes to each of its ideas. Parents: none. Asks: which of them carry over to later posts?

A row is exp010 with one thing changed; its forward figures are the means over the blocks before the holdout, each
predicted from earlier ones. What exp010 gains over the row is paired over seeds, posts (whole users at a time) and
blocks, and called yes or no only at the level of smp.evidence for as many rows as there are. The holdout's figures
stand beside, and choose nothing. Writes families.csv.
"""

from dataclasses import dataclass, replace
from typing import Any

from smp.disk.store import replacing
from smp.evidence import gain
from smp.experiment import Experiment, Run
from smp.folds import load_folds
from smp.learners import LightGBM
from smp.oof import choosing_parts, cross_fit, holdout_of
from smp.runner import Tabular, run_make
from smp.tracks.load import load_data

import numpy as np
import pandas as pd

TRACK = "image"
GROUP = "studies"
PARENTS = ()
LESS = ("time_place", "user_behaviour", "tags_post", "tags_user", "title_tags", "stream")
LESS_LABELS = ("account_counters", "label_means", "user_labels")


@dataclass(frozen=True)
class Config(Experiment):
    """exp010's values."""

    features: tuple[str, ...] = ("post_stats", *LESS)
    label_features: tuple[str, ...] = LESS_LABELS
    label_blocks: int = 20
    level_blocks: int = 5
    learner: LightGBM = LightGBM(objective="l2", rounds=400, num_leaves=15, extra_trees=True, feature_fraction=0.3)
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    words: tuple[str, ...] = ("common_words", "text_words")  # families tried beside

    def rows(self) -> dict[str, dict[str, Any]]:
        """What each row changes."""
        learner = self.learner
        return {
            "exp010": {},
            **{f"less {f}": {"features": tuple(g for g in self.features if g != f)} for f in LESS},
            **{f"less {f}": {"label_features": tuple(g for g in self.label_features if g != f)} for f in LESS_LABELS},
            **{f"with {f}": {"features": (*self.features, f)} for f in self.words},
            "earlier labels in 5 blocks": {"label_blocks": 5},
            "the label itself": {"level_blocks": 0},
            "Huber loss": {"learner": replace(learner, objective="huber")},
            "best splits": {"learner": replace(learner, extra_trees=False)},
            "7 leaves": {"learner": replace(learner, num_leaves=7, rounds=2 * learner.rounds)},
            "31 leaves": {"learner": replace(learner, num_leaves=31)},
        }


def make(run: Run) -> dict:
    data, made, scores = load_data(TRACK), {}, {}
    folds, rows = load_folds(TRACK, data, run.scheme), run.config.rows()
    for number, (name, change) in enumerate(rows.items()):
        model = Tabular(replace(run, config=replace(run.config, **change)), data, folds)
        parts = [*choosing_parts(model.parts), holdout_of(model.parts)]
        made[name] = cross_fit(run.folder / f"{number:02d}", data.ids, parts, model.predict)
        of_part = [
            model.task.scores(data.labels[p.query], t.mean(axis=1).to_numpy(), data.items.iloc[p.query])
            for p, t in made[name]
        ]
        forward = pd.DataFrame(of_part[:-1]).mean()
        scores[name] = {f"forward_{m}": v for m, v in forward.items()}
        scores[name] |= {f"holdout_{m}": v for m, v in of_part[-1].items()}
    user = data.users
    for name in [n for n in rows if n != "exp010"]:
        for where, at in (("forward", slice(0, -1)), ("holdout", slice(-1, None))):
            pairs = list(zip(made["exp010"][at], made[name][at]))
            query = np.concatenate([p.query for (p, _), _ in pairs])
            part = np.repeat(range(len(pairs)), [len(p.query) for (p, _), _ in pairs])
            ours, theirs = (np.concatenate([pair[i][1].to_numpy() for pair in pairs]) for i in (0, 1))
            for metric in model.task.metrics:
                found = gain(metric, data.labels[query], ours, theirs, user[query], len(rows) - 1, part)
                scores[name] |= {f"{where}_{metric.name}_gain": found.mean, f"{where}_{metric.name}_se": found.se}
                scores[name][f"{where}_{metric.name}_helps"] = found.answer
    table = pd.DataFrame(scores).T.infer_objects().round(4)
    with replacing(run.folder / "families.csv") as aside:
        table.to_csv(aside, index_label="row")
    print(table.to_string())
    return {}


SMALL = {"seeds": (0, 1, 2)}

if __name__ == "__main__":
    run_make(__file__, Config, TRACK, make, SMALL, shared=True)
