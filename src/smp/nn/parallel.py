"""Where this process computes: its device, precision and threads, its place among torchrun's ranks, its checkpoints."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import joblib
import torch
import torch.distributed as dist
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from smp import paths
from smp.disk.store import replacing
from smp.errors import DataError
from smp.nn import Precision

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def device() -> torch.device:
    """This process's GPU (torchrun gives each local rank its own), else the CPU."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", dist.get_node_local_rank(fallback_rank=0))


def precision_on(target: torch.device, precision: Precision) -> Precision:
    """What a device computes in: the CPU stays in fp32, so that its results are exact."""
    return precision if target.type == "cuda" else "fp32"


def autocast(target: torch.device, precision: Precision) -> torch.autocast:
    """Mixed precision on CUDA, none on the CPU."""
    dtype = DTYPES.get(precision_on(target, precision))
    return torch.autocast("cuda", dtype=dtype, enabled=dtype is not None)


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
    """A data set's batches, made by worker processes (0: by this one), each of which has two ready at most.

    A rank takes no more processes than its share of the machine's cores. They start as the platform starts any; where
    they start afresh, the data set is sent to them. For a GPU the batches lie in pinned memory. Raises DataError where
    the memory that the processes share is too small.
    """
    workers = min(workers, max(joblib.cpu_count() // paths.ranks_here(), 1))
    pinned, ahead_of_use = device().type == "cuda", 2 if workers else None
    try:
        yield from DataLoader(dataset, num_workers=workers, prefetch_factor=ahead_of_use, pin_memory=pinned, **settings)
    except RuntimeError as error:
        if not re.search("shared memory|bus error|shm|No space left", str(error), re.IGNORECASE):
            raise
        remedy = "start the container with --ipc=host (or --shm-size=8g), or use no worker processes (workers 0)"
        raise DataError(f"/dev/shm: too small for the batches that worker processes hand over; {remedy}") from error


def ahead(batches: Iterable[Any], target: torch.device) -> Iterator[Any]:
    """Batches (tensors, in dicts or tuples) on the device: the next one is copied there, in a stream of its own, while
    this one is computed with."""
    if target.type != "cuda":
        yield from batches
        return
    copies, waiting = torch.cuda.Stream(target), None
    for batch in batches:
        with torch.cuda.stream(copies):
            moved = _each(batch, lambda tensor: tensor.to(target, non_blocking=True))
        there = copies.record_event()
        if waiting is not None:
            yield _arrived(*waiting)
        waiting = moved, there
    if waiting is not None:
        yield _arrived(*waiting)


def _arrived(batch: Any, there: torch.cuda.Event) -> Any:
    """The batch for the current stream, which waits for its copies; their memory is kept until it is done with them."""
    current = torch.cuda.current_stream()
    current.wait_event(there)
    _each(batch, lambda tensor: tensor.record_stream(current))
    return batch


def leaving(made: Any) -> Callable[[], Any]:
    """Start to copy tensors (in dicts or tuples) to the host; what is returned waits for them alone, and gives them."""
    host = _each(made, lambda tensor: tensor.to("cpu", non_blocking=True))  # from a GPU into pinned memory
    on_gpu = torch.cuda.is_available()
    done = torch.cuda.current_stream().record_event() if on_gpu else None

    def arriving() -> Any:
        if done is None:
            return host
        done.synchronize()
        return _each(host, Tensor.clone)  # pinned memory is scarce: it is for the next batch

    return arriving


def _each(batch: Any, function: Callable[[Tensor], Any]) -> Any:
    """The function of every tensor of a batch, in the batch's shape."""
    if isinstance(batch, dict):
        return {name: _each(part, function) for name, part in batch.items()}
    if isinstance(batch, tuple | list):
        return tuple(_each(part, function) for part in batch)
    return function(batch) if isinstance(batch, Tensor) else batch


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


_ALONE = ContextVar("alone", default=False)


def ranks() -> tuple[int, int]:
    """This process's rank and the number of ranks."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() and not _ALONE.get() else (0, 1)


def each_apart(function: Callable[[Any], Any], items: Sequence[Any]) -> list:
    """What the function makes of every item, in order, on every rank. Each item is one rank's alone: inside, there are
    no others; so the ranks work side by side, a training a GPU, and the results are those of one process."""
    rank, world = ranks()
    token = _ALONE.set(True)
    try:
        made = [function(item) for item in items[rank::world]]
    finally:
        _ALONE.reset(token)
    if world == 1:
        return made
    parts = [None] * world
    dist.all_gather_object(parts, made)
    return [parts[i % world][i // world] for i in range(len(items))]


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
    except torch.OutOfMemoryError:
        raise
    except (UnpicklingError, RuntimeError, EOFError) as error:
        reason = str(error).split("\n")[0]
        raise DataError(f"{file}: no checkpoint of this project ({reason}); delete it to train again") from error


def save_checkpoint(file: Path, state: dict[str, Any]) -> None:
    """For `load_checkpoint`: written aside, then renamed; two equal trainings write the same bytes."""
    with replacing(file) as aside, aside.open("wb") as opened:  # given a name, torch would write it into the file
        torch.save(state, opened)
