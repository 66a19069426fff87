"""What a machine with a GPU does, measured on one: encoding against the bare network, training steps, memory."""

import tempfile
from pathlib import Path

import pandas as pd

from smp import paths
from smp.bench.tabular import drawn, encoding, measured
from smp.disk.store import replacing


def gpu(
    models: tuple[str, ...] = ("ViT-B-32", "ViT-L-14", "ViT-H-14-quickgelu"),
    posts: int = 4096,
    batch_size: int = 256,
    workers: int = 8,
    repeats: int = 50,
) -> None:
    """Everything of the GPU's path that can be timed, with random weights, drawn pictures and generated descriptions.

    Writes output/bench/gpu.csv, a row a model, and prints it: pictures and texts a second of the bare network, of all
    but the network, and into the store; a training step on features in memory (steps a second, operations, the share of
    a step in which the GPU waits for the next operation) and with its loader, from the store; memory of the GPU and of
    the process. Without a GPU the rows are the CPU's, and what only a GPU has is empty.

    Args:
        models: open_clip's architectures, or exp000's (small-CLIP).
        posts: posts to encode and to train on.
        batch_size: pictures encoded together; training takes the paper's 128.
        workers: processes that decode pictures and read the store.
        repeats: training steps that are timed.
    """
    from smp.clip_ft import cost  # torch: seconds to import
    from smp.encoders import Loading

    rows, loading = [], Loading(batch_size=batch_size, workers=workers)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        table, pictures = drawn(posts, folder)
        classes = [cost.class_text(name) for name in table["subcategory"].cat.categories]
        for model in models:
            row = encoding(model, table, pictures, folder / model, loading)
            row |= {"encoding_device_gb": row.pop("device_gb")}
            made = measured(cost.stepping, model, classes, round(row["tokens"]), 128, repeats)
            row |= {k: made[k] for k in ("device", "steps_per_second", "operations", "launching")}
            row |= {"training_device_gb": made["device_gb"], "training_peak_gb": made["peak_gb"]}
            made = measured(cost.epoch, model, table, pictures, folder / model, True, workers)
            rows.append(row | {"steps_per_second_from_store": -(-posts // 128) / made["epoch_seconds"]})
            print(pd.Series(rows[-1]).to_string(), "\n", flush=True)
    path = paths.output("image") / "bench" / "gpu.csv"
    with replacing(path) as aside:
        pd.DataFrame(rows).to_csv(aside, index=False)
    print(path)
