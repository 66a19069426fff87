"""Pictures sent as bytes and normalised on the device are, bit for bit, what the libraries' own transforms make."""

import numpy as np
import pytest
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from timm.data import create_transform

from smp.encoders.hf import blip
from smp.encoders.pixels import split, stacked

CARDS = [
    {},
    {"resize_mode": "squash", "mean": (0.5, 0.5, 0.5)},
    {"resize_mode": "longest", "interpolation": "bilinear"},
]


@pytest.fixture
def pictures():
    rng = np.random.default_rng(0)
    return [
        Image.fromarray(rng.integers(0, 255, (*size, 3), dtype=np.uint8)) for size in ((50, 70), (33, 20), (32, 32))
    ]


@pytest.mark.parametrize("card", CARDS)
@pytest.mark.parametrize("training", [False, True])
def test_open_clip_and_timm(pictures, card, training):
    how = {"is_train": True, "aug_cfg": {"scale": (0.5, 1.0)}} if training else {"is_train": False}
    for whole in (image_transform_v2(PreprocessCfg(size=32, **card), **how), create_transform(32)):
        resized, scale = split(whole)
        torch.manual_seed(0)
        pixels = stacked(resized, pictures)
        torch.manual_seed(0)
        assert pixels.dtype == torch.uint8 and torch.equal(scale(pixels), stacked(whole, pictures))


def test_blip(pictures):
    image, _ = blip("random")
    pixels, seen = image.prepare(pictures), []
    hook = image.module.vision_model.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.no_grad():
        image.encode(pixels)
    hook.remove()
    whole = image.prepare.args[0](pictures, return_tensors="pt")["pixel_values"]
    assert pixels.dtype == torch.uint8 and torch.equal(seen[0], whole)
