"""Pictures as bytes: workers hand over uint8, a quarter of float32's memory, and the device normalises."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms import Compose, PILToTensor


@dataclass(frozen=True)
class Scale:
    """uint8 (B, 3, H, W) -> float32, as torchvision's ToTensor and Normalize make them, bit for bit."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, pixels: Tensor) -> Tensor:
        mean, std = (torch.tensor(v, device=pixels.device).view(3, 1, 1) for v in (self.mean, self.std))
        return fitting(pixels.float().div_(255).sub_(mean).div_(std))


def fitting(tensor: Tensor) -> Tensor:
    """(B, C, H, W) in the memory format that convolutions of a GPU are fast in; the CPU's keep theirs, and its bits."""
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.is_cuda else tensor


def placed(module: nn.Module, target: torch.device) -> nn.Module:
    """The module on the device, its convolutions in the format of `fitting`."""
    return module.to(target, memory_format=torch.channels_last if target.type == "cuda" else torch.preserve_format)


def split(transform: Compose) -> tuple[Compose, Scale]:
    """A picture transform of open_clip or timm, which ends in a tensor that is normalised, in two: a PIL picture ->
    uint8 (3, H, W), for a worker; and what makes of many such what the network reads, for the device."""
    *steps, _, normalize = transform.transforms
    return Compose([*steps, PILToTensor()]), Scale(*(tuple(map(float, v)) for v in (normalize.mean, normalize.std)))


def stacked(transform: Callable, pictures: Sequence[Image.Image]) -> Tensor:
    """(B, 3, H, W) of B pictures."""
    return torch.stack([transform(picture) for picture in pictures])
