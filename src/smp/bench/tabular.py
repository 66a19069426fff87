"""Measurements: `python -m smp.bench tabular`, and `representations` (encoders, CLIP_FT)."""

import math
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from smp import features, memory, paths, tracks
from smp.disk.store import replacing
from smp.folds import label_blocks, make_folds
from smp.learners import LightGBM
from smp.matrix import FeatureMatrix
from smp.oof import Part, cross_fit, parts_of
from smp.tracks import demo
from smp.tracks.base import Data
from smp.tracks.image import read as image

if TYPE_CHECKING:
    from smp.encoders import Loading

FAMILIES, SPLIT = tracks.get("image").families, tracks.get("image").split
BLOCKS = 20  # of earlier labels
FULL = 486_000  # posts of SMPD-Image
WIDE = 3_600  # columns of the paper's features (eq. 11) with ViT-L/14


def tabular(posts: int = FULL, wide: int = WIDE) -> None:
    """Every feature family at full size and at a tenth of it, the runner's overhead, and a wide matrix from disk.

    Writes output/bench/tabular.csv and prints it. Each row ran in a process of its own, whose peak memory includes the
    posts table.

    Args:
        posts: generated posts, train and test together.
        wide: columns of the wide float16 matrix that LightGBM is trained on; 0 leaves it out.
    """
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        tables = {}
        for n in (posts // 10, posts):
            where = Path(folder) / str(n)
            cost = measured(demo.generate, where, n, False, 0, ("image",))
            rows.append({"what": "generate official files", "posts": n, **cost})
            rows.append({"what": "load official files", "posts": n, **measured(image.read, where / "smpd_image")})
            tables[n] = image.read(where / "smpd_image")[0]
        for name, family in FAMILIES.items():
            # minilm's rate is that of the sentence encoder, which its bar says; others' embeddings are not here
            if not (family.shards or family.reads or family.labels):
                for n, table in tables.items():
                    cost = measured(features.build, "image", name, table)
                    rows.append({"what": f"features {name}", "posts": n, **cost})
                    print(rows[-1], flush=True)
        for name in (n for n, family in FAMILIES.items() if family.labels):
            for n, table in tables.items():
                cost = measured(label_family, name, table)
                rows.append({"what": f"label features {name}", "posts": n, **cost})
                print(rows[-1], flush=True)
        rows += runner_overhead(tables[posts // 10], Path(folder))
        if wide:
            cost = wide_training(posts, wide, folder)
            rows.append({"what": f"LightGBM on {wide} float16 columns", "posts": posts, **cost})
    table = pd.DataFrame(rows)
    small = table["posts"].eq(posts // 10)
    base = table[small].set_index("what")["seconds"]
    table["growth"] = np.where(small, np.nan, table["seconds"] / table["what"].map(base)).round(1)
    path = paths.output("image") / "bench" / "tabular.csv"
    with replacing(path) as aside:
        table.to_csv(aside, index=False)
    print(table.to_string(index=False))


def label_family(name: str, data: Data) -> None:
    """A family made from labels, as the full fit would make it."""
    block = label_blocks(data, np.flatnonzero(data.labelled), BLOCKS)
    FAMILIES[name].build(data.items, data.labels, block, 0)


def measured(function: Callable, *arguments: object) -> dict[str, float]:
    """Run in a forked child; its wall seconds, peak memory in GB, and the dict it returns, if any.

    Raises MemoryError where the system killed it, RuntimeError when it fails otherwise.
    """
    queue = multiprocessing.get_context("fork").SimpleQueue()

    def child() -> None:
        started = time.perf_counter()
        made = function(*arguments)
        cost = {"seconds": time.perf_counter() - started, "peak_gb": memory.peak_gb()}
        queue.put({k: round(v, 2) for k, v in cost.items()} | (made if isinstance(made, dict) else {}))

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join()
    if process.exitcode in memory.KILLED:
        raise MemoryError(function.__qualname__)
    if process.exitcode:
        raise RuntimeError(f"{function.__qualname__} failed with exit code {process.exitcode}")
    return queue.get()


def runner_overhead(data: Data, folder: Path) -> list[dict]:
    """The K-fold loop with its files against bare LightGBM training and prediction of the same matrices."""
    rng = np.random.default_rng(0)
    y, posts = data.labels, data.items
    X = FeatureMatrix.from_table(pd.DataFrame(rng.normal(size=(len(posts), 60)).astype(np.float32)).add_prefix("x"))
    learner, parts = LightGBM(rounds=100), parts_of(data, make_folds(data, SPLIT), SPLIT)

    def bare() -> None:
        import lightgbm

        values = X.dense()
        for part in parts:
            train = lightgbm.Dataset(values[part.train], y[part.train])
            lightgbm.train(learner.parameters(X, 0), train, learner.rounds).predict(values[part.query])

    def looped() -> None:
        def fit_predict(part: Part) -> np.ndarray:
            return learner.fit(X.take(part.train), y[part.train]).predict(X.take(part.query))[:, None]

        cross_fit(folder / "exp", posts.index, parts, fit_predict)

    return [
        {"what": "nine LightGBM fits, bare", "posts": len(data), **measured(bare)},
        {"what": "nine LightGBM fits, K-fold loop", "posts": len(data), **measured(looped)},
    ]


def wide_training(posts: int, columns: int, folder: Path) -> dict[str, float]:
    """LightGBM from a float16 memory map (posts, columns), few rounds: what counts is that no wide copy is made."""
    path, rng = Path(folder) / "wide.npy", np.random.default_rng(0)
    array = np.lib.format.open_memmap(path, "w+", np.float16, (posts, columns))
    for start in range(0, posts, 10_000):
        array[start : start + 10_000] = rng.standard_normal(array[start : start + 10_000].shape, np.float32)
    array.flush()
    del array

    def train() -> None:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
        X = FeatureMatrix.from_array(values, [f"x{j}" for j in range(columns)], np.arange(posts))
        y = np.asarray(values[:, 0], np.float64)
        LightGBM(rounds=10).fit(X, y).predict(X.take(slice(0, 1000)))

    cost = measured(train)
    path.unlink()
    return cost


def representations(
    models: tuple[str, ...] = ("small-CLIP", "ViT-B-32", "ViT-B-16"),
    posts: int = 128,
    batch_size: int = 64,
    workers: int = 1,
    projected: tuple[str, ...] = ("ViT-B-32", "ViT-L-14"),
    tflops: float = 312,
    utilisation: float = 0.35,
    launch: float = 7,
) -> None:
    """Encoding against the bare network, training from the store against encoding in every epoch, and what the full
    SMPD would cost on GPUs. Random weights, pictures drawn at SMPD's size, generated descriptions.

    Writes output/bench/representations.csv and projected.csv and prints them. Every measurement runs in a process of
    its own. `bound`: which of network and loader limits the extraction.

    Args:
        models: architectures to measure: open_clip's, or exp000's (small-CLIP).
        posts: posts to encode and to train on.
        batch_size: pictures encoded together; training always takes the paper's 128.
        workers: processes that decode pictures.
        projected: architectures whose cost is projected from FLOPs.
        tflops: peak of the GPU projected for in bf16, 1e12 a second; the default is an A100's, the paper's GPU.
        utilisation: share of it that is reached.
        launch: microseconds in which Python and the driver hand one operation of a step to a GPU.
    """
    from smp.clip_ft import cost  # torch: seconds to import
    from smp.encoders import Loading

    rows, loading = [], Loading(batch_size=batch_size, workers=workers)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        table, pictures = drawn(posts, folder)
        size = sum(Path(p).stat().st_size for p in pictures) / posts
        for model in models:
            where = folder / model
            row = encoding(model, table, pictures, where, loading)
            del row["device_gb"]
            for name, from_store in (("store", True), ("again", False)):
                made = measured(cost.epoch, model, table, pictures, where, from_store, workers)
                row |= {f"{name}_epoch_s": made["epoch_seconds"], f"{name}_peak_gb": made["peak_gb"]}
            rows.append(row | {"times_faster": row["again_epoch_s"] / row["store_epoch_s"]})
            print(pd.Series(rows[-1]).to_string(), "\n", flush=True)
        decode = 1 / rows[-1]["image_loader"] * max(workers, 1)  # seconds of one core a picture
        classes = [cost.class_text(name) for name in table["subcategory"].cat.categories]
        costs = []
        for model in projected:
            made = measured(cost.flops, model, classes, round(rows[-1]["tokens"]))
            made |= measured(cost.stepping, model, classes, round(rows[-1]["tokens"]), 128, 1)
            reached = {"decode": decode, "tflops": tflops * utilisation, "launch": launch}
            costs += [project(model, made, rows[-1]["tokens"], size, gpus, **reached) for gpus in (1, 8)]
    for made, name in ((rows, "representations"), (costs, "projected")):
        path = paths.output("image") / "bench" / f"{name}.csv"
        with replacing(path) as aside:
            pd.DataFrame(made).to_csv(aside, index=False)
        print(pd.DataFrame(made).round(3).T.to_string())


def drawn(posts: int, folder: Path) -> tuple[pd.DataFrame, list[str]]:
    """Generated posts, and pictures for them, in `folder`."""
    from smp.clip_ft import cost

    demo.generate(folder / "input", max(posts, 2000), False, only=("image",))
    table = image.read(folder / "input" / "smpd_image")[0].items.iloc[:posts]
    return table, cost.draw_pictures(folder / "pictures", posts)


def encoding(model: str, posts: pd.DataFrame, pictures: list[str], folder: Path, loading: "Loading") -> dict:
    """A row of what `smp.clip_ft.cost.extraction` measured, and what limits it: network or loader."""
    from smp.clip_ft import cost

    made = measured(cost.extraction, model, posts, pictures, folder, loading)
    row = {"model": model, "posts": len(posts), "extraction_peak_gb": made.pop("peak_gb")} | made
    for kind in ("image", "text"):
        row[f"{kind}_overhead"] = made[f"{kind}_bare"] / made[f"{kind}_store"] - 1
        row[f"{kind}_bound"] = "loader" if made[f"{kind}_loader"] < made[f"{kind}_bare"] else "network"
    return row


def project(
    model: str,
    made: dict,
    tokens: float,
    picture_bytes: float,
    gpus: int,
    *,
    decode: float,
    tflops: float,
    launch: float,
) -> dict[str, float]:
    """What the full SMPD costs with 8 decoding processes a GPU: PFLOPs, GB and hours of each step, and what limits it.

    Training has two bounds and takes the larger of them at least: `train_hours`, by FLOPs, and `launch_hours`, as a
    step's operations are handed over one by one. times_fewer_flops: a training step's that encodes its posts again,
    over those of a step that reads the store.

    made: of `flops` and `stepping` in smp.clip_ft.cost. tokens: a description's. decode: seconds of a core a picture.
    tflops: a GPU's, reached. launch: microseconds an operation. Encoding is divided over the GPUs; so is a step of the
    model of all posts, except for the pass of the prompts, which every GPU makes; a fold's model is one GPU's alone.
    """
    train = round(FULL * 305_613 / 486_194)
    pflops = {
        "encode": FULL * (made["picture"] + made["text"]) / 1e15,
        "describe": FULL * made["describe"] / 1e15,
    }
    turns = math.ceil(SPLIT.blocks / gpus)  # trainings of folds, one after another
    fold = turns * train * (SPLIT.blocks - 1) / SPLIT.blocks
    steps = {"all": 4 * FULL / 128, "fold": 4 * fold / 128}  # of four epochs
    step, alone = (made["prompts"] + 128 / n * made["heads"] for n in (gpus, 1))
    hours = {k: v * 1e3 / tflops / gpus / 3600 for k, v in pflops.items()}
    hours |= {
        "decode": FULL * decode / 8 / gpus / 3600,
        "train": (steps["all"] * step + steps["fold"] * alone) / 1e12 / tflops / 3600,
        "launch": sum(steps.values()) * made["operations"] * launch / 1e6 / 3600,
    }
    dim, again = made["dim"], 128 * (made["picture"] + made["text"]) / gpus
    return {
        "model": model,
        "gpus": gpus,
        "times_fewer_flops": (again + step) / step,
        **{f"{k}_pflop": v for k, v in pflops.items()},
        "step_gflop": step / 1e9,
        "prompts_gflop": made["prompts"] / 1e9,
        "operations": made["operations"],
        **{f"{k}_hours": v for k, v in hours.items()},
        "limit": "decoding" if hours["decode"] > hours["encode"] else "network",
        "pictures_gb": FULL * picture_bytes / 1e9,
        "store_gb": FULL * dim * 2 * (2 + tokens) / 1e9,
        "features_gb": FULL * dim * 2 * 7 / 1e9,
    }
