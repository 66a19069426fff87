"""Training of CLIP_FT (paper 4.1.3), on one process or on torchrun's ranks: same batches, same losses, exact resume."""

import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from smp.clip_ft.inputs import Inputs
from smp.clip_ft.model import ClipFT, losses
from smp.clip_ft.towers import Towers, autocast
from smp.encoders.parallel import device, load_checkpoint, ranks, save_checkpoint, sum_over_ranks
from smp.errors import DataError


@dataclass(frozen=True)
class TrainConfig:
    """How CLIP_FT is trained; the first four values are the paper's (4.1.3)."""

    learning_rate: float = 1e-4
    weight_decay: float = 1e-5
    epochs: int = 4
    batch_size: int = 128  # posts in a step, over all ranks
    schedule: Literal["constant", "cosine"] = "cosine"  # open in the paper, which calls 1e-4 the base rate
    accumulate: int = 1  # parts a rank computes its share of a batch in, to save memory
    precision: Literal["fp32", "bf16", "fp16"] = "bf16"  # on CUDA only
    seed: int = 0
    unfreeze_image: int = 0  # last blocks of the picture tower that are trained too, from pixels
    unfreeze_text: int = 0  # likewise of the text tower, from tokens
    tower_learning_rate: float = 1e-6  # of an unfrozen tower's last block: far below, or the pretraining is lost
    layer_decay: float = 0.7  # factor on it for every block further down
    crop: float = 0.6  # augmentation: least share of a picture that a random crop keeps
    checkpoint_gradients: bool = False  # towers compute their activations twice instead of keeping them
    workers: int = 4  # processes that read the store, or decode pictures

    @property
    def frozen(self) -> bool:
        return not (self.unfreeze_image or self.unfreeze_text)


class Step(nn.Module):
    """Towers and model on one batch: the module that is trained."""

    def __init__(self, towers: Towers, model: ClipFT):
        super().__init__()
        self.towers, self.model = towers, model

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """(B, 3) every post's L_g, L_o and L_c."""
        logits, *_ = self.model(self.towers.features(batch), *self.model.classes(self.towers.text))
        return torch.stack(list(losses(logits, batch["label"]).values()), 1)

    def learned(self) -> dict[str, Tensor]:
        """What a checkpoint keeps: the model, and the towers' unfrozen parameters."""
        learned = {name for name, p in self.named_parameters() if p.requires_grad}
        return {k: v for k, v in self.state_dict().items() if k in learned or k.startswith("model.")}


def train(
    step: Step,
    inputs: Inputs,
    rows: np.ndarray,
    config: TrainConfig,
    file: Path,
    groups: list[dict],
    before_epoch: Callable[[], None] = lambda: None,
) -> Tensor:
    """Train on the posts `rows`; returns the mean losses of every step so far, (steps, 3): L_g, L_o, L_c.

    After every epoch rank 0 replaces `file` by a checkpoint that holds the config; where one is found, training goes on
    from it exactly. groups: the optimiser's for unfrozen towers. Raises DataError for a checkpoint of another config.
    """
    target, (rank, world) = device(), ranks()
    step.to(target)
    heads = {"params": list(step.model.parameters()), "lr": config.learning_rate}
    optimizer = torch.optim.AdamW([heads, *groups], weight_decay=config.weight_decay)
    base = [group["lr"] for group in optimizer.param_groups]
    scaler = torch.amp.GradScaler(target.type, enabled=target.type == "cuda" and config.precision == "fp16")
    history, done = _resume(file, step, optimizer, scaler, config)
    wrapped = DistributedDataParallel(step, broadcast_buffers=False) if world > 1 else step
    steps = config.epochs * math.ceil(len(rows) / config.batch_size)

    for epoch in range(done, config.epochs):
        before_epoch()
        batches = epoch_batches(rows, config, epoch)
        parts = [part for batch in batches for part in np.array_split(batch[rank::world], config.accumulate)]
        counts = [len(part) for part in parts]
        parts = [part if len(part) else rows[:1] for part in parts]  # networks read no empty batch; not counted
        stream = iter(inputs.stream(parts, config.workers, seed=config.seed * 1000 + epoch))
        sums = torch.zeros(len(batches), 3, dtype=torch.float64, device=target)
        title = f"{file.parent.name} {file.stem} epoch {epoch + 1}/{config.epochs}"
        for number, batch in enumerate(tqdm(batches, desc=title, unit="step", disable=rank > 0)):
            rate = _rate(config.schedule, (len(history) + number) / steps)
            for group, learning_rate in zip(optimizer.param_groups, base):
                group["lr"] = learning_rate * rate
            for part in range(config.accumulate):
                tensors = {k: v.to(target, non_blocking=True) for k, v in next(stream).items()}
                last = world == 1 or part == config.accumulate - 1  # ranks exchange gradients once a step
                with nullcontext() if last else wrapped.no_sync(), autocast(target, config.precision):
                    made = wrapped(tensors)[: counts[number * config.accumulate + part]]
                    # the ranks' gradients are averaged; so this is the gradient of the mean over the whole batch
                    scaler.scale(made.sum() * world / len(batch)).backward()
                sums[number] += made.detach().sum(0) / len(batch)
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad(set_to_none=True)
        history = torch.cat([history, sum_over_ranks(sums).cpu()])
        if rank == 0:
            _save(file, step, optimizer, scaler, config, history, epoch + 1)
    return history


def epoch_batches(rows: np.ndarray, config: TrainConfig, epoch: int) -> list[np.ndarray]:
    """The global batches of an epoch: a draw that depends on seed and epoch alone, not on the ranks."""
    order = np.random.default_rng((config.seed, epoch)).permutation(rows)
    return [order[i : i + config.batch_size] for i in range(0, len(order), config.batch_size)]


def _rate(schedule: str, progress: float) -> float:
    return 1.0 if schedule == "constant" else (1 + math.cos(math.pi * progress)) / 2


def _card(step: Step, config: TrainConfig) -> dict:
    return {"model": asdict(step.model.config), "train": asdict(config)}


def _save(
    file: Path, step: Step, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler, config: TrainConfig,
    history: Tensor, epochs: int,
) -> None:  # fmt: skip
    state = {
        "config": _card(step, config), "epochs": epochs, "history": history, "learned": step.learned(),
        "optimizer": optimizer.state_dict(), "scaler": scaler.state_dict(),
    }  # fmt: skip
    save_checkpoint(file, state)


def _resume(
    file: Path, step: Step, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler, config: TrainConfig
) -> tuple[Tensor, int]:
    if not file.exists():
        return torch.zeros(0, 3, dtype=torch.float64), 0
    state = load_checkpoint(file)
    if state["config"] != _card(step, config):
        raise DataError(f"{file}: made with another config; delete it to train again")
    step.load_state_dict(state["learned"], strict=False)
    optimizer.load_state_dict(state["optimizer"])
    scaler.load_state_dict(state["scaler"])
    return state["history"].cpu(), state["epochs"]
