"""Training of CLIP_FT (paper 4.1.3) by smp.nn.loop, on one process or on torchrun's ranks."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from smp.clip_ft.inputs import Inputs
from smp.clip_ft.model import ClipFT, contrastive, losses
from smp.clip_ft.towers import Towers
from smp.nn import Precision, Training, loop
from smp.nn.parallel import ranks


@dataclass(frozen=True)
class TrainConfig(Training):
    """How CLIP_FT is trained; the first four values are the paper's (4.1.3)."""

    learning_rate: float = 1e-4
    weight_decay: float = 1e-5
    epochs: int = 4
    batch_size: int = 128  # posts in a step, over all ranks
    schedule: Literal["constant", "cosine", "one-cycle"] = "cosine"  # open in the paper, which calls 1e-4 the base rate
    precision: Precision = "bf16"
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
        """(B, 3) every post's L_g, L_o and L_c; a fourth column where the model contrasts pictures and texts."""
        model, features = self.model, self.towers.features(batch)
        logits, x, _ = model(features, *model.classes(self.towers.text))
        made = list(losses(logits, batch["label"]).values())
        if model.config.contrast:
            made.append(model.config.contrast * contrastive(x, features.text, model.scale_v))
        return torch.stack(made, 1)

    def train(self, mode: bool = True) -> "Step":
        """The towers stay as they were pretrained: without dropout, their batch norms' statistics fixed."""
        super().train(mode)
        self.towers.eval()
        return self


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

    file: the checkpoint, which holds the config. groups: the optimiser's for unfrozen towers.
    """
    return loop.train(
        step,
        partial(inputs.stream, workers=config.workers),
        rows,
        config,
        config.seed,
        groups=[{"params": list(step.model.parameters())}, *groups],
        share=ranks(),
        checkpoint=file,
        card={"model": asdict(step.model.config), "train": asdict(config)},
        before_epoch=before_epoch,
        title=f"{file.parent.name} {file.stem}",
    ).losses
