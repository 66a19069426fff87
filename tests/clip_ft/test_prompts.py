"""Prompts against open_clip's own text encoder, eq. 5 against loops."""

import math
from types import SimpleNamespace

import open_clip
import pytest
import torch
from torch.nn.functional import normalize

from smp.clip_ft.prompts import Prompts, local_similarity
from smp.encoders.clip import TextTower
from smp.errors import DataError

NAMES = ["dog", "street photography", "a rather long class name"]
NO_WORDS = torch.zeros(0, dtype=torch.long)


@pytest.mark.parametrize("custom", [False, True])
def test_prompts_without_context_are_the_class_names(tiny, custom):
    net, tokenizer = tiny.tiny_clip(custom), tiny.tokenizer()
    tower = TextTower(net, tokenizer)
    prompts = Prompts(tower, NAMES, 0, NO_WORDS, per_class=False)
    for said in prompts(tower):
        torch.testing.assert_close(said, net.encode_text(tokenizer(NAMES), normalize=True))


@pytest.mark.parametrize("custom", [False, True])
@pytest.mark.parametrize("per_class", [False, True])
def test_prompts_that_start_from_words_are_the_sentence(tiny, custom, per_class):
    net, tokenizer = tiny.tiny_clip(custom), tiny.tokenizer()
    tower = TextTower(net, tokenizer)
    words = tokenizer(["a photo of a"])
    prompts = Prompts(tower, NAMES, 4, words[tower.own_tokens(words)], per_class)
    sentences = tokenizer([f"a photo of a {name}" for name in NAMES])
    for said in prompts(tower):
        torch.testing.assert_close(said, net.encode_text(sentences, normalize=True))
    assert [tuple(p.shape) for p in prompts.parameters()] == 2 * [(3 if per_class else 1, 4, 32)]


class SigLipLike:
    """A tokenizer as SigLIP's: no start token, end and padding share an id, behind open_clip's Hugging Face face."""

    tokenizer = SimpleNamespace(all_special_ids=[1])

    def __call__(self, texts: list[str]) -> torch.Tensor:
        rows = [[2 + sum(map(ord, word)) % 1000 for word in text.split()] for text in texts]
        return torch.tensor([row + [1] * (24 - len(row)) for row in rows])


def test_tokenizers_without_a_start_token_are_understood(tiny):
    net, tokenizer = tiny.tiny_clip(custom=True), SigLipLike()
    tower = TextTower(net, tokenizer)
    assert tower.own_tokens(tokenizer(["", "a b c"])).sum(1).tolist() == [0, 3]
    words = tokenizer(["a photo of a"])
    prompts = Prompts(tower, NAMES, 4, words[tower.own_tokens(words)], per_class=False)
    sentences = tokenizer([f"a photo of a {name}" for name in NAMES])
    torch.testing.assert_close(prompts(tower)[0], net.encode_text(sentences, normalize=True))


def test_text_towers_that_cannot_be_opened_are_refused_by_name(tiny):
    hugging = torch.nn.Module()  # as of a model whose text is read by a network of Hugging Face
    hugging.text = torch.nn.Linear(1, 1)
    masked = tiny.tiny_clip(custom=True)
    masked.text.use_pad_mask = True
    many = {"context_length": 8, "vocab_size": 100, "width": 32, "heads": 2, "layers": 1}
    coca = open_clip.CoCa(16, many, {**tiny.TEXT, "embed_cls": True}, tiny.VISION)
    for net, words in (
        (hugging, r"Module: .*\(Linear\) is none of"),
        (masked, "CustomTextCLIP: .* masks its padding"),
        (coca, "CoCa: .* has a class token"),
    ):
        with pytest.raises(DataError, match=f"{words}.*; choose a CLIP or SigLIP model"):
            TextTower(net, tiny.tokenizer())


