"""The projection against PyTorch's own attention over every whole sequence."""

import pytest
import torch
from torch.nn import functional as F

from smp.clip_ft.projection import CrossModalProjection


def random_projection(residual: bool) -> CrossModalProjection:
    torch.manual_seed(0)
    layer = CrossModalProjection(16, heads=4, residual=residual)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return layer


def by_whole_sequences(layer: CrossModalProjection, x, V, T):
    """Eq. 6 as it stands: one sequence of 1 + 2K tokens a post, through nn.MultiheadAttention's function."""
    tokens = torch.cat(
        [layer.image(x)[:, None], layer.image(V).expand(len(x), -1, -1), layer.text(T).expand(len(x), -1, -1)], 1
    )
    read = F.layer_norm(tokens, tokens.shape[-1:]).transpose(0, 1)
    made, _ = F.multi_head_attention_forward(
        read,
        read,
        read,
        16,
        4,
        layer.qkv.weight,
        layer.qkv.bias,
        None,
        None,
        False,
        0.0,
        layer.out.weight,
        layer.out.bias,
        need_weights=False,
    )
    made = made.transpose(0, 1) + (tokens if layer.residual else 0)
    cosine = F.cosine_similarity(made[:, :1], made[:, 1:], dim=-1)
    return made[:, 0], made[:, 1 : 1 + len(V)], made[:, 1 + len(V) :], cosine


def written_out(layer: CrossModalProjection, x, V, T):
    """The layer's x~, V~ and T~, and its cosines."""
    picture, prototypes = layer(x, V, T)
    all_of = torch.stack([prototypes.of(torch.full((len(x),), i)) for i in range(2 * len(V))], 1)
    return picture, all_of[:, : len(V)], all_of[:, len(V) :], prototypes.cosine(picture)


@pytest.mark.parametrize("residual", [True, False])
def test_equals_attention_over_whole_sequences_in_values_and_gradients(residual):
    layer = random_projection(residual)
    x, V, T = (torch.randn(n, 16, requires_grad=True) for n in (5, 7, 7))
    results = []
    for function in (written_out, by_whole_sequences):
        out = function(layer, x, V, T)
        weights = [torch.linspace(-1, 1, o.numel()).view_as(o) for o in out]
        total = sum((o.square() * w).sum() for o, w in zip(out, weights))
        results.append((out, torch.autograd.grad(total, [x, V, T, *layer.parameters()])))
    for ours, theirs in zip(*results):
        for a, b in zip(ours, theirs):
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)


def test_permuting_the_classes_permutes_the_outputs():
    layer, order = random_projection(True), torch.randperm(7)
    x, V, T = (torch.randn(n, 16) for n in (5, 7, 7))
    a, b = written_out(layer, x, V, T), written_out(layer, x, V[order], T[order])
    torch.testing.assert_close(b[0], a[0])
    torch.testing.assert_close(b[1], a[1][:, order])
    torch.testing.assert_close(b[2], a[2][:, order])


def test_training_starts_from_the_features_themselves():
    layer = CrossModalProjection(16, heads=4)
    x, V, T = (torch.randn(n, 16) for n in (5, 7, 7))
    for out, given in zip(written_out(layer, x, V, T), (x, V.expand(5, -1, -1), T.expand(5, -1, -1))):
        torch.testing.assert_close(out, given)


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="16 features"):
        CrossModalProjection(16, heads=3)
