"""What encoding and training cost: rates, seconds an epoch, FLOPs and launches, measured with random weights."""

import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import open_clip
import pandas as pd
import torch
from PIL import Image
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from smp.clip_ft.inputs import Inputs, Store
from smp.clip_ft.model import ClipFT, Features, ModelConfig, losses
from smp.clip_ft.prototypes import class_text
from smp.clip_ft.towers import Towers
from smp.clip_ft.train import Step, TrainConfig, train
from smp.disk.pictures import load_rgb
from smp.disk.store import read_embeddings
from smp.encoders import Loading, descriptions, encode_posts
from smp.encoders.clip import Clip, image_encoder, text_encoder
from smp.encoders.contrastive import SmallClip
from smp.encoders.pixels import placed
from smp.nn.parallel import ahead, autocast, device

SMALL = "small-CLIP"
PICTURE = (500, 375)  # pixels of the pictures drawn: the longest side of SMPD's


def random_clip(model: str) -> Clip:
    """A built-in open_clip architecture, or exp000's (SMALL), with random weights: speed does not depend on them."""
    if model == SMALL:
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, f"{SMALL}.json").write_text(json.dumps(SmallClip().model_cfg))
            open_clip.add_model_config(folder)
    net, _, transform = open_clip.create_model_and_transforms(model)
    return Clip(net.eval(), transform, open_clip.get_tokenizer(model), f"{model} with RANDOM weights")


