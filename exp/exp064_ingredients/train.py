"""What each ingredient of the cascade systems gives. Parents: exp060_log_linear, exp060_linear, exp060_lgbm,
exp060_gru, exp061-063. Asks: do the claims of ConCat, CasFT and AutoCas hold on these cascades?

A variant takes one thing out of a system and is trained as the system was, on the same rows with the same seeds; all
are compared on the holdout, paired over seeds and root users' cascades, at one level that all comparisons share. Writes
ingredients.csv, process.csv (how likely held-out events are under ConCat, a Hawkes and a Poisson process), trend.csv
(what CasFT's draws know of the trend, beside a Gaussian's) and forecast.png (cascades, intensity, forecast).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from smp import present, tracks
from smp.disk.store import read_table, replacing
from smp.evidence import gain, judge
from smp.experiment import Run, Settings, config_of, predictions_read
from smp.folds import load_folds
from smp.metrics import Metric
from smp.models.autocas import RANDOM
from smp.oof import Part, cross_fit, finished, holdout_of, parts_of
from smp.runner import run_make
from smp.study import claims, say, side_by_side
from smp.tracks.base import Data
from smp.tracks.cascade import networks, sequences
from smp.tracks.cascade.events import Events
from smp.tracks.cascade.networks import Fitted, Network
from smp.tracks.load import load_data

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

TRACK = "cascade"
GROUP = "studies"
PARENTS = (
    "exp060_log_linear",
    "exp060_linear",
    "exp060_lgbm",
    "exp060_gru",
    "exp061_concat",
    "exp062_casft",
    "exp063_autocas",
)
LINE, RIDGE, TREES, GRU, CONCAT, CASFT, AUTOCAS = PARENTS
NAMES = dict(zip(PARENTS, ("a line", "ridge regression", "LightGBM", "a plain GRU", "ConCat", "CasFT", "AutoCas")))
RIVALS = {CONCAT: (LINE, RIDGE, TREES, GRU), CASFT: (RIDGE, TREES, GRU, CONCAT), AUTOCAS: (LINE, RIDGE, TREES, GRU)}
# what is taken out -> the system, and how its model changes
VARIANTS: dict[str, tuple[str, Callable]] = {
    "ConCat without the ODE": (CONCAT, lambda m: replace(m, ode=False)),
    "ConCat without the point process": (CONCAT, lambda m: replace(m, likelihood=0.0)),
    "ConCat not propagated to the end": (CONCAT, lambda m: replace(m, propagated=False)),
    "CasFT without a trend": (CASFT, lambda m: replace(m, trend="none")),
    "CasFT without cues": (CASFT, lambda m: replace(m, cues=False)),
    "CasFT with a Gaussian trend": (CASFT, lambda m: replace(m, trend="gaussian")),
    "AutoCas, random frozen weights": (AUTOCAS, lambda m: replace(m, weights="random")),
    "AutoCas, trained from scratch": (AUTOCAS, lambda m: replace(m, weights="trained")),
    "AutoCas without a language model": (AUTOCAS, lambda m: replace(m, weights="none")),
}
GAUSSIAN = "CasFT with a Gaussian trend"
EARLIER = 0.75  # of AutoCas's slices: asked there too, though it is trained once


@dataclass(frozen=True)
class Config(Settings):
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)  # of the variants, where their system has as many
    drawn: int = 3  # cascades in the picture

    def inputs(self, track: str) -> dict[str, str]:
        return predictions_read(track, PARENTS)


def kept(name: str, seeds: tuple[int, ...]) -> list[Fitted]:
    """A system's networks that predicted the holdout."""
    return [Fitted.load(finished(TRACK, name) / "holdout_models" / f"seed{s}") for s in seeds]


