"""The whole image track at SMPD's size and at a tenth of it: time and peak memory of every stage."""

import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from smp import features, paths, submission
from smp.bench.tabular import FULL, measured
from smp.disk.store import new_array, replacing, write_embeddings
from smp.errors import DataError
from smp.experiment import Experiment
from smp.learners import CatBoost, Learner, LightGBM
from smp.matrix import FeatureMatrix
from smp.paths import ROOT
from smp.present import markdown
from smp.report.readme import FOLDER as FIGURES
from smp.report.readme import replace_block
from smp.runner import run_cv
from smp.stacking import Fusion, run_fusion
from smp.tracks import demo
from smp.tracks.load import load_data

WIDTH, COMPONENTS = 7 * 512, 7 * 32  # of CLIP_FT (eq. 11) with ViT-B/32, and of its principal components
ROUNDS = 20  # of every booster: what is measured is the way there, not the score
PLAIN = ("post_stats", "time_place", "user_behaviour", "tags_post", "tags_user", "title_tags", "stream")


# What exp/README.md shows of a bench: its command and file, a title, and columns with their names (none: as they are).
TABLES = (
    ("full", "full", "", {}),
    (
        "representations",
        "representations",
        "**Encoding and training CLIP_FT** on the same machine: towers with random weights, JPEGs of 375 x 500;\n"
        "epochs of training on these posts, from the store and with every post encoded again:\n\n",
        {
            "model": "model",
            "posts": "posts",
            "image_bare": "pictures/s, network alone",
            "image_store": "pictures/s to the store",
            "image_bound": "limit",
            "text_bare": "texts/s, network alone",
            "text_store": "texts/s to the store",
            "extraction_peak_gb": "encoding, peak GB",
            "store_epoch_s": "epoch from the store, s",
            "store_peak_gb": "from the store, peak GB",
            "again_epoch_s": "epoch encoding again, s",
            "again_peak_gb": "encoding again, peak GB",
            "times_faster": "times faster",
        },
    ),
    (
        "representations",
        "projected",
        "**Projected to the full SMPD on GPUs**, from FLOPs and operations counted, bytes and decoding measured; an\n"
        "A100's 312 bf16 TFLOP/s used to 35 %, 8 decoding processes a GPU, 7 microseconds to launch an operation;\n"
        "training, of one model of all posts and one a fold, takes the larger of its two bounds at least:\n\n",
        {
            "model": "model",
            "gpus": "GPUs",
            "encode_hours": "network, minutes",
            "decode_hours": "decoding, minutes",
            "limit": "limit of encoding",
            "train_hours": "training by FLOPs, minutes",
            "launch_hours": "training by launches, minutes",
            "operations": "operations a step",
            "pictures_gb": "pictures, GB",
            "store_gb": "store, GB",
            "features_gb": "features, GB",
        },
    ),
)


@dataclass(frozen=True)
class Trees(Experiment):
    learner: Learner = LightGBM(objective="huber", rounds=ROUNDS, feature_fraction=0.4)
    features: tuple[str, ...] = (*PLAIN, "clip_ft_pca")
    label_features: tuple[str, ...] = ("account_counters", "label_means")
    label_blocks: int = 20
    seeds: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class Ordered(Trees):
    learner: Learner = CatBoost(rounds=ROUNDS)


@dataclass(frozen=True)
class Both(Fusion):
    parents: tuple[str, ...] = ("exp910_lgbm", "exp911_catboost")
    trials: int = 50


