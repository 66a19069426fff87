"""A small CLIP trained from scratch on the pairs at hand, for machines where no pretrained one can be downloaded."""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from open_clip.loss import ClipLoss
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.data import Dataset

from smp.disk.pictures import load_rgb
from smp.disk.store import replacing
from smp.encoders.clip import CARD, WEIGHTS, TextTower
from smp.errors import DataError
from smp.nn import Training
from smp.nn.loop import train
from smp.nn.parallel import device, loader, seeded
from smp.progress import progress

MEAN, STD = open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD


@dataclass(frozen=True)
class SmallClip:
    """Architecture (open_clip's model_cfg) and training of the small CLIP."""

    embed_dim: int = 128
    vision: dict[str, Any] = field(
        default_factory=lambda: {"image_size": 64, "layers": [1, 1, 1, 1], "width": 16, "head_width": 64}
    )
    text: dict[str, Any] = field(
        default_factory=lambda: {"context_length": 48, "vocab_size": 49408, "width": 128, "heads": 4, "layers": 2}
    )
    pairs_seen: int = 64_000  # length of the training, whatever the number of pairs: minutes on two cores
    max_epochs: int = 40  # its limit where pairs are few
    batch_size: int = 256
    learning_rate: float = 2e-3
    weight_decay: float = 0.1
    warmup: float = 0.1  # share of the steps
    crop: float = 0.7  # least side of a random crop, as a share of the picture's
    max_pairs: int = 50_000  # drawn at random from more; pictures are held in memory
    seed: int = 0

    @property
    def model_cfg(self) -> dict:
        return {"embed_dim": self.embed_dim, "vision_cfg": self.vision, "text_cfg": self.text}


def pretrain(
    config: SmallClip, paths: Sequence[str], texts: Sequence[str], folder: Path, workers: int = 2
) -> list[float]:
    """Train on pictures and their texts by CLIP's symmetric cross-entropy; returns the mean loss of every epoch.

    Pairs without a readable picture or without a text are left out. Writes an open_clip folder: the weights and, last
    of all, open_clip_config.json, to be loaded as `local-dir:<folder>`. Until then a checkpoint, from which a stopped
    training goes on exactly; a finished one is not repeated. Raises DataError for fewer than two
    pairs.
    """
    card, file = folder / CARD, folder / "checkpoint.pt"
    if card.exists():  # trained already, and stopped before the experiment was complete
        file.unlink(missing_ok=True)
        return json.loads(card.read_text())["loss"]
    rng = np.random.default_rng(config.seed)
    rows = np.flatnonzero(np.array([len(text) > 0 for text in texts]))
    rows = np.sort(rng.permutation(rows)[: config.max_pairs])
    pictures, readable = _decode([paths[i] for i in rows], config.vision["image_size"], workers)
    pictures, rows = pictures[readable], rows[readable.numpy()]  # a tensor of one value would be taken for a number
    if len(rows) < 2:  # a pair is told from others
        raise DataError(
            f"small CLIP: {len(rows)} of {len(texts):,} training posts have both words and a readable picture, two at "
            "least are needed; see what is missing with: python -m smp.check image"
        )

    with seeded(config.seed):
        net = open_clip.CLIP(**config.model_cfg).to(device(), memory_format=torch.channels_last)
    tokenizer = open_clip.SimpleTokenizer(context_length=net.context_length)
    size = min(config.batch_size, len(rows))
    steps = len(rows) // size
    epochs = min(max(round(config.pairs_seen / (steps * size)), 1), config.max_epochs)
    training = Training(
        epochs, size, config.learning_rate, config.weight_decay, warmup=config.warmup, clip=1.0, drop_last=True
    )
    trained = train(
        _Pairs(net, tokenizer),
        partial(_batches, config, pictures, tokenizer([texts[i] for i in rows])),
        np.arange(len(rows)),
        training,
        config.seed,
        groups=[
            {"params": [p for p in net.parameters() if p.ndim > 1]},
            {"params": [p for p in net.parameters() if p.ndim <= 1], "weight_decay": 0.0},
        ],
        checkpoint=file,
        card=asdict(config),
        title="small CLIP",
    )
    history = trained.losses.view(epochs, steps).mean(1).tolist()
    _save(net, config, history, folder)
    file.unlink(missing_ok=True)
    return history


