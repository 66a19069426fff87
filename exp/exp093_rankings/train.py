"""Which ranking fills a cache best, and at what cost. Parents: exp090_decay, exp090_lgbm, exp091, exp092. Asks: do
CacheMamba's claims hold on these requests?

CacheMamba against decayed counts, LightGBM, the Transformer, and itself with one thing changed, trained on the same
windows with the same seeds: hit rate at 5 % and NDCG of the holdout's windows, paired over windows and seeds, at one
level that all comparisons share. Writes rankings.csv, lengths.csv (operations and seconds of a ranking by the length of
the series) and reactive.csv (LRU and LFU, which change within a window). Small profile: the one seed that the networks
have there; where they have more, `--seeds 0 1 2` asks for more.
"""

import time
from collections import Counter
from dataclasses import dataclass, replace

from smp import paths, tracks
from smp.disk.store import read_table, replacing
from smp.experiment import Run, Settings, config_of, predictions_read
from smp.folds import load_folds
from smp.metrics import Metric
from smp.models.cachemamba import Ranker
from smp.nn.parallel import one_thread
from smp.oof import Part, cross_fit, finished, holdout_of, parts_of
from smp.progress import progress
from smp.runner import run_make
from smp.study import claims, say, side_by_side
from smp.tracks.load import load_data
from smp.tracks.requests.history import MARKS
from smp.tracks.requests.networks import Inputs, Network, fit
from smp.tracks.requests.ranking import BESIDE, HITS, OF_WINDOWS
from smp.tracks.requests.reactive import POLICIES, hit_rate
from smp.tracks.requests.read import files, requests

import numpy as np
import pandas as pd
import torch

TRACK = "requests"
GROUP = "studies"
PARENTS = ("exp090_decay", "exp090_lgbm", "exp091_cachemamba", "exp092_transformer")
DECAY, TREES, MAMBA, TRANSFORMER = PARENTS
JUDGED = ("hit_5", "ndcg_50")
TIMED = 64  # objects that a ranking is timed of


@dataclass(frozen=True)
class Config(Settings):
    longer: int = 64  # windows of the series of the longer variants
    lengths: tuple[int, ...] = (64, 256, 1024)  # of the table of costs
    seeds: tuple[int, ...] = (0, 1, 2)  # of the variants, where their system has as many

    def inputs(self, track: str) -> dict[str, str]:
        return predictions_read(track, PARENTS)


def make(run: Run) -> dict:
    data, room = load_data(TRACK), tracks.get(TRACK)
    part = holdout_of(parts_of(data, load_folds(TRACK, data), room.split))
    predicted = {name: read_table(finished(TRACK, name) / "holdout.parquet").to_numpy() for name in PARENTS}
    (mamba, transformer), longer = (config_of(TRACK, n, Network) for n in (MAMBA, TRANSFORMER)), run.config.longer
    alone, series = "CacheMamba beside no decayed count", "CacheMamba without numbers beside the series"
    long = {MAMBA: f"CacheMamba, {longer} windows", TRANSFORMER: f"the Transformer, {longer} windows"}
    variants = {
        alone: replace(mamba, model=replace(mamba.model, residual=False)),
        series: replace(mamba, features=("decays",)),
        long[MAMBA]: replace(mamba, length=longer),
        long[TRANSFORMER]: replace(transformer, length=longer),
    }
    for name, config in variants.items():
        inputs = Inputs.of(config, TRACK, data)
        seeds = [s for s in config.seeds if s in run.config.seeds]

        def fit_predict(part: Part, config=config, inputs=inputs, seeds=seeds) -> np.ndarray:
            fitted = [fit(config, inputs, part.train, s) for s in seeds]
            return np.stack([f.predict(inputs, part.query) for f in fitted], axis=1)

        inner = Part("inner", "", part.train, part.query)
        [(_, table)] = cross_fit(run.folder / name.replace(" ", "_"), data.ids, [inner], fit_predict)
        predicted[name] = table.to_numpy()
    pairs = [(MAMBA, DECAY), (MAMBA, TREES), (MAMBA, TRANSFORMER), (MAMBA, alone), (MAMBA, series)]
    pairs += [(long[MAMBA], MAMBA), (long[MAMBA], long[TRANSFORMER])]

    y, beside = data.labels[part.query], [data.items[name].to_numpy()[part.query] for name in BESIDE]
    found, tables = [], []
    for name in JUDGED:
        of = OF_WINDOWS[name]
        windows = {k: np.stack([of(y, column, *beside) for column in p.T], axis=1) for k, p in predicted.items()}
        count = len(windows[MAMBA])
        mean = Metric(name, lambda _, p: p.mean(), greater_is_better=True)
        table = side_by_side(mean, np.zeros(count), windows, pairs, np.arange(count))
        found += claims(table, mean)
        tables.append(table.rename(columns={name: "score", f"other {name}": "other score"}).assign(metric=name))
    reactive = policies(data.items.iloc[part.query])
    costs = pd.DataFrame([cost(n, length) for length in run.config.lengths for n in (mamba, transformer)])
    rankings = pd.concat(tables).set_index("metric").reset_index()
    for name, made in (("rankings", rankings), ("lengths", costs), ("reactive", reactive)):
        with replacing(run.folder / f"{name}.csv") as aside:
            made.round(4).to_csv(aside, index=False)
    say(found)
    return {"answers": found}


def cost(config: Network, length: int) -> dict[str, float]:
    """What it takes to rank a thousand objects: floating point operations and seconds of one core (best of 3)."""
    network = Ranker(config.model, length, MARKS, 1).eval()
    batch = {"marks": torch.randn(TIMED, length, MARKS), "there": torch.ones(TIMED, length, dtype=torch.bool)}
    batch |= {"scalars": torch.zeros(TIMED, 1), "base": torch.zeros(TIMED)}
    seconds = []
    with torch.no_grad(), one_thread():
        for _ in range(3):
            started = time.perf_counter()
            network.score(batch)
            seconds.append(time.perf_counter() - started)
    parameters = sum(p.numel() for p in network.parameters())
    return {
        "length": length,
        "system": type(config.model).__name__,
        "parameters": parameters,
        "gigaflops per 1,000 objects": 1e3 * config.model.flops(length) / 1e9,
        "seconds per 1,000 objects": min(seconds) * 1e3 / TIMED,
    }


def policies(asked: pd.DataFrame) -> pd.DataFrame:
    """Hit rates of reactive policies over the windows that are asked for, with the caches that rankings fill."""
    code = pd.factorize(requests(files(paths.data(TRACK))[0], Counter())["object"])[0]
    length, first, last = int(asked["requests"].iloc[0]), int(asked["window"].min()), int(asked["window"].max())
    sizes = {share: int(np.ceil(share * asked["catalogue"].min())) for share in HITS}
    objects, rows = code[: (last + 2) * length].tolist(), {policy: {"policy": policy} for policy in POLICIES}
    todo = [(policy, share) for policy in POLICIES for share in HITS]
    for policy, share in progress(todo, desc="reactive policies", unit="cache"):
        rows[policy][HITS[share]] = hit_rate(policy, objects, sizes[share], (first + 1) * length)
    return pd.DataFrame(rows.values())


if __name__ == "__main__":
    run_make(__file__, Config, TRACK, make, {"seeds": (0,)})