def draw_pictures(folder: Path, count: int) -> list[str]:
    """Write JPEG files with structure at every scale, of about the bytes of a photograph; returns their paths."""
    rng, paths = np.random.default_rng(0), []
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        pixels = np.full((PICTURE[1], PICTURE[0], 3), 128.0)
        for side in (100, 25, 6, 2):
            small = rng.normal(128, 30, (PICTURE[1] // side + 1, PICTURE[0] // side + 1, 3)).clip(0, 255)
            pixels += np.asarray(Image.fromarray(small.astype(np.uint8)).resize(PICTURE), float) - 128
        paths.append(str(folder / f"{i}.jpg"))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(paths[-1], quality=85)
    return paths


class Launches(TorchDispatchMode):
    """Counts the operations that are handed to the device, each a kernel at least; views, which are none, are not."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        returned = function._schema.returns
        self.count += not any(r.alias_info is not None and not r.alias_info.is_write for r in returned)
        return function(*args, **(kwargs or {}))


def extraction(model: str, posts: pd.DataFrame, paths: list[str], folder: Path, loading: Loading) -> dict[str, float]:
    """Posts a second for pictures and for texts: `store`, through `encode_posts` into `folder`; `bare`, the network on
    tensors in memory; `loader`, all of encode_posts but the network. The mean number of a description's own tokens. And
    the most memory of a GPU that was in use, in GB; NaN without one.
    """
    clip, rates, target = random_clip(model), {}, device()
    for encoder, items in ((image_encoder(clip), paths), (text_encoder(clip), descriptions(posts))):
        order = np.argsort([len(i) for i in items], kind="stable") if encoder.reads == "text" else range(len(items))
        batches = [order[i : i + loading.batch_size] for i in range(0, len(items), loading.batch_size)]
        opened = load_rgb if encoder.reads == "image" else str
        prepared = [encoder.prepare([opened(items[i]) for i in batch]) for batch in batches]
        prepared = list(ahead(prepared, target))
        placed(encoder.module.eval(), target)

        def bare(encoder=encoder, prepared=prepared) -> None:
            with torch.inference_mode(), autocast(target, loading.precision):
                for tensors in prepared:
                    encoder.encode(tensors)
            _wait()

        def stored(encoder=encoder, items=items, prefix="clip") -> None:
            encode_posts(encoder, items, posts.index, folder, prefix, "", loading)

        idle = replace(encoder, encode=_nothing, outputs=("none",))
        with torch.inference_mode(), autocast(target, loading.precision):
            encoder.encode(prepared[0])  # what is done once is not timed
        rates |= {
            f"{encoder.reads}_bare": len(posts) / seconds(bare),
            f"{encoder.reads}_loader": len(posts) / seconds(stored, idle, items, f"{encoder.reads}_idle"),
            f"{encoder.reads}_store": len(posts) / seconds(stored),
        }
    return rates | {"tokens": len(read_embeddings(folder, "clip_tokens")[1]) / len(posts), "device_gb": _device_gb()}


def _nothing(batch: Tensor | dict[str, Tensor]) -> dict[str, Tensor]:
    """(B, 1) of a batch: an encoder that leaves out the network."""
    read = batch["ids"] if isinstance(batch, dict) else batch
    return {"none": read.flatten(1)[:, :1].float()}


def epoch(model: str, posts: pd.DataFrame, paths: list[str], folder: Path, from_store: bool, workers: int) -> dict:
    """Seconds of a training epoch (paper 4.1.3) that reads the store `extraction` made, or else that encodes every
    picture and text again."""
    clip, target = random_clip(model), device()
    config = TrainConfig(epochs=1, workers=workers, precision="bf16" if target.type == "cuda" else "fp32")
    label = posts["subcategory"].cat.codes.to_numpy().astype(np.int64)
    again = (
        {}
        if from_store
        else {
            "paths": paths,
            "transform": clip.transform,
            "augment": clip.transform,
            "texts": descriptions(posts),
            "tokenize": clip.tokenizer,
        }
    )
    inputs = Inputs(Store(folder, "clip", posts.index), label, **again)
    names = [class_text(name) for name in posts["subcategory"].cat.categories]
    step = Step(Towers(clip.net.to(target), clip.tokenizer), _model(clip, names, target))
    rows = np.arange(len(posts))
    train(step, inputs, rows[: config.batch_size], config, folder / f"warm{from_store}.pt", [])
    return {"epoch_seconds": seconds(train, step, inputs, rows, config, folder / f"cold{from_store}.pt", [])}


def stepping(model: str, classes: list[str], length: int, batch_size: int = 128, repeats: int = 50) -> dict:
    """A training step on features in memory, descriptions of `length` tokens: steps a second; the operations handed to
    the device; on a GPU its memory in use (GB) and the share of a step in which it waits for the next operation, else
    NaN. `device`: its name."""
    clip, target = random_clip(model), device()
    config = TrainConfig(precision="bf16")
    learned = _model(clip, classes, target)
    step = Step(Towers(clip.net.requires_grad_(False), clip.tokenizer), learned).to(target).train()
    shown = _features(learned.V.shape[1], length, batch_size)
    batch = {name: tensor.to(target) for name, tensor in zip(("image", "text", "tokens", "mask"), shown)}
    batch["label"] = torch.zeros(batch_size, dtype=torch.long, device=target)
    optimizer = torch.optim.AdamW(learned.parameters(), lr=config.learning_rate, foreach=True)  # as by default on a GPU

    def once() -> None:
        with autocast(target, config.precision):
            step(batch).sum().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def run() -> None:
        for _ in range(repeats):
            once()

    for _ in range(3):
        once()
    with Launches() as counter:
        once()
    _wait()
    wall, busy = seconds(run), float("nan")
    if target.type == "cuda":
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
            run()
            _wait()
        busy = sum(event.self_device_time_total for event in profile.key_averages()) / 1e6
    return {
        "steps_per_second": repeats / wall,
        "operations": counter.count,
        "launching": max(1 - busy / wall, 0.0) if busy == busy else busy,
        "device_gb": _device_gb(),
        "device": torch.cuda.get_device_name(target) if target.type == "cuda" else "CPU",
    }


def _features(dim: int, length: int, batch_size: int) -> Features:
    x, h, H = (torch.randn(s) for s in ((batch_size, dim), (batch_size, dim), (batch_size, length, dim)))
    return Features(x, h, H, torch.ones(batch_size, length, dtype=torch.bool))


def flops(model: str, classes: list[str], length: int, batch_size: int = 128) -> dict[str, float]:
    """FLOPs (two a multiply-add) of one picture, of one text of `length` tokens, and of a training step: the prompts'
    pass through the text tower (fixed), and the rest, a post's share."""
    clip, target = random_clip(model), torch.device("cpu")
    clip.net.requires_grad_(False)
    towers = Towers(clip.net, clip.tokenizer)
    learned = _model(clip, classes, target)
    dim, side = learned.V.shape[1], clip.net.visual.image_size
    side = side if isinstance(side, tuple) else (side, side)
    features = _features(dim, length, batch_size)
    label = torch.zeros(batch_size, dtype=torch.long)
    ids = clip.tokenizer(["a"])[:, : length + 2]
    G, L = (c.detach().requires_grad_() for c in learned.classes(towers.text))

    def prompts() -> None:
        sum(c.sum() for c in learned.classes(towers.text)).backward()

    def heads() -> None:
        sum(loss.sum() for loss in losses(learned(features, G, L)[0], label).values()).backward()

    def forward() -> None:
        with torch.no_grad():
            learned(features, G, L)

    return {
        "picture": counted(lambda: clip.net.encode_image(torch.zeros(1, 3, *side))),
        "text": counted(lambda: towers.text(towers.text.embed(ids), ids)),
        "prompts": counted(prompts),
        "heads": counted(heads) / batch_size,
        "describe": counted(forward) / batch_size,
        "dim": dim,
    }


def counted(function: Callable) -> float:
    """FLOPs of a call. Attention's fused path, which is not counted, is left out."""
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with FlopCounterMode(display=False) as counter:
            function()
    finally:
        torch.backends.mha.set_fastpath_enabled(True)
    return float(counter.get_total_flops())


def seconds(function: Callable, *arguments: object) -> float:
    """Wall seconds of a call."""
    started = time.perf_counter()
    function(*arguments)
    _wait()
    return time.perf_counter() - started


def _model(clip: Clip, classes: list[str], target: torch.device) -> ClipFT:
    towers = Towers(clip.net.to(target), clip.tokenizer)
    dim = towers.titles(["a"]).shape[1]
    V, T = (torch.nn.functional.normalize(torch.randn(len(classes), dim), dim=1) for _ in range(2))
    return ClipFT(towers.text, towers.scale, classes, V.to(target), T.to(target), ModelConfig()).to(target)


def _device_gb() -> float:
    return torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else float("nan")


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