def full(posts: int = FULL, width: int = WIDTH, components: int = COMPONENTS) -> None:
    """Generated posts without pictures, from official files to a checked submission, through the real runner.

    Random float16 embeddings of the real widths stand in for CLIP_FT's. Every stage runs in a process of its own, on
    `posts` and on a tenth of them. Writes output/bench/full.csv, of which `python -m smp.bench readme` makes the
    table of exp/README.md; needs 8 GB of disk below output/ while it runs.

    Args:
        posts: generated posts, train and test together.
        width: columns of the embedding.
        components: columns of its principal components.
    """
    home = paths.output("image") / "bench"
    home.mkdir(parents=True, exist_ok=True)
    rows: dict[str, dict] = {}
    for n in (posts // 10, posts):
        with tempfile.TemporaryDirectory(dir=home) as folder:
            paths.use(Path(folder))
            for name, function, *arguments in stages(n, width, components):
                cost = measured(function, *arguments)
                row = rows.setdefault(name, {"stage": name})
                row |= {f"seconds, {n:,} posts": cost["seconds"], f"peak GB, {n:,} posts": cost["peak_gb"]}
                print(f"{n:,} posts, {name}: {cost['seconds']} s, {cost['peak_gb']} GB", flush=True)
    table = pd.DataFrame(rows.values())
    small, large = (f"seconds, {n:,} posts" for n in (posts // 10, posts))
    peak = f"peak GB, {posts:,} posts"
    total = {"stage": "all", small: table[small].sum(), large: table[large].sum(), peak: table[peak].max()}
    table = pd.concat([table, pd.DataFrame([total])], ignore_index=True)
    table["growth"] = table[large] / table[small]
    with replacing(home / "full.csv") as aside:
        table[["stage", small, large, "growth", peak]].round(2).to_csv(aside, index=False)
    print(table.round(2).to_string(index=False))


def readme() -> None:
    """Rewrite exp/README.md's tables of time and memory from what `full` and `representations` measured, kept in
    exp/figures."""
    for command, name, *_ in TABLES:
        path = paths.output("image") / "bench" / f"{name}.csv"
        if not path.exists():
            raise DataError(f"{path}: nothing measured yet; run python -m smp.bench {command}")
        with replacing(FIGURES / f"bench_{name}.csv") as aside:
            aside.write_bytes(path.read_bytes())
    replace_block(ROOT / "exp" / "README.md", "bench", tables())


def tables() -> str:
    """What the block of exp/README.md must say, from the measurements in exp/figures."""
    blocks = []
    for _, name, title, columns in TABLES:
        table = pd.read_csv(FIGURES / f"bench_{name}.csv")
        hours = [c for c in table if c.endswith("_hours")]
        table[hours] *= 60
        table = table.rename(columns=columns)[list(columns.values())] if columns else table
        digits = table.map(lambda v: round(v, 1 if v > 10 else 2) if isinstance(v, float) else v)
        blocks.append(title + markdown(digits))
    return "\n\n".join(blocks)


def stages(n: int, width: int, components: int) -> list[tuple[str, Callable, ...]]:
    """(name, function, its arguments) of every stage, in order; they meet through files."""
    return [
        ("generate official files", demo.generate, paths.official("image").parent, n, False, 0, ("image",)),
        ("load official files", load_data, "image"),
        *((f"features {name}", make, name) for name in PLAIN),
        (f"store {width:,} + {components} float16 columns", embed, width, components),
        (f"LightGBM, {ROUNDS} rounds, 9 fits", experiment, run_cv, "exp910_lgbm", Trees),
        (f"CatBoost, {ROUNDS} rounds, 9 fits", experiment, run_cv, "exp911_catboost", Ordered),
        ("fusion", experiment, run_fusion, "exp920_fusion", Both),
        ("submission, written and checked", submit),
        (f"LightGBM, 10 rounds, one fit on {width:,} columns", fit_wide),
    ]


def make(name: str) -> None:
    features.make("image", name, load_data("image"))


def embed(width: int, components: int) -> None:
    """Random `clip_ft` (n, width), written a slice at a time, and `clip_ft_pca` (n, components)."""
    ids, folder, rng = load_data("image").ids, paths.features("image"), np.random.default_rng(0)
    for name, columns in (("clip_ft", width), ("clip_ft_pca", components)):
        array = new_array(paths.output("image") / "random.npy", (len(ids), columns))
        for start in range(0, len(ids), 10_000):
            part = array[start : start + 10_000]
            part[:] = rng.standard_normal(part.shape, np.float32)
        write_embeddings(folder, name, ids, array, {"key": "random"})


def experiment(run: Callable, name: str, config: type) -> None:
    """Run an experiment that has no script of its own."""
    sys.argv = [name]
    run(f"{name}/train.py", config, "image")


def submit() -> None:
    for file in submission.write("exp920_fusion", "image"):
        submission.check(file, "image")


def fit_wide() -> None:
    """From the memory map: what counts is that no wide copy is made."""
    data = load_data("image")
    X: FeatureMatrix = features.load("image", ["clip_ft"], data)
    train = np.flatnonzero(data.labelled)
    fitted = LightGBM(rounds=10).fit(X.take(train), data.labels[train])
    fitted.predict(X.take(slice(0, 1000)))
