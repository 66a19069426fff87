"""The one training loop: AdamW on a module's losses, by one process or by torchrun's ranks, resumed exactly."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.lr_scheduler import ConstantLR, CosineAnnealingLR, LRScheduler, OneCycleLR

from smp.errors import DataError
from smp.nn import Training, parallel
from smp.nn.parallel import ahead, autocast
from smp.progress import progress

Batch = dict[str, Tensor]
Stream = Callable[[Sequence[np.ndarray], int], Iterable[Batch]]


class Trained(NamedTuple):
    """losses: (steps, L) float64, the mean of each loss over each batch. validation: the loss after every epoch."""

    losses: Tensor
    validation: list[float]


def train(
    module: nn.Module,
    stream: Stream,
    rows: np.ndarray,
    config: Training,
    seed: int,
    *,
    groups: Sequence[dict[str, Any]] = (),
    share: tuple[int, int] = (0, 1),
    checkpoint: Path | None = None,
    card: dict[str, Any] | None = None,
    before_epoch: Callable[[], None] = lambda: None,
    validate: Callable[[], float] | None = None,
    patience: int = 5,
    title: str = "",
) -> Trained:
    """Train a module that maps a batch of B items to what each adds to the loss, (B,), or to each of L losses, (B, L).

    What is minimised is the mean over the batch of the losses' sum. `stream(parts, seed)` makes the tensors of one part
    of `rows` after another; what it draws at random comes from the seed, another one every epoch.

    groups: the optimiser's, where parameters differ in rate or decay. share: this rank, and how many share the batches:
    they see the batches of one process and get its losses. validate: gives a loss after every epoch; training ends when
    it has not sunk for `patience` epochs, and the module is left as it was after its best one. title: of the progress
    bar; none without.

    After every epoch rank 0 replaces `checkpoint`, which holds the card; where one is found, training goes on from it
    exactly. Raises DataError for a checkpoint with another card.
    """
    target, (rank, world) = parallel.device(), share
    module.to(target)
    groups = groups or [{"params": [p for p in module.parameters() if p.requires_grad]}]
    optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, weight_decay=config.weight_decay)
    length = len(epoch_batches(rows, config, seed, 0))
    schedule = _schedule(optimizer, config, config.epochs * length)
    scaler = torch.amp.GradScaler(target.type, enabled=target.type == "cuda" and config.precision == "fp16")
    movable = {"optimizer": optimizer, "schedule": schedule, "scaler": scaler}
    history, validation, best = [], [], {}
    if checkpoint and checkpoint.exists():
        state = parallel.load_checkpoint(checkpoint)
        if state["card"] != card:
            raise DataError(f"{checkpoint}: made with another config; delete it to train again")
        module.load_state_dict(state["learned"], strict=False)
        for name, part in movable.items():
            part.load_state_dict(state[name])
        history, validation, best = list(state["history"].cpu()), state["validation"], state["best"]

    wrapped = DistributedDataParallel(module, broadcast_buffers=False) if world > 1 else module
    for epoch in range(len(history) // length, config.epochs):
        if validation and len(validation) - 1 - np.argmin(validation) >= patience:
            break
        before_epoch()
        module.train()
        batches, draw, losses = epoch_batches(rows, config, seed, epoch), seed * 1000 + epoch, []
        parts = [part for batch in batches for part in np.array_split(batch[rank::world], config.accumulate)]
        counts = iter([len(part) for part in parts])
        read = stream([part if len(part) else rows[:1] for part in parts], draw)  # no network reads nothing
        ready = ahead(read, target)
        name, silent = f"{title} epoch {epoch + 1}/{config.epochs}", _is_silent(title, rank)
        bar = progress(batches, desc=name, unit="step", disable=silent)
        with parallel.seeded(draw * world + rank):
            for batch in bar:
                total = 0
                for last in [False] * (config.accumulate - 1) + [True]:
                    tensors = next(ready)
                    alone = world == 1 or last  # ranks exchange gradients once a step
                    with nullcontext() if alone else wrapped.no_sync(), autocast(target, config.precision):
                        made = wrapped(tensors)[: next(counts)]
                        # the ranks' gradients are averaged; so this is the gradient of the mean over the whole batch
                        scaler.scale(made.sum() * world / len(batch)).backward()
                    total = total + made.detach().sum(0, dtype=torch.float64).reshape(-1) / len(batch)
                if config.clip:
                    scaler.unscale_(optimizer)
                    nn.utils.clip_grad_norm_(module.parameters(), config.clip)
                scaler.step(optimizer)
                scaler.update()
                schedule.step()
                optimizer.zero_grad(set_to_none=True)
                losses.append(total)
        losses = torch.stack(losses)
        history += (parallel.sum_over_ranks(losses) if world > 1 else losses).cpu()
        if validate:
            module.eval()
            with torch.no_grad():
                validation = [*validation, parallel.once(validate) if world > 1 else validate()]
            if np.argmin(validation) == len(validation) - 1:
                best = {name: value.clone() for name, value in learned(module).items()}
        if checkpoint and rank == 0:
            state = {"card": card, "learned": learned(module), "history": torch.stack(history)}
            state |= {"validation": validation, "best": best} | {k: v.state_dict() for k, v in movable.items()}
            parallel.save_checkpoint(checkpoint, state)
    module.load_state_dict(best, strict=False)
    return Trained(torch.stack(history), validation)


def epoch_batches(rows: np.ndarray, config: Training, seed: int, epoch: int) -> list[np.ndarray]:
    """The batches of an epoch over all ranks: a draw that depends on seed and epoch alone."""
    order = np.random.default_rng((seed, epoch)).permutation(rows)
    end = len(rows) // config.batch_size * config.batch_size if config.drop_last else len(rows)
    return [order[i : i + config.batch_size] for i in range(0, end, config.batch_size)]


def learned(module: nn.Module) -> dict[str, Tensor]:
    """What training changes of a module: its state without its frozen parameters."""
    frozen = {name for name, parameter in module.named_parameters() if not parameter.requires_grad}
    return {name: value for name, value in module.state_dict().items() if name not in frozen}


def in_memory(tensors: Batch, parts: Sequence[np.ndarray], seed: int) -> Iterator[Batch]:
    """A stream of items whose tensors (n, ...) are all there; it draws nothing."""
    for rows in parts:
        at = {v.device: torch.from_numpy(rows).to(v.device) for v in tensors.values()}
        yield {name: value[at[value.device]] for name, value in tensors.items()}


def _schedule(optimizer: torch.optim.Optimizer, config: Training, steps: int) -> LRScheduler:
    if config.schedule == "constant":
        return ConstantLR(optimizer, factor=1.0)
    if config.schedule == "cosine":
        return CosineAnnealingLR(optimizer, steps)
    rates, steps = [group["lr"] for group in optimizer.param_groups], max(steps, 3)
    # it divides by zero where a phase is no step long
    return OneCycleLR(optimizer, rates, total_steps=steps, pct_start=max(config.warmup, 2 / steps))


def _is_silent(title: str, rank: int) -> bool | None:
    return True if rank or not title else None  # None: unless a terminal watches
