"""Where this process computes: its device, precision and threads, its place among torchrun's ranks, its checkpoints."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from smp.disk.store import replacing
from smp.errors import DataError
from smp.nn import Precision

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def device() -> torch.device:
    """This process's GPU (torchrun gives each local rank its own), else the CPU."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", dist.get_node_local_rank(fallback_rank=0))


def autocast(target: torch.device, precision: Precision) -> torch.autocast:
    """Mixed precision on CUDA; the CPU stays in fp32, so that its results are exact."""
    return torch.autocast("cuda", dtype=DTYPES.get(precision), enabled=target.type == "cuda" and precision in DTYPES)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on one thread of the CPU: the same sums on any machine, and small batches never wait."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw from torch's generators as after `manual_seed(seed)`, and leave them as they were."""
    target = device()
    with torch.random.fork_rng([target] if target.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def loader(dataset: Dataset, workers: int, **settings: object) -> Iterator:
    """A data set's batches, made by forked worker processes (0: by this one).

    Forked, because what a data set holds (a model's transform, functions inside functions) cannot be sent to processes
    that start afresh, as they would on macOS and from Python 3.14 on. Raises DataError where the memory that the
    processes share is too small.
    """
    context = "fork" if workers else None
    try:
        yield from DataLoader(dataset, num_workers=workers, multiprocessing_context=context, **settings)
    except RuntimeError as error:
        if not re.search("shared memory|bus error|shm|No space left", str(error), re.IGNORECASE):
            raise
        remedy = "start the container with --ipc=host (or --shm-size=8g), or use no worker processes (workers 0)"
        raise DataError(f"/dev/shm: too small for the batches that worker processes hand over; {remedy}") from error


@contextmanager
def process_group() -> Iterator[None]:
    """Join torchrun's ranks, on GPUs through NCCL and else through gloo; nothing to join under plain python."""
    if not dist.is_torchelastic_launched():
        yield
        return
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(device())
    dist.init_process_group("nccl" if on_gpu else "gloo", timeout=timedelta(hours=12))  # one rank may encode for hours
    try:
        yield
    finally:
        dist.destroy_process_group()


def ranks() -> tuple[int, int]:
    """This process's rank and the number of ranks."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


def once(function: Callable, *arguments: Any) -> Any:
    """Call on rank 0 alone, the others waiting; every rank gets the result."""
    rank, world = ranks()
    result = [function(*arguments) if rank == 0 else None]
    if world > 1:
        dist.broadcast_object_list(result)
    return result[0]


def sum_over_ranks(tensor: Tensor) -> Tensor:
    """The sum of a tensor over the ranks, on all of them."""
    if ranks()[1] > 1:
        dist.all_reduce(tensor)
    return tensor


def load_checkpoint(file: Path) -> dict[str, Any]:
    """What `torch.save` wrote of a training, on this process's device; nothing but weights and plain values is loaded.

    Raises DataError where it is not whole, or not ours.
    """
    try:
        return torch.load(file, map_location=device(), weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError) as error:
        reason = str(error).split("\n")[0]
        raise DataError(f"{file}: no checkpoint of this project ({reason}); delete it to train again") from error


def save_checkpoint(file: Path, state: dict[str, Any]) -> None:
    """For `load_checkpoint`: written aside, then renamed; two equal trainings write the same bytes."""
    with replacing(file) as aside, aside.open("wb") as opened:  # given a name, torch would write it into the file
        torch.save(state, opened)
