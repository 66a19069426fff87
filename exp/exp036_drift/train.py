"""Ways to meet labels that fall with time. Parents: none. Asks: does any beat leaving the drift to the trees?

Every row is the learner of exp010 on its features, on the posts of a later time block learnt from the earlier ones
alone (the last two blocks, the last being the holdout), with the same seeds: differences to `plain` are paired. A way
counts as better where it gains on both blocks by more than two standard deviations over seeds. Writes drift.csv.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from smp import features, tracks
from smp.disk.store import replacing
from smp.experiment import Run, Settings
from smp.features.time_place import seconds
from smp.folds import load_folds
from smp.learners import LightGBM
from smp.matrix import FeatureMatrix
from smp.metrics import mae, src
from smp.oof import Part, cross_fit, forward_parts, parts_of
from smp.runner import part_matrix, run_make
from smp.tracks.load import load_data

TRACK = "image"
GROUP = "studies"
PARENTS = ()
RAW_TIME = ("time_day", "post_number", "post_number_share")


@dataclass(frozen=True)
class Config(Settings):
    features: tuple[str, ...] = ("post_stats", "time_place", "user_behaviour", "tags_post", "tags_user", "title_tags")
    label_features: tuple[str, ...] = ("account_counters", "target_encoding", "user_labels")
    learner: LightGBM = LightGBM(objective="huber", rounds=800, extra_trees=True, feature_fraction=0.4)
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    half_lives: tuple[float, ...] = (1.0, 0.5, 0.25)  # of a label's weight, in lengths of the training posts' time
    window: float = 0.5  # share of the training posts, the latest, that are learnt from


SMALL = {
    "learner": LightGBM(objective="huber", rounds=300, learning_rate=0.08, extra_trees=True, feature_fraction=0.4),
    "seeds": (0, 1),
}


def make(run: Run) -> dict:
    config, data, split = run.config, load_data(TRACK), tracks.get(TRACK).split
    y, when = data.labels, seconds(data.items["time"])
    X = features.load(TRACK, config.features, data)
    timeless = columns(X, [n for n in X.names if n not in RAW_TIME])

    def fit(
        part: Part,
        X: FeatureMatrix = X,
        weight_of: Callable[[np.ndarray], np.ndarray] | None = None,
        window: float = 1.0,
        detrend: bool = False,
    ) -> np.ndarray:
        train = part.train[when[part.train] >= np.quantile(when[part.train], 1 - window)]
        age = (when[train].max() - when[train]) / np.ptp(when[train])
        slope = np.polyfit(when[train] - when[train].max(), y[train], 1)[0] if detrend else 0.0
        trend, pred = slope * (when - when[train].max()), []
        for seed in config.seeds:
            matrix = part_matrix(TRACK, X, config.label_features, data, part, seed)
            weight = weight_of(age) if weight_of else None
            fitted = config.learner.fit(matrix.take(train), (y - trend)[train], weight, seed)
            pred.append(fitted.predict(matrix.take(part.query)) + trend[part.query])
        return np.column_stack(pred)

    ways = {"plain": {}}
    ways |= {f"weights halve in {h:g}": {"weight_of": lambda age, h=h: 0.5 ** (age / h)} for h in config.half_lives}
    ways |= {f"latest {config.window:.0%} only": {"window": config.window}}
    ways |= {"labels less their linear trend": {"detrend": True}, "no raw time, no post number": {"X": timeless}}
    forward = forward_parts(parts_of(data, load_folds(TRACK, data), split), split)
    names = {part: f"block{key}" for key, part in list(forward.items())[-2:]}
    scores = {}  # (way, block, metric) -> a score a seed
    for number, (way, how) in enumerate(ways.items()):
        made = cross_fit(run.folder / f"way{number}", data.ids, list(names), lambda part, how=how: fit(part, **how))
        for part, pred in made:
            for metric in (src, mae):
                of_seed = [metric(y[part.query], p) for p in pred.to_numpy().T]
                scores[way, names[part], metric.__name__] = of_seed
    table = compare(pd.DataFrame(scores))
    with replacing(run.folder / "drift.csv") as aside:
        table.to_csv(aside)
    print(table.to_string())
    return {"rows": {name: len(part.query) for part, name in names.items()}}


def columns(X: FeatureMatrix, names: list[str]) -> FeatureMatrix:
    """X with the named columns only, copied."""
    values = X.dense()[:, [X.names.index(n) for n in names]]
    return FeatureMatrix(tuple(names), tuple(c for c in X.categorical if c in names), (values,), (np.arange(len(X)),))


def compare(scores: pd.DataFrame) -> pd.DataFrame:
    """scores: (seeds, way x block x metric). A row a way: means, paired differences to `plain`, sd."""
    rows = {}
    for way in scores.columns.unique(0):
        step = scores[way] - scores["plain"]
        kinds = {"": scores[way].mean(), "_step": step.mean(), "_step_sd": step.std()}
        rows[way] = {f"{b}_{m}{kind}": v[b, m] for b, m in scores[way].columns for kind, v in kinds.items()}
    return pd.DataFrame(rows).T.round(4).rename_axis("way")


if __name__ == "__main__":
    run_make(__file__, Config, TRACK, make, SMALL)
