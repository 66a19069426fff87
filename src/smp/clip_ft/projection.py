"""Cross-modal projection (paper 3.3, eq. 6): a picture and all prototypes attend to each other."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class CrossModalProjection(nn.Module):
    """[x~, V~, T~] = SelfAttn([P_I(x), P_I(V), P_T(T)]), multi-head, over 1 + 2K tokens; d -> d.

    Eq. 6 prints P_I before T as well; the text above it gives text features to P_T.

    P_I and P_T start as the identity, so that the common space of the pretrained towers is where training starts.
    residual: add the attention's output to its input (and start it at zero); without, the output alone, as eq. 6 reads
    literally. Attention reads layer-normalised tokens: unit-length features would give it uniform weights.
    """

    def __init__(self, dim: int, heads: int = 8, residual: bool = True):
        super().__init__()
        if dim % heads:
            raise ValueError(f"{dim} features do not divide into {heads} heads")
        self.heads, self.residual = heads, residual
        self.image, self.text = nn.Linear(dim, dim), nn.Linear(dim, dim)  # P_I, P_T
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        for layer in (self.image, self.text):
            nn.init.eye_(layer.weight)
            nn.init.zeros_(layer.bias)
        if residual:
            nn.init.zeros_(self.out.weight)
            nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor, V: Tensor, T: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x: (B, d), V and T: (K, d) -> x~ (B, d), V~ (B, K, d), T~ (B, K, d).

        Exactly the attention of B sequences of 1 + 2K tokens. The 2K prototypes are the same in every sequence, so
        their attention among themselves, o, is computed once; in sequence b prototype i then gives
        (1 - a_bi) o_i + a_bi v_b, where a_bi is its softmax weight on the picture. Per post this costs K d instead of
        K d (K + d).
        """
        x, p = self.image(x), torch.cat([self.image(V), self.text(T)])  # (B, d), (2K, d)
        qx, kx, vx = self._heads(x)  # (B, h, d/h)
        qp, kp, vp = self._heads(p)  # (2K, h, d/h)
        scale = qx.shape[-1] ** -0.5
        among = torch.einsum("ihc,jhc->hij", qp, kp) * scale  # (h, 2K, 2K)
        o = torch.einsum("hij,jhc->ihc", among.softmax(-1), vp)
        on_picture = torch.einsum("ihc,bhc->bih", qp, kx) * scale
        a = torch.sigmoid(on_picture - among.logsumexp(-1).T)  # (B, 2K, h)
        by_head = self.out.weight.view(-1, self.heads, o.shape[-1])  # (d, h, d/h)
        o, v = torch.einsum("ihc,dhc->ihd", o, by_head), torch.einsum("bhc,dhc->bhd", vx, by_head)
        prototypes = torch.einsum("bih,ihd->bid", 1 - a, o) + torch.einsum("bih,bhd->bid", a, v) + self.out.bias

        own = (qx * kx).sum(-1, keepdim=True) * scale  # (B, h, 1)
        others = torch.einsum("bhc,jhc->bhj", qx, kp) * scale
        weight = torch.cat([own, others], -1).softmax(-1)
        mixed = weight[..., :1] * vx + torch.einsum("bhj,jhc->bhc", weight[..., 1:], vp)
        picture = self.out(mixed.flatten(1))
        if self.residual:
            picture, prototypes = x + picture, p + prototypes
        return picture, prototypes[:, : len(V)], prototypes[:, len(V) :]

    def _heads(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        normed = F.layer_norm(tokens, tokens.shape[-1:])
        return self.qkv(normed).view(len(tokens), 3, self.heads, -1).unbind(1)
