"""What each ingredient of M3TR gives. Parents: exp070_knn, exp070_lgbm, exp071_m3tr. Asks: do the claims of M3TR hold
on these videos?

A variant takes one thing out and is trained as the system was, on the same rows with the same seeds; all are compared
on the holdout, paired over seeds and channels' videos, at one level that all comparisons share. Writes ingredients.csv,
and process.csv: how likely the feedback of held-out videos is under M3TR's process, a Hawkes and a Poisson process.
"""

from dataclasses import dataclass, replace

from smp import tracks
from smp.disk.store import read_table, replacing
from smp.evidence import gain, judge
from smp.experiment import Run, Settings, config_of, predictions_read
from smp.folds import load_folds
from smp.metrics import Metric
from smp.oof import Part, cross_fit, finished, holdout_of, parts_of
from smp.runner import run_make
from smp.study import claims, say, side_by_side
from smp.tracks.load import load_data
from smp.tracks.microvideo import networks
from smp.tracks.microvideo.networks import Fitted, Network

import numpy as np
import pandas as pd

TRACK = "microvideo"
GROUP = "studies"
PARENTS = ("exp070_knn", "exp070_lgbm", "exp071_m3tr")
KNN, TREES, WHOLE = PARENTS
VARIANTS = {
    "M3TR without retrieval": {"retrieved": 0},
    "M3TR without the Hawkes process": {"likelihood": 0.0},
    "M3TR, content keys alone": {"beta": 1.0},
    "M3TR, trajectory keys alone": {"beta": 0.0},
    "M3TR, retrieval at random": {"random": True},
}
# of variants beside one another: the claim that a trajectory finds what content does not
PAIRS = (
    *((WHOLE, other) for other in (KNN, TREES, *VARIANTS)),
    ("M3TR, trajectory keys alone", "M3TR, content keys alone"),
    ("M3TR, trajectory keys alone", "M3TR, retrieval at random"),
)


@dataclass(frozen=True)
class Config(Settings):
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)  # of the variants, where the system has as many

    def inputs(self, track: str) -> dict[str, str]:
        return predictions_read(track, PARENTS)


def make(run: Run) -> dict:
    data, metric = load_data(TRACK), tracks.get(TRACK).task.metrics[0]
    part = holdout_of(parts_of(data, load_folds(TRACK, data), tracks.get(TRACK).split))
    predicted = {name: read_table(finished(TRACK, name) / "holdout.parquet").to_numpy() for name in PARENTS}
    whole, asked = config_of(TRACK, WHOLE, Network), Part("inner", "", part.train, part.query)
    inputs = networks.prepare(whole, data, TRACK).joined(networks.from_labels(whole, TRACK, data, part))
    seeds = [s for s in whole.seeds if s in run.config.seeds]
    for name, change in VARIANTS.items():
        config = replace(whole, model=replace(whole.model, **change))

        def fit_predict(part: Part, config=config) -> np.ndarray:
            fitted = [networks.fit(config, inputs, data.labels, part.train, s) for s in seeds]
            return np.stack([f.predict(inputs, part.query) for f in fitted], axis=1)

        [(_, table)] = cross_fit(run.folder / name.replace(" ", "_"), data.ids, [asked], fit_predict)
        predicted[name] = table.to_numpy()
    channel = data.users[part.query]
    table = side_by_side(metric, data.labels[part.query], predicted, PAIRS, channel)
    kept = [Fitted.load(finished(TRACK, WHOLE) / "holdout_models" / f"seed{s}") for s in whole.seeds]
    process, judged = explained(kept, inputs, part, channel)
    for name, made in (("ingredients", table), ("process", process)):
        with replacing(run.folder / f"{name}.csv") as aside:
            made.round(4).to_csv(aside, index=False)
    found = [*claims(table, metric), judged]
    say(found)
    return {"answers": found}


def explained(
    kept: list[Fitted], inputs: networks.Inputs, part: Part, channel: np.ndarray
) -> tuple[pd.DataFrame, dict[str, str]]:
    """How likely held-out videos' feedback is, a doubling of a counter, under M3TR and processes in closed form."""
    rivals = networks.rival_processes(inputs, part.train, part.query)
    ours = np.stack([f.log_likelihood(inputs, part.query) for f in kept], axis=1)
    came = np.nan_to_num(inputs.steps.counts[part.query]).sum((1, 2))
    table = pd.DataFrame({"seed": range(len(kept)), "videos": len(part.query), "m3tr": ours.sum(0) / came.sum()})
    table = table.assign(**{name: log.sum() / came.sum() for name, log in rivals.items()})
    a_doubling = Metric("log_likelihood", lambda n, log: log.sum() / n.sum(), greater_is_better=True)
    gains = [
        gain(a_doubling, came, ours, np.tile(log[:, None], len(kept)), channel, tried=len(rivals))
        for log in rivals.values()
    ]
    said = judge("M3TR explains held-out feedback better than Hawkes and Poisson processes", gains)
    numbers = f"log-likelihood a doubling {table['m3tr'].mean():.3f}; gains over "
    return table, said | {"numbers": numbers + ", ".join(f"{name} {made}" for name, made in zip(rivals, gains))}


if __name__ == "__main__":
    run_make(__file__, Config, TRACK, make, {"seeds": (0, 1, 2)})
