"""Tiny open_clip models and posts for the tests of CLIP_FT."""

import sys

import numpy as np
import open_clip
import pandas as pd
import pyarrow as pa
import pytest
import torch

from smp.clip_ft.fit import Task
from smp.clip_ft.inputs import Inputs, Store
from smp.clip_ft.model import ModelConfig
from smp.clip_ft.train import TrainConfig
from smp.disk.store import write_embeddings

DIM = 16
VISION = {"image_size": 32, "patch_size": 16, "width": 32, "layers": 2, "head_width": 16}
TEXT = {"context_length": 24, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}


def tiny_clip(custom: bool = False) -> torch.nn.Module:
    """A random CLIP, or a CustomTextCLIP in the manner of SigLIP: no causal mask, pooled at the last token."""
    torch.manual_seed(0)
    if not custom:
        return open_clip.CLIP(DIM, VISION, TEXT).eval()
    text = {**TEXT, "no_causal_mask": True, "pool_type": "last", "proj_bias": True}
    return open_clip.CustomTextCLIP(DIM, VISION, text).eval()


def tokenizer() -> open_clip.SimpleTokenizer:
    return open_clip.SimpleTokenizer(context_length=TEXT["context_length"])


def make_posts(n: int = 120, classes: int = 4, seed: int = 0) -> pd.DataFrame:
    """Posts with the columns that CLIP_FT reads; a few without title, tags, class or concept."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, classes, n)
    names = [f"big_dog{k}" for k in range(classes)]
    titles = [("" if i % 7 == 0 else f"photo {i} of {names[k]}") for i, k in enumerate(label)]
    tags = [([] if i % 5 == 0 else [names[k], f"t{i % 11}"]) for i, k in enumerate(label)]
    frame = pd.DataFrame(
        {
            "split": pd.Categorical(np.where(np.arange(n) < 0.8 * n, "train", "test")),
            "user_id": pd.Categorical(rng.integers(0, max(n // 6, 1), n).astype(str)),
            "time": pd.to_datetime(np.sort(rng.integers(1_400_000_000, 1_440_000_000, n)), unit="s", utc=True),
            "title": titles,
            "tags": pd.arrays.ArrowExtensionArray(pa.array(tags, pa.list_(pa.string()))),
            "subcategory": pd.Categorical([names[k] for k in label], categories=names),
            "concept": pd.Categorical(rng.integers(0, 3 * classes, n).astype(str)),
            "image_path": [f"train/{i}.jpg" for i in range(n)],
        },
        index=pd.Index([str(1000 + i) for i in range(n)], name="post_id"),
    )
    return frame


def write_store(folder, posts: pd.DataFrame, seed: int = 0, missing: tuple[int, ...] = ()) -> None:
    """Random tower outputs with some signal of the class; the pictures of the rows `missing` are zero."""
    rng = np.random.default_rng(seed)
    label = posts["subcategory"].cat.codes.to_numpy()
    centre = rng.standard_normal((label.max() + 1, DIM))

    def near(k: np.ndarray) -> np.ndarray:
        x = centre[k] + 0.7 * rng.standard_normal((len(k), DIM))
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    image, length = near(label), rng.integers(0, 6, len(posts))
    image[list(missing)] = 0
    write_embeddings(folder, "clip_image", posts.index, image)
    write_embeddings(folder, "clip_text", posts.index, near(label))
    write_embeddings(folder, "clip_tokens", posts.index.repeat(length), near(np.repeat(label, length)))


def make_inputs(folder, posts: pd.DataFrame, **pixels) -> Inputs:
    label = posts["subcategory"].cat.codes.to_numpy().astype(np.int64)
    return Inputs(Store(folder, "clip", posts.index), label, **pixels)


def make_task(folder, train: TrainConfig | None = None, model: ModelConfig | None = None, **pixels) -> Task:
    """A task on 120 posts whose store lies in `folder`."""
    posts = make_posts()
    if not (folder / "clip_image.npy").exists():
        write_store(folder, posts)
    model = model or ModelConfig(shots=8, intervals=3, context_length=4, heads=2)
    train = train or TrainConfig(learning_rate=1e-2, epochs=2, batch_size=32, workers=0)
    return Task(posts, make_inputs(folder, posts, **pixels), tiny_clip(), tokenizer(), model, train)


@pytest.fixture
def tiny():
    """This module: the tests' makers by name."""
    return sys.modules[__name__]