def make(run: Run) -> dict:
    data = load_data(TRACK)
    part = holdout_of(parts_of(data, load_folds(TRACK, data), tracks.get(TRACK).split))
    asked = Part("inner", "", part.train, part.query)
    of_system = {name: config_of(TRACK, name, Network) for name in (CONCAT, CASFT, AUTOCAS)}
    prepared = {name: networks.prepare(config, data, TRACK) for name, config in of_system.items()}
    is_random = of_system[AUTOCAS].model.model == RANDOM
    names = NAMES | ({AUTOCAS: "AutoCas with RANDOM weights"} if is_random else {})
    predicted = {said: read_table(finished(TRACK, name) / "holdout.parquet").to_numpy() for name, said in names.items()}
    pairs = [(names[name], names[rival]) for name, rivals in RIVALS.items() for rival in rivals]
    gaussians = []
    for name, (parent, change) in VARIANTS.items():
        config = of_system[parent]
        config = replace(config, model=change(config.model))
        seeds = tuple(s for s in config.seeds if s in run.config.seeds)
        inputs, answers = prepared[parent]

        def fit_predict(part, config=config, inputs=inputs, answers=answers, seeds=seeds, name=name):
            fitted = [networks.fit(config, inputs, answers, part.train, s) for s in seeds]
            for seed, one in zip(seeds, fitted) if name == GAUSSIAN else ():
                one.save(run.folder / "gaussian" / f"seed{seed}")
            return np.stack([f.predict(inputs, part.query) for f in fitted], axis=1)

        predicted[name] = cross_fit(run.folder / name, data.ids, [asked], fit_predict)[0][1].to_numpy()
        pairs.append((names[parent], name))
        gaussians = [run.folder / "gaussian" / f"seed{s}" for s in seeds] if name == GAUSSIAN else gaussians

    metric, user = tracks.get(TRACK).task.metrics[0], data.users
    table = side_by_side(metric, data.labels[part.query], predicted, pairs, user[part.query])
    write(run.folder / "ingredients.csv", table)
    concat, casft = kept(CONCAT, of_system[CONCAT].seeds), kept(CASFT, of_system[CASFT].seeds)
    gaussian = [Fitted.load(folder) for folder in gaussians]
    found = [*claims(table, metric), explained(run.folder, concat, prepared[CONCAT][0], part)]
    found += trends(run.folder, casft, gaussian, prepared[CASFT], part)
    found.append(at_an_earlier_time(data, part, of_system[AUTOCAS], prepared[AUTOCAS]))
    picture = forecast(data, part, concat[0], casft[0], prepared[CONCAT][0], prepared[CASFT][0], run.config.drawn)
    present.save(picture, run.folder / "forecast.png")
    say(found)
    return {"answers": found}


def explained(folder: Path, concat: list[Fitted], inputs: networks.Inputs, part: Part) -> dict[str, str]:
    """How likely the events of held-out cascades are under ConCat and under processes in closed form; process.csv."""
    claim = "ConCat explains held-out events better than Hawkes and Poisson processes"
    train, rows = networks.whole(inputs, part.train), networks.whole(inputs, part.query)
    if not (len(train) and len(rows)):
        write(folder / "process.csv", pd.DataFrame({"cascades": [0]}))
        return answer(claim, "not resolved", "every cascade is thinned")
    rivals, flat = networks.rival_processes(inputs, train, rows)
    made = [networks.process_quality(fitted, inputs, rows) for fitted in concat]
    events, ours = inputs.events.mask[rows].sum(1) - 1, np.stack([log for log, _ in made], axis=1)
    table = pd.DataFrame({"seed": range(len(made)), "cascades": len(rows), "concat": ours.sum(0) / events.sum()})
    table = table.assign(**{name: log.sum() / events.sum() for name, log in rivals.items()})
    write(folder / "process.csv", table.assign(concat_distance=[d for _, d in made], poisson_distance=flat))
    an_event = Metric("log_likelihood", lambda n, log: log.sum() / n.sum(), greater_is_better=True)
    gains = [gain(an_event, events, ours, np.tile(log[:, None], len(made)), tried=2) for log in rivals.values()]
    numbers = f"log-likelihood an event {table['concat'].mean():.3f}; gains over " + ", ".join(
        f"{name} {made}" for name, made in zip(rivals, gains)
    )
    numbers += f"; {len(rows)} cascades; distance from exponential times {np.mean([d for _, d in made]):.3f}, "
    return judge(claim, gains) | {"numbers": numbers + f"a Poisson process's {flat:.3f}"}


def trends(folder: Path, casft: list[Fitted], gaussian: list[Fitted], prepared: tuple, part: Part) -> list[dict]:
    """What CasFT's draws know of the trend, beside a Gaussian's; trend.csv."""
    rows, n = [], min(len(casft), len(gaussian))
    crps = {}
    for kind, networks_of in {"diffusion": casft, "gaussian": gaussian}.items():
        made = [networks.trend_quality(f, *prepared, part.query) for f in networks_of[:n]]
        rows += [{"trend": kind, "seed": s, "inside_80": i.mean(), "crps": c.mean()} for s, (i, c) in enumerate(made)]
        crps[kind] = np.stack([c for _, c in made], axis=1)
    table = pd.DataFrame(rows)
    write(folder / "trend.csv", table)
    inside = table["inside_80"][table["trend"] == "diffusion"].mean()
    said = "yes" if 0.75 <= inside <= 0.85 else "no"
    error = Metric("crps", lambda y, p: float(p.mean()), greater_is_better=False)
    made = gain(error, np.zeros(len(part.query)), crps["diffusion"], crps["gaussian"])
    numbers = f"CRPS {crps['diffusion'].mean():.3f} and {crps['gaussian'].mean():.3f}, gain {made}"
    return [
        answer("CasFT's middle 80 % hold 75 to 85 % of what comes", said, f"{inside:.1%}"),
        answer("CasFT's draws know the trend better than a Gaussian's", made.answer, numbers),
    ]


