"""What neural models share: how they are trained, columns and blocks of layers, torchrun's ranks."""

from dataclasses import dataclass
from typing import Literal

Precision = Literal["fp32", "bf16", "fp16"]  # of autocast, on CUDA only


@dataclass(frozen=True)
class Training:
    """How a module is trained: a fixed number of epochs, unless a validation loss ends them sooner."""

    epochs: int = 10
    batch_size: int = 256  # items in a step, over all ranks
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    schedule: Literal["constant", "cosine", "one-cycle"] = "one-cycle"
    warmup: float = 0.3  # share of the steps in which the rate of one cycle rises
    clip: float = 0.0  # longest gradient of a step; 0: any
    drop_last: bool = False  # items that fill no batch wait for the next epoch's draw
    accumulate: int = 1  # parts a rank computes its share of a batch in, to save memory
    precision: Precision = "fp32"
