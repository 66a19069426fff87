"""From posts to a trained CLIP_FT: choose and encode prototypes, build the model, train it."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from smp.clip_ft import prototypes
from smp.clip_ft.extract import BRANCHES, classify
from smp.clip_ft.inputs import Inputs, Store
from smp.clip_ft.model import ClipFT, ModelConfig
from smp.clip_ft.towers import Towers
from smp.clip_ft.train import Step, TrainConfig, train
from smp.disk.store import write_table
from smp.encoders import descriptions, picture_paths
from smp.encoders.clip import augmentation, load_clip
from smp.encoders.pixels import placed
from smp.errors import DataError
from smp.nn.parallel import ahead, autocast, device, each_apart, load_checkpoint, once, ranks, seeded, sum_over_ranks


@dataclass(frozen=True)
class Task:
    """The posts, what the towers make of them, and the pretrained towers themselves."""

    posts: pd.DataFrame
    inputs: Inputs
    net: nn.Module
    tokenizer: Callable
    model: ModelConfig
    train: TrainConfig

    @property
    def usable(self) -> np.ndarray:
        """(n,) bool: posts with a class and a picture."""
        return (self.inputs.label >= 0) & self.inputs.has_image

    @property
    def classes(self) -> list[str]:
        """The K class names: label k of the inputs is classes[k]."""
        return list(self.posts["subcategory"].cat.categories)


def make_task(
    posts: pd.DataFrame, features: Path, data: Path, parent: dict, model: ModelConfig, train: TrainConfig, target: str
) -> Task:
    """The posts with their `target` as class, the towers of the config `parent` (exp002_clip's) and what they stored.

    features: the folder of the store. data: that of the official files; pixels and texts are only read for what is
    unfrozen.
    """
    clip, posts = load_clip(parent["model"], parent["pretrained"]), posts.assign(subcategory=posts[target])
    inputs = Inputs(
        Store(features, parent["prefix"], posts.index),
        posts["subcategory"].cat.codes.to_numpy().astype(np.int64),
        paths=picture_paths(posts, data) if train.unfreeze_image else None,
        transform=clip.transform,
        augment=augmentation(clip, train.crop),
        texts=descriptions(posts, parent["description"]) if train.unfreeze_text else None,
        tokenize=clip.tokenizer,
    )
    return Task(posts, inputs, clip.net, clip.tokenizer, model, train)


def fit(task: Task, allowed: np.ndarray, folder: Path, name: str) -> tuple[Step, Step, list[list[float]]]:
    """Train on the posts `allowed` (n,) bool that have a class and a picture.

    Returns the model before and after training (with towers in common, unless these are unfrozen) and every epoch's
    mean L_g, L_o and L_c. Writes `folder/<name>.pt` (checkpoint) and `<name>_prototypes.parquet` (the posts chosen, and
    why). A finished checkpoint found there is loaded instead of trained again. Raises DataError without such posts, and
    where pictures and texts are to be contrasted but no process sees a batch whole.
    """
    if task.model.contrast and (task.train.accumulate > 1 or ranks()[1] > 1):
        raise DataError(
            f"{folder / name}: contrast tells a picture's text from all of its batch's; "
            "use accumulate 1 and one process, not torchrun's ranks, or contrast 0"
        )
    usable = allowed & task.usable
    if not usable.any():
        raise DataError(
            f"{folder / name}: no post to train on has a class and a readable picture; run python -m smp.check"
        )
    chosen = prototypes.choose(task.posts, usable, task.model.shots, task.model.intervals, task.train.seed)
    once(write_table, folder / f"{name}_prototypes.parquet", chosen)

    net = task.net if task.train.frozen else copy.deepcopy(task.net)
    towers = Towers(placed(net, device()), task.tokenizer)
    with seeded(task.train.seed):
        V, T = class_means(towers, task, chosen)
        model = ClipFT(towers.text, towers.scale, _names(task), V, T, task.model).to(device())
    before = Step(towers, copy.deepcopy(model)) if task.train.frozen else copy.deepcopy(Step(towers, model))
    step = Step(towers, model)

    def refresh() -> None:
        """A tower that moved moves its prototypes."""
        if not task.train.frozen:
            for buffer, mean in zip((model.V, model.T), class_means(towers, task, chosen)):
                buffer.copy_(mean)

    groups = towers.unfreeze(
        task.train.unfreeze_image, task.train.unfreeze_text, task.train.tower_learning_rate, task.train.layer_decay
    )
    if task.train.checkpoint_gradients:
        net.set_grad_checkpointing(True)
    history = train(step, task.inputs, np.flatnonzero(usable), task.train, folder / f"{name}.pt", groups, refresh)
    refresh()
    epochs = history.view(task.train.epochs, -1, history.shape[1]).mean(1)
    return before, step, epochs.tolist()


def kept(towers: Towers, classes: Sequence[str], config: ModelConfig, file: Path) -> Step:
    """The model of a checkpoint that `fit` wrote over frozen towers, for posts that it did not see.

    classes: the K class names it was trained on.
    """
    learned = load_checkpoint(file)["learned"]
    V, T = learned["model.V"], learned["model.T"]
    model = ClipFT(towers.text, towers.scale, [prototypes.class_text(name) for name in classes], V, T, config)
    step = Step(towers, model.to(device()))
    step.load_state_dict(learned, strict=False)
    return step


def out_of_fold(task: Task, fold: np.ndarray, folder: Path) -> tuple[pd.DataFrame, dict]:
    """Every folded post's classification losses from a model that did not see it, and its class by every branch.

    fold: (n,) its fold, negative where it has none (test posts). Returns the table of `classify` by post_id, rows of
    NaN for posts without a class or a picture; and the branches' accuracy and mean loss before and after training. A
    fold's model is one rank's alone. Raises DataError where no fold has such posts.
    """
    judged = [k for k in np.unique(fold[fold >= 0]).tolist() if (task.usable & (fold == k)).any()]
    if not judged:
        raise DataError(f"{folder}: no training post has a class and a readable picture; run python -m smp.check")

    def before_and_after(k: int) -> list[pd.DataFrame]:
        steps = fit(task, (fold >= 0) & (fold != k), folder, f"fold{k}")[:2]
        rows = np.flatnonzero((fold == k) & task.usable)
        return [classify(step, task.inputs, rows, task.train.precision, task.train.workers) for step in steps]

    accuracy = {}
    for name, tables in zip(("before", "after"), zip(*each_apart(before_and_after, judged))):
        said = pd.concat(tables)
        right = said[BRANCHES].eq(pd.Series(task.inputs.label[said.index], said.index), axis=0).mean()
        accuracy[name] = {"rows": len(said), **right.round(4).to_dict(), "loss": round(float(said["loss"].mean()), 4)}
    ids = task.posts.index
    return said.set_axis(ids[said.index]).reindex(ids[fold >= 0]), accuracy


@torch.no_grad()
def class_means(towers: Towers, task: Task, chosen: pd.DataFrame, batch_size: int = 256) -> tuple[Tensor, Tensor]:
    """V and T (3.1), (K, d) each: the mean picture feature and the mean title feature of every class's chosen posts.

    The ranks share the posts. Rows of zeros for classes without posts.
    """
    rows, target, (rank, world) = chosen["row"].to_numpy(), device(), ranks()
    label, words = torch.from_numpy(task.inputs.label[rows]), prototypes.titles(task.posts, rows)
    weight = np.ones((2, len(rows)))
    if task.model.distinct_titles:
        weight[1] = 1 / pd.Series(words).groupby([label.numpy(), words]).transform("size").to_numpy()
    weight = torch.from_numpy(weight)
    sums = torch.zeros(2, len(task.classes), task.inputs.store.dim, dtype=torch.float64, device=target)
    starts = list(range(0, len(rows), batch_size))[rank::world]
    stream = task.inputs.stream([rows[i : i + batch_size] for i in starts], workers=task.train.workers)
    for start, tensors in zip(starts, ahead(stream, target)):
        part = slice(start, start + batch_size)
        with autocast(target, task.train.precision):
            image = towers.features(tensors).image
            text = towers.titles(words[part])
        for total, features, counts in zip(sums, (image, text), weight[:, part, None].to(target)):
            total.index_add_(0, label[part].to(target), features.double() * counts)
    count = torch.stack([torch.bincount(label, w, minlength=len(task.classes)) for w in weight])
    V, T = (sum_over_ranks(sums) / count.clamp(min=1e-9).to(target)[:, :, None]).float()
    return V, T


def _names(task: Task) -> list[str]:
    return [prototypes.class_text(name) for name in task.classes]