class _Pairs(nn.Module):
    """The small CLIP on a batch of pairs, each of which is told from the others: the module that is trained."""

    def __init__(self, net: open_clip.CLIP, tokenizer: Callable):
        super().__init__()
        self.net, self.tower, self.loss = net, TextTower(net, tokenizer), ClipLoss()

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """(B,) the batch's loss, once a pair."""
        with torch.no_grad():
            self.net.logit_scale.clamp_(0, math.log(100))  # CLIP's own bound
        ids = self.tower.crop(batch["ids"])
        image = self.net.encode_image(batch["pixels"], normalize=True)
        text = nn.functional.normalize(self.tower(self.tower.embed(ids), ids)[0], dim=-1)
        return self.loss(image, text, self.net.logit_scale.exp()).expand(len(image))


def _batches(
    config: SmallClip, pictures: Tensor, ids: Tensor, parts: Sequence[np.ndarray], seed: int
) -> Iterator[dict[str, Tensor]]:
    for number, rows in enumerate(parts):
        pixels = _augment(pictures[rows], config, np.random.default_rng((seed, number)))
        yield {"pixels": pixels, "ids": ids[rows]}


class _Pictures(Dataset):
    def __init__(self, paths: Sequence[str], size: int):
        self.paths, self.size = paths, size

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, number: int) -> tuple[Tensor, bool]:
        """(3, size, size) uint8 of the picture's middle square, and whether it could be read."""
        picture = load_rgb(self.paths[number])
        if picture is None:
            return torch.zeros(3, self.size, self.size, dtype=torch.uint8), False
        side = min(picture.size)
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        box = (left, top, left + side, top + side)
        square = picture.resize((self.size, self.size), Image.Resampling.BICUBIC, box=box, reducing_gap=2.0)
        return torch.from_numpy(np.asarray(square).copy()).permute(2, 0, 1), True


def _decode(paths: Sequence[str], size: int, workers: int) -> tuple[Tensor, Tensor]:
    batches = loader(_Pictures(paths, size), workers, batch_size=256)
    count = math.ceil(len(paths) / 256)
    parts = list(progress(batches, desc="small CLIP pictures", unit="batch", total=count))
    parts = parts or [(torch.zeros(0), torch.zeros(0).bool())]
    return torch.cat([p for p, _ in parts]), torch.cat([r for _, r in parts])


def _augment(pictures: Tensor, config: SmallClip, rng: np.random.Generator) -> Tensor:
    """(B, 3, S, S) float32, normalised: one random crop, scaled back, and one coin for a mirror image, per batch."""
    size = pictures.shape[-1]
    side = int(rng.integers(math.ceil(config.crop * size), size + 1))
    top, left = rng.integers(0, size - side + 1, 2)
    x = pictures[:, :, top : top + side, left : left + side].float() / 255
    x = torch.nn.functional.interpolate(x, size=(size, size), mode="bilinear", align_corners=False)
    if rng.random() < 0.5:
        x = x.flip(-1)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (MEAN, STD))
    return ((x - mean) / std).contiguous(memory_format=torch.channels_last)


def _save(net: torch.nn.Module, config: SmallClip, history: list[float], folder: Path) -> None:
    weights = {k: v.contiguous().cpu() for k, v in net.state_dict().items()}
    with replacing(folder / WEIGHTS) as aside:
        save_file(weights, aside)
    card = {
        "model_cfg": config.model_cfg,
        "preprocess_cfg": {"mean": MEAN, "std": STD, "interpolation": "bicubic", "resize_mode": "shortest"},
        "loss": history,  # open_clip does not look at it
    }
    with replacing(folder / CARD) as aside:
        aside.write_text(json.dumps(card, indent=1))