def answer(claim: str, said: str, numbers: str) -> dict[str, str]:
    return {"claim": claim, "answer": said, "numbers": numbers}


def at_an_earlier_time(data: Data, part: Part, config: Network, prepared: tuple) -> dict[str, str]:
    """AutoCas asked after fewer slices than it was trained for, beside a line fitted to the counts at that time."""
    (inputs, answers), metric = prepared, tracks.get(TRACK).task.metrics[0]
    j = round(EARLIER * config.model.slices)
    y, size = answers.earlier[:, j - 1], inputs.known[:, j - 1, 0]
    line = np.polyval(np.polyfit(size[part.train], y[part.train], 1), size[part.query])[:, None]
    made = np.stack([f.predict(inputs, part.query, j) for f in kept(AUTOCAS, config.seeds)], axis=1)
    found = gain(metric, y[part.query], made, np.repeat(line, made.shape[1], axis=1))
    hours = networks.slice_edges(inputs.observation, config.model.slices)[j] / 3600
    scores = [np.mean([metric(y[part.query], p) for p in made.T]), metric(y[part.query], line[:, 0])]
    claim = f"AutoCas, not trained again, beats a line fitted there when asked after {hours:.2f} h"
    return answer(claim, found.answer, f"MSLE {scores[0]:.3f} and {scores[1]:.3f}, gain {found}")


def forecast(data: Data, part: Part, concat: Fitted, casft: Fitted, seen, seen_casft, count: int) -> Figure:
    """Cascades of the holdout: their events, the intensity while they are observed, and what is expected after."""
    order = part.query[np.argsort(data.labels[part.query])]
    rows = order[(np.linspace(0.2, 0.9, count) * len(order)).astype(int)]
    events, t_o = Events.of(data.items, data.events), seen.observation
    window = t_o, seen.horizon
    noise = np.random.default_rng(0).standard_normal((200, casft.model.intervals))
    later = np.cumsum(2 ** casft.trends(seen_casft, rows, noise) - 1, axis=2)  # (c, 200, l)
    ends = networks.interval_edges(window, casft.model.intervals)[1:] / 3600
    with torch.no_grad():
        path = concat.network.eval().trunk(networks.tensors_of(concat.model, seen, concat.readers, rows))
        rate = concat.network.trunk.ode.field(path.before)[1].squeeze(2).numpy()
    figure, axes = present.subplots(2, count, width=4.0, height=2.6, sharex="col")
    for k, row in enumerate(rows):
        t = events.time[events.start[row] : events.start[row + 1]] / 3600
        t = t[t < seen.horizon / 3600]
        n = int((t < t_o / 3600).sum())
        upper, lower = axes[0, k], axes[1, k]
        upper.plot(t, np.arange(1, len(t) + 1), color=present.PALE, label="what came")
        upper.plot(t[:n], np.arange(1, n + 1), color=present.COLORS[0], label="observed")
        low, mid, high = (n + np.quantile(later[k], q, axis=0) for q in (0.1, 0.5, 0.9))
        upper.fill_between([t_o / 3600, *ends], [n, *low], [n, *high], color=present.COLORS[1], alpha=0.25)
        upper.plot([t_o / 3600, *ends], [n, *mid], color=present.COLORS[1], label="forecast, 80 %")
        upper.set(title=f"cascade {data.ids[row]}", ylabel="events", yscale="log")
        mask = seen.events.mask[row]
        at = sequences.seconds(seen.events.clock[row][mask], t_o)
        per_hour = rate[k][mask] / ((at + sequences.FINEST * t_o) * np.log1p(1 / sequences.FINEST)) * 3600
        lower.plot(at[1:] / 3600, per_hour[1:], color=present.COLORS[2])
        lower.set(xlabel="hours since the root", ylabel="intensity, events an hour", yscale="log", xscale="symlog")
    axes[0, 0].legend(fontsize=8)
    return figure


def write(path: Path, table: pd.DataFrame) -> None:
    with replacing(path) as aside:
        table.round(4).to_csv(aside, index=False)


if __name__ == "__main__":
    run_make(__file__, Config, TRACK, make, {"seeds": (0, 1, 2)})
