"""CLIP_FT (paper 3.2-3.4): frozen towers, learned prompts and projection, four classifiers, one loss."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from smp.clip_ft.projection import Attended, CrossModalProjection
from smp.clip_ft.prompts import Prompts, local_similarity
from smp.encoders.clip import TextTower


@dataclass(frozen=True)
class ModelConfig:
    """The model's choices; where the paper leaves one open, the default and its reason."""

    shots: int = 256  # posts a prototype is the mean of (3.1)
    intervals: int = 16  # of the timeline; open in the paper: SMPD spans 16 months
    context_length: int = 16  # s of eq. 1; open: the usual length where there are many shots
    context_words: str = "a photo of a"  # start of the last contexts; open: a sensible prompt from the first step
    per_class_context: bool = False  # open: a shared context has K times fewer numbers to learn from rare classes
    heads: int = 8  # of eq. 6; open: as in the towers
    residual: bool = True  # open: training starts from the prototypes' own classifier, not from noise
    tau_s: float = 0.05  # eq. 5; open: sharp enough to pick a few of some twenty tokens
    tau_v: float | None = None  # eq. 7; open: None takes the temperature the towers were pretrained with
    tau_t: float | None = None
    tau_text: float | None = None  # of the text branches' cross-entropies; open: as above
    distinct_titles: bool = False  # open ("diverse titles"): equal titles of a class count once in its T
    contrast: float = 0.0  # not the paper's: weight of telling a picture's own text from the batch's others by x~
    # Whose w^G, w^L, V~ and T~ a post gets in eq. 11. Open: the subcategory is given for test posts too. A post without
    # one, or of a class that no prototype stands for, gets the predicted class's.
    class_of_post: Literal["given", "predicted"] = "given"


class Features(NamedTuple):
    """What the towers say of a batch, all of unit length: x (B, d), h (B, d), H (B, l, d) and its mask (B, l)."""

    image: Tensor
    text: Tensor
    tokens: Tensor
    mask: Tensor


class Logits(NamedTuple):
    """The four branches' logits, each (B, K): eq. 4, eq. 5, and both of eq. 7."""

    global_text: Tensor
    local_text: Tensor
    visual: Tensor
    textual: Tensor

    @property
    def cross(self) -> Tensor:
        """The averaged logits of p_V and p_T: the final prediction (3.3)."""
        return (self.visual + self.textual) / 2


class ClipFT(nn.Module):
    """The learned half of the paper's model. The towers are handed in and are not part of the module.

    tower: the text tower f_T. scale: 1 / temperature the towers were pretrained with. V, T: (K, d) prototypes (3.1),
    kept as buffers; classes without posts have zero rows and get no probability.
    """

    def __init__(self, tower: TextTower, scale: float, names: Sequence[str], V: Tensor, T: Tensor, config: ModelConfig):
        super().__init__()
        words = tower.tokenizer([config.context_words])
        words = words[tower.own_tokens(words)]
        self.prompts = Prompts(tower, names, config.context_length, words, config.per_class_context)
        self.projection = CrossModalProjection(V.shape[1], config.heads, config.residual)
        self.register_buffer("V", V)
        self.register_buffer("T", T)
        self.register_buffer("known", V.any(1) | T.any(1))
        self.config = config
        self.scale_v, self.scale_t, self.scale_text = (
            scale if tau is None else 1 / tau for tau in (config.tau_v, config.tau_t, config.tau_text)
        )

    def classes(self, tower: TextTower) -> tuple[Tensor, Tensor]:
        """G and L of eq. 2, (K, d) each."""
        return self.prompts(tower)

    def forward(self, features: Features, G: Tensor, L: Tensor) -> tuple[Logits, Tensor, Attended]:
        """The logits, x~ (B, d), and V~ then T~ as 2K prototypes. In float32 throughout: it costs next to nothing."""
        with torch.autocast(G.device.type, enabled=False):
            x, prototypes = self.projection(features.image, self.V, self.T)
            on_V, on_T = prototypes.cosine(x).chunk(2, dim=1)
            logits = Logits(
                self.scale_text * features.text @ G.T,
                self.scale_text * local_similarity(features.tokens, features.mask, L, self.config.tau_s),
                self.scale_v * on_V,
                self.scale_t * on_T,
            )
        absent = ~self.known  # no post to learn from: no probability
        return Logits(*(z.masked_fill(absent, torch.finfo(z.dtype).min / 4) for z in logits)), x, prototypes


def contrastive(x: Tensor, text: Tensor, scale: float) -> Tensor:
    """(B,) what each post adds to a symmetric InfoNCE of x~ and h (B, d): its own text among the batch's, and back."""
    cosine, own = scale * F.normalize(x, dim=1) @ text.float().T, torch.arange(len(x), device=x.device)
    return (F.cross_entropy(cosine, own, reduction="none") + F.cross_entropy(cosine.T, own, reduction="none")) / 2


def losses(logits: Logits, label: Tensor) -> dict[str, Tensor]:
    """Per-post cross-entropies (B,) of eq. 8: L_g, L_o and L_c."""
    parts = {"global": logits.global_text, "local": logits.local_text, "cross": logits.cross}
    return {name: F.cross_entropy(z, label, reduction="none") for name, z in parts.items()}
