"""Dual-grained prompts (paper 3.2): learnable contexts before the class names, read by the frozen text tower."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from smp.encoders.clip import TextTower
from smp.errors import DataError


class Prompts(nn.Module):
    """[θ^G_1..s, e_i] and [θ^L_1..s, e_i] of eq. 1: context vectors, then the class name's token embeddings.

    words: (s',) ids of words whose embeddings the last s' of the s contexts start from; the others start as N(0, 0.02).
    The tower is not part of the module: what is learned here are the two contexts, (1, s, width) or (K, s, width) each.
    Raises DataError when a prompt is longer than the tower reads.
    """

    def __init__(self, tower: TextTower, names: Sequence[str], length: int, words: Tensor, per_class: bool):
        super().__init__()
        ids = tower.tokenizer(list(names)).to(tower.device)  # (K, L)
        own = tower.own_tokens(ids)
        start = int(own.int().argmax(1).max())  # 1 behind a start token, else 0
        fits = ids.shape[1] - length
        if length and bool(own[:, fits - 1 :].any()):
            longest = max(names, key=len)
            raise DataError(f"class {longest!r}: its prompt does not fit the text tower; use a smaller context_length")
        # In the context's place stands a token of the name: it only has to be none that the tower pools at.
        stand_in = ids[:, start : start + 1].expand(-1, length)
        ids = torch.cat([ids[:, :start], stand_in, ids[:, start:fits]], 1)
        self.context_at = slice(start, start + length)
        self.packed = _Packed(ids, start + length + own.sum(1), 0 if per_class else start + length, self.context_at)
        self.register_buffer("ids", ids, persistent=False)
        with torch.no_grad():
            given = tower.embed(words[max(len(words) - length, 0) :].to(tower.device))
        copies = len(ids) if per_class else 1

        def fresh() -> nn.Parameter:
            drawn = 0.02 * torch.randn(length - len(given), given.shape[1])
            return nn.Parameter(torch.cat([drawn.to(given), given]).repeat(copies, 1, 1))

        self.global_context, self.local_context = fresh(), fresh()  # θ^G, θ^L

    def forward(self, tower: TextTower) -> tuple[Tensor, Tensor]:
        """G and L of eq. 2: class embeddings (K, d) of unit length."""
        contexts = torch.stack([self.global_context, self.local_context])  # (2, 1 or K, s, width)
        if tower.pools_end_of_causal:
            made = self.packed(tower, contexts)
        else:
            x = tower.embed(self.ids).expand(2, -1, -1, -1).clone()  # (2, K, L, width)
            x[:, :, self.context_at] = contexts.to(x)
            made = tower(x.flatten(0, 1), self.ids.repeat(2, 1))[0].unflatten(0, x.shape[:2])
        G, L = F.normalize(made.float(), dim=-1)
        return G, L


class _Packed(nn.Module):
    """All prompts in one sequence, for towers that read from left to right and are pooled at the end token.

    There nothing behind a token changes what it becomes. So padding is left out, what the prompts have in common (start
    and shared context, the first `shared` tokens) is read once, and a mask keeps the classes apart: the same embeddings
    from a fraction of the tokens. end: (K,) place of each prompt's end token.
    """

    def __init__(self, ids: Tensor, end: Tensor, shared: int, context_at: slice):
        super().__init__()
        place = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
        owner = torch.arange(len(ids), device=ids.device)[:, None].expand_as(ids)
        tails = (place >= shared) & (place <= end[:, None])
        head = place[0, :shared]
        place, owner = torch.cat([head, place[tails]]), torch.cat([torch.full_like(head, -1), owner[tails]])
        allowed = ((owner[:, None] == owner) | (owner == -1)) & (place[:, None] >= place)
        self.register_buffer("ids", torch.cat([ids[0, :shared], ids[tails]]), persistent=False)
        self.register_buffer("place", place, persistent=False)
        self.register_buffer(
            "mask", torch.zeros(allowed.shape).to(ids.device).masked_fill(~allowed, -torch.inf), persistent=False
        )
        # as indices: a mask would make a GPU wait for the host
        context = (place >= context_at.start) & (place < context_at.stop)
        self.register_buffer("context", context.nonzero().squeeze(1), persistent=False)
        self.register_buffer("end", ((place == end[owner]) & (owner >= 0)).nonzero().squeeze(1), persistent=False)

    def forward(self, tower: TextTower, contexts: Tensor) -> Tensor:
        """contexts: (2, 1 or K, s, width) -> the pooled tokens (2, K, d)."""
        x = tower.embed(self.ids).expand(len(contexts), -1, -1).clone()  # (2, tokens, width)
        x[:, self.context] = contexts.flatten(1, 2).to(x)
        return tower.read(x, self.place, self.mask)[:, self.end]


def local_similarity(tokens: Tensor, mask: Tensor, classes: Tensor, temperature: float) -> Tensor:
    """p' of eq. 5: cosines of the description's tokens with every class, averaged with softmax weights over the tokens.

    As printed, its two sums would cancel each other; the weighted sum is meant.

    tokens: (B, l, d) and classes: (K, d), of unit length. mask: (B, l) bool, the description's own tokens. Returns
    (B, K); zeros for a description without tokens.
    """
    cosine = tokens @ classes.T  # (B, l, K)
    weight = (cosine / temperature).masked_fill(~mask.unsqueeze(-1), torch.finfo(cosine.dtype).min).softmax(1)
    return (weight * cosine * mask.unsqueeze(-1)).sum(1)
