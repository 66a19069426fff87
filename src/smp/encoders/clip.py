"""Any open_clip model, from the hub, a file or a folder: its encoders, and its text tower opened up."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import open_clip
import torch
from open_clip.transformer import text_global_pool
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.transforms import Compose, RandomHorizontalFlip

from smp import paths
from smp.disk.hashes import source_hash
from smp.encoders.base import Encoder
from smp.encoders.pixels import Scale, split, stacked
from smp.encoders.weights import check_weights, hub_files, reading
from smp.errors import DataError

WEIGHTS, CARD = "open_clip_model.safetensors", "open_clip_config.json"  # of an open_clip folder
OLDER = "open_clip_pytorch_model.bin"  # where a repository holds no safetensors
PREPROCESS = ("mean", "std", "interpolation", "resize_mode")


class Clip(NamedTuple):
    """An open_clip model in eval mode, its picture transform, its tokenizer, and what it is in words."""

    net: nn.Module
    transform: Callable
    tokenizer: Callable
    source: str


def local_weights(model: str) -> Path | None:
    """The weights file of a `local-dir:` model, where it is there."""
    folder = _local_folder(model)
    return folder / WEIGHTS if folder and (folder / WEIGHTS).exists() else None


def _local_folder(model: str) -> Path | None:
    return paths.output("image") / model.removeprefix("local-dir:") if model.startswith("local-dir:") else None


def load_clip(model: str, pretrained: str = "") -> Clip:
    """Load an open_clip model.

    model: a built-in name with `pretrained` a tag, TAG=FILE (that tag's weights as a local file) or a file, or
    `local-dir:FOLDER`, the folder (below output/, if relative) of an open_clip_config.json and its weights. Raises
    DataError when the weights are not to be had, and for a file where the model's tags differ in activation or pixels.
    """
    if folder := _local_folder(model):
        source, file = model, folder / WEIGHTS
        model = f"local-dir:{folder}"
        for name in (CARD, WEIGHTS):
            if not (folder / name).exists():
                raise DataError(f"{folder / name}: no such file; make it with: python exp/{folder.name}/train.py")
        settings = {}
    else:
        source, (file, tag) = f"{model} {pretrained}", _weights(model, pretrained)
        settings = {"pretrained": str(file), **_trained_with(tag)}
    check_weights(file)
    with reading(file, model):  # not whole, of another model, or more than weights
        net, _, transform = open_clip.create_model_and_transforms(model, **settings)
    return Clip(net.eval(), transform, open_clip.get_tokenizer(model), f"{source} {source_hash(file)}")


def _weights(model: str, pretrained: str) -> tuple[Path, dict]:
    """The file that `pretrained` names, and the tag whose settings it was trained with."""
    name, _, local = pretrained.partition("=")
    tag, file = open_clip.get_pretrained_cfg(model, name), Path(local or pretrained)
    if tag and not local:
        owner, repo, own = tag["hf_hub"].split("/", 2)
        choices = [[own]] if own else [[WEIGHTS], [OLDER]]  # some tags name a file
        folder = hub_files(f"{owner}/{repo}", choices)
        return next(folder / n for (n,) in choices if (folder / n).exists()), tag
    tags = open_clip.list_pretrained_tags_by_model(model)
    if not file.is_file() or (local and not tag):
        known = ", ".join(tags) or "none; see open_clip.list_models()"
        raise DataError(f"{model} {pretrained}: neither a weights file nor a tag of this model (tags: {known})")
    if not tag and len({repr(_trained_with(open_clip.get_pretrained_cfg(model, other))) for other in tags}) > 1:
        raise DataError(
            f"{model} {pretrained}: its weights may be trained with one activation or another, on other pixels; write "
            f"TAG={pretrained}, TAG one of {', '.join(tags)}"
        )
    return file, tag or (open_clip.get_pretrained_cfg(model, tags[0]) if tags else {})


def _trained_with(tag: dict) -> dict:
    """A tag's activation and pixels, as open_clip takes them."""
    pixels = {f"image_{k}": tag[k] for k in PREPROCESS if k in tag}
    return {"force_quick_gelu": tag.get("quick_gelu", False), **pixels}


def augmentation(clip: Clip, crop: float) -> Callable:
    """The model's transform for training: mirrored or not, and a random crop of at least `crop` of the picture."""
    card = open_clip.transform.PreprocessCfg(**clip.net.visual.preprocess_cfg)
    cut = open_clip.transform.image_transform_v2(card, is_train=True, aug_cfg={"scale": (crop, 1.0)})
    return Compose([RandomHorizontalFlip(), cut])


def scale_of(net: nn.Module) -> Scale:
    """What an open_clip model's pixels are normalised by."""
    card = open_clip.transform.PreprocessCfg(**getattr(net.visual, "preprocess_cfg", {}))
    return Scale(tuple(card.mean), tuple(card.std))


def image_encoder(clip: Clip) -> Encoder:
    """f_I: output `image` (B, d) of unit length, as CLIP compares them."""

    resized, scale = split(clip.transform)

    def encode(pixels: Tensor) -> dict[str, Tensor]:
        return {"image": F.normalize(clip.net.encode_image(scale(pixels)).float(), dim=-1)}

    return Encoder(clip.net, "image", partial(stacked, resized), encode, ("image",), clip.source)


def text_encoder(clip: Clip) -> Encoder:
    """f_T of the paper's eq. 3: `text` (B, d), h at the pooled token, and `tokens` (sum of lengths, d), H: the
    description's own tokens, without start, end and padding. Both of unit length."""
    tower = TextTower(clip.net, clip.tokenizer)
    prepare = partial(_tokenized, clip.tokenizer, tower.pools_end_of_causal)

    def encode(batch: dict[str, Tensor]) -> dict[str, Tensor | tuple[Tensor, Tensor]]:
        pooled, tokens = tower(tower.embed(batch["ids"]), batch["ids"])
        own = tokens.flatten(0, 1)[batch["own"]]
        return {
            "text": F.normalize(pooled.float(), dim=-1),
            "tokens": (F.normalize(own.float(), dim=-1), batch["lengths"]),
        }

    return Encoder(clip.net, "text", prepare, encode, ("text", "tokens"), clip.source)


def _tokenized(tokenizer: Callable, crops: bool, texts: Sequence[str]) -> dict[str, Tensor]:
    """ids (B, L); own (sum of lengths,), the places of the texts' own tokens in the flattened ids; lengths (B,).

    The places are found here, for on a GPU a mask would make the host wait.
    """
    ids = cropped(tokenizer(texts)) if crops else tokenizer(texts)
    mask = own_tokens(tokenizer, ids)
    return {"ids": ids, "own": mask.flatten().nonzero().squeeze(1), "lengths": mask.sum(1)}


def own_tokens(tokenizer: Callable, ids: Tensor) -> Tensor:
    """(B, L) bool: the text's own tokens, neither start, end nor padding."""
    end = getattr(tokenizer, "eot_token_id", None)
    if end is None:  # a Hugging Face tokenizer behind open_clip's face
        special = torch.tensor(tokenizer.tokenizer.all_special_ids, device=ids.device)
        return ~torch.isin(ids, special)
    place = torch.arange(ids.shape[1], device=ids.device)  # by place: the padding's id 0 is also a real token
    return (place > 0) & (place < (ids == end).int().argmax(1, keepdim=True))


def cropped(ids: Tensor) -> Tensor:
    """Ids (B, L) without the columns after the longest text, which are padding."""
    used = (ids != 0).any(0).nonzero()
    return ids[:, : int(used.max()) + 1] if len(used) else ids


class TextTower:
    """The text tower f_T with its insides in reach: token embeddings in, pooled and token-level features out.

    One face for `CLIP`, where the tower's parts lie in the model itself, and `CustomTextCLIP`, where they lie in
    `model.text`. Owns no parameters. Raises DataError for towers that are not open_clip's own transformer.
    """

    def __init__(self, net: nn.Module, tokenizer: Callable):
        self.net = getattr(net, "text", net)
        reason = (
            "is none of open_clip's own transformers"
            if not hasattr(self.net, "token_embedding")
            else "has a class token"
            if getattr(self.net, "cls_emb", None) is not None
            else "masks its padding"
            if getattr(self.net, "use_pad_mask", False)
            else ""
        )
        if reason:
            raise DataError(
                f"{type(net).__name__}: its text tower ({type(self.net).__name__}) {reason}; choose a CLIP or SigLIP "
                "model whose text tower is open_clip's transformer without class token and padding mask"
            )
        custom = self.net is not net
        self.pool_type = self.net.pool_type if custom else self.net.text_pool_type
        self.eos_id = self.net.eos_id if custom else self.net.text_eos_id
        self.tokenizer = tokenizer

    @property
    def device(self) -> torch.device:
        return self.net.positional_embedding.device

    def embed(self, ids: Tensor) -> Tensor:
        """Token embeddings before positions are added: (B, L) -> (B, L, width)."""
        return self.net.token_embedding(ids)

    def __call__(self, embedded: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, d) of the pooled token and (B, L, d) of every token; `ids` only say where to pool."""
        mask, length = self.net.attn_mask, ids.shape[1]
        place = torch.arange(length, device=ids.device)
        x = self.read(embedded, place, mask if mask is None else mask[:length, :length])
        return text_global_pool(x, ids, self.pool_type, eos_token_id=self.eos_id), x

    def read(self, embedded: Tensor, place: Tensor, mask: Tensor | None) -> Tensor:
        """Features (B, L, d) of tokens (B, L, width) that stand at the places (L,), under an additive mask (L, L)."""
        net = self.net
        dtype = net.transformer.get_cast_dtype()
        x = embedded.to(dtype) + net.positional_embedding[place].to(dtype)
        x = net.ln_final(net.transformer(x, attn_mask=mask))
        projection = net.text_projection
        if isinstance(projection, nn.Linear):
            return projection(x)
        return x if projection is None else x @ projection

    def own_tokens(self, ids: Tensor) -> Tensor:
        """(B, L) bool: the text's own tokens, neither start, end nor padding."""
        return own_tokens(self.tokenizer, ids)

    @property
    def pools_end_of_causal(self) -> bool:
        """Whether the tower reads from left to right and is pooled at the end token: padding then changes nothing."""
        return self.net.attn_mask is not None and self.pool_type in ("argmax", "eos")

    def crop(self, ids: Tensor) -> Tensor:
        """Padding after the longest text cut off, where it changes nothing."""
        return cropped(ids) if self.pools_end_of_causal else ids