def test_contexts_beyond_the_words_are_drawn(tiny):
    tower = TextTower(tiny.tiny_clip(), tiny.tokenizer())
    words = tower.tokenizer(["a photo"])
    prompts = Prompts(tower, NAMES, 6, words[tower.own_tokens(words)], per_class=False)
    for context in (prompts.global_context[0], prompts.local_context[0]):
        torch.testing.assert_close(context[4:], tower.embed(words[0, 1:3]))
        assert 0.005 < context[:4].std() < 0.05
    assert not torch.equal(prompts.global_context, prompts.local_context)


@pytest.mark.parametrize("per_class", [False, True])
def test_packed_prompts_are_those_read_one_by_one_in_values_and_gradients(tiny, per_class, monkeypatch):
    tower = TextTower(tiny.tiny_clip().requires_grad_(False), tiny.tokenizer())
    prompts = Prompts(tower, NAMES, 6, NO_WORDS, per_class)
    for context in prompts.parameters():
        torch.nn.init.normal_(context)
    packed = prompts(tower)
    gradients = torch.autograd.grad(packed[0][1, 3] + packed[1][2, 5], list(prompts.parameters()))
    monkeypatch.setattr(TextTower, "pools_end_of_causal", False)
    single = prompts(tower)
    torch.testing.assert_close(packed, single)
    expected = torch.autograd.grad(single[0][1, 3] + single[1][2, 5], list(prompts.parameters()))
    torch.testing.assert_close(gradients, expected)


def test_a_prompt_that_does_not_fit_names_the_class(tiny):
    tower = TextTower(tiny.tiny_clip(), tiny.tokenizer())
    with pytest.raises(DataError, match="a rather long class name"):
        Prompts(tower, NAMES, 20, NO_WORDS, per_class=False)


@pytest.mark.parametrize("custom", [False, True])
def test_the_opened_tower_gives_what_encode_text_gives(tiny, custom):
    net, tokenizer = tiny.tiny_clip(custom), tiny.tokenizer()
    tower = TextTower(net, tokenizer)
    ids = tokenizer(["", "hello", "! ! 2015 a dog", "many words " * 20])
    pooled, tokens = tower(tower.embed(ids), ids)
    torch.testing.assert_close(pooled, net.encode_text(ids))
    assert tokens.shape == (4, 24, tiny.DIM)
    cropped = tower.crop(ids[:3])
    torch.testing.assert_close(tower(tower.embed(cropped), cropped)[0], pooled[:3])
    assert cropped.shape[1] == (24 if custom else 10)


def test_own_tokens_leave_out_start_end_and_padding_but_no_exclamation_mark(tiny):
    tower = TextTower(tiny.tiny_clip(), tiny.tokenizer())
    ids = tower.tokenizer(["", "!{", "a dog"])
    assert ids[1, 1] == 0  # the id of "!" before other signs is also the padding's
    assert tower.own_tokens(ids).sum(1).tolist() == [0, 2, 2]


def test_local_similarity_is_equation_5():
    torch.manual_seed(0)
    H, L = normalize(torch.randn(3, 5, 8), dim=-1), normalize(torch.randn(4, 8), dim=-1)
    length, tau = [5, 2, 0], 0.1
    mask = torch.arange(5) < torch.tensor(length)[:, None]
    said = local_similarity(H, mask, L, tau)
    for b in range(3):
        for i in range(4):
            P = [float(H[b, j] @ L[i]) for j in range(length[b])]
            total = sum(math.exp(p / tau) for p in P)
            expected = sum(math.exp(p / tau) / total * p for p in P)
            assert said[b, i].item() == pytest.approx(expected, abs=1e-6)


def test_padding_changes_nothing():
    torch.manual_seed(0)
    H, L = normalize(torch.randn(1, 3, 8), dim=-1), normalize(torch.randn(4, 8), dim=-1)
    mask = torch.ones(1, 3, dtype=torch.bool)
    padded = local_similarity(torch.cat([H, torch.randn(1, 4, 8)], 1), torch.arange(7)[None] < 3, L, 0.05)
    torch.testing.assert_close(padded, local_similarity(H, mask, L, 0.05))
