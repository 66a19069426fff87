"""The pretrained towers f_I and f_T as the model uses them: frozen, or with their last blocks unfrozen."""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F

from smp.clip_ft.model import Features
from smp.encoders.clip import TextTower, scale_of
from smp.errors import DataError

HEADS = ("ln_post", "proj", "attn_pool", "attnpool", "norm", "fc_norm", "head", "ln_final", "text_projection")


class Towers(nn.Module):
    """An open_clip model and its text tower opened up; frozen until `unfreeze`.

    The paper draws a text encoder for prompts and one for descriptions: frozen, they are this one.
    """

    def __init__(self, net: nn.Module, tokenizer: Callable):
        super().__init__()
        self.net = net.requires_grad_(False).eval()
        self.text = TextTower(net, tokenizer)
        self.scale = float(net.logit_scale.exp())  # 1 / temperature of the pretraining
        self.normalised = scale_of(net)

    def features(self, batch: dict[str, Tensor]) -> Features:
        """A batch's features: read where the store gave them, else computed from `pixels` (uint8) and `ids`."""
        if "image" in batch:
            image = batch["image"].float()
        else:
            image = _unit(self.net.encode_image(self.normalised(batch["pixels"])))
        if "ids" not in batch:
            return Features(image, batch["text"].float(), batch["tokens"].float(), batch["mask"])
        ids = self.text.crop(batch["ids"])
        pooled, tokens = self.text(self.text.embed(ids), ids)
        return Features(image, _unit(pooled), _unit(tokens), self.text.own_tokens(ids))

    def titles(self, texts: list[str]) -> Tensor:
        """(n, d) text features of unit length."""
        ids = self.text.crop(self.text.tokenizer(texts)).to(self.text.device)
        return _unit(self.text(self.text.embed(ids), ids)[0])

    def unfreeze(self, image: int, text: int, rate: float, decay: float) -> list[dict]:
        """Let the last blocks of either tower, and what follows them, be trained.

        Returns the optimiser's groups: `rate` for a tower's last block, times `decay` for every block further down.
        Raises DataError where a tower has fewer blocks.
        """
        groups = []
        visual = self.net.visual
        for tower, owners, count in (
            (getattr(visual, "trunk", visual), [visual, getattr(visual, "trunk", None)], image),
            (self.text.net, [self.text.net], text),
        ):
            blocks = _blocks(tower)
            if count > len(blocks):
                raise DataError(f"{type(tower).__name__}: {len(blocks)} blocks, {count} to unfreeze; unfreeze fewer")
            for depth, block in enumerate(reversed(blocks[len(blocks) - count :])):
                parameters = [*block.parameters(), *(_behind_blocks(owners) if depth == 0 else [])]
                for parameter in parameters:
                    parameter.requires_grad_(True)
                groups.append({"params": parameters, "lr": rate * decay**depth})
        return groups


def _unit(x: Tensor) -> Tensor:
    return F.normalize(x.float(), dim=-1)


def _blocks(tower: nn.Module) -> list[nn.Module]:
    """A tower's repeated blocks, the last one last: of transformers, of timm's networks, of open_clip's ResNets."""
    if hasattr(tower, "transformer"):
        return list(tower.transformer.resblocks)
    for name in ("blocks", "stages"):
        if hasattr(tower, name):
            return list(getattr(tower, name))
    return [layer for name, layer in tower.named_children() if name.startswith("layer")]


def _behind_blocks(owners: list[nn.Module | None]) -> list[nn.Parameter]:
    """The parameters of what follows the last block: norms, pooling, projection."""
    parts = [getattr(owner, name, None) for owner in owners for name in HEADS]
    found = [[p] if isinstance(p, nn.Parameter) else list(p.parameters()) for p in parts if p is not None]
    return [parameter for part in found for parameter in part]
