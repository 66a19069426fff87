"""GAMENet: an expert each for a song's sound, its words and its artist's career, and a gate that weighs them.

Its sound goes through an OnionEnsembleAENet, an autoencoder a block of features and a joint code of all; the career
through Career Trajectory Dynamics, an aggregate and a sequence that a GRU reads. Source: GAMENet's abstract and the
facts that its readers give; sizes where it does not say are ours.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from smp.nn.blocks import Autoencoder, Gate

Fusion = Literal["gate", "mean", "concat"]
CAREER, STEPS = "career", 10  # the block that is a sequence of so many half-years, the latest first
WIDE = 32  # columns from which a block has an autoencoder


@dataclass(frozen=True)
class GAMENet:
    """Sizes, and which of the ingredients are there."""

    sound: tuple[str, ...] = ("sound", "low_level")  # blocks of each expert, by the start of their names
    words: tuple[str, ...] = ("lyrics", "lyric_counts")
    social: tuple[str, ...] = ("release", "genres", "history", CAREER)
    onion: bool = True  # an autoencoder a wide block; else the block itself
    fusion: Fusion = "gate"
    width: int = 48
    dropout: float = 0.2
    reconstruction: float = 0.1  # weight of the autoencoders' loss
    experts: float = 0.2  # weight of the loss of each expert's own head


class Onion(nn.Module):
    """Blocks {name: (B, d)} -> a joint code (B, width), and the mean loss (B,) of the wide blocks' autoencoders."""

    def __init__(self, shape: dict[str, int], width: int, dropout: float, onion: bool):
        super().__init__()
        self.names = list(shape)
        self.norms = nn.ModuleList(nn.BatchNorm1d(d) for d in shape.values())
        wide = {str(i): d for i, d in enumerate(shape.values()) if onion and d >= WIDE}
        sizes = {i: (d, d // 2, d // 3, min(d // 4, width)) for i, d in wide.items()}
        self.coders = nn.ModuleDict({i: Autoencoder(s) for i, s in sizes.items()})
        total = sum(sizes[str(i)][-1] if str(i) in sizes else d for i, d in enumerate(shape.values()))
        self.joint = nn.Sequential(nn.Dropout(dropout), nn.Linear(total, width), nn.SELU())

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        parts, losses = [], [torch.zeros(len(batch[self.names[0]]), device=batch[self.names[0]].device)]
        for place, (name, norm) in enumerate(zip(self.names, self.norms)):
            x = norm(batch[name])
            if str(place) in self.coders:
                coder = self.coders[str(place)]
                code = coder(x)
                losses.append(((coder.decode(code) - x) ** 2).mean(1))
                x = functional.selu(code)
            parts.append(x)
        return self.joint(torch.cat(parts, dim=1)), torch.stack(losses).sum(0) / max(len(losses) - 1, 1)


class GAMENetNetwork(nn.Module):
    """Blocks {name: (B, d)} and `<name>_there` (B,) -> the standardised label. Called on a batch, it gives (B, 3):
    the squared error, and the weighted losses of autoencoders and experts."""

    def __init__(self, config: GAMENet, shape: dict[str, int]):
        super().__init__()
        self.config = config
        starts = {"sound": config.sound, "words": config.words, "social": config.social}
        of = {kind: [n for n in shape if n.split(".")[0] in names and n != CAREER] for kind, names in starts.items()}
        self.blocks = {kind: names for kind, names in of.items() if names}
        width = config.width
        self.experts = nn.ModuleDict(
            {
                kind: Onion({n: shape[n] for n in names}, width, config.dropout, config.onion)
                for kind, names in self.blocks.items()
            }
        )
        self.temporal = CAREER in shape and CAREER in config.social and "social" in self.blocks
        if self.temporal:
            self.gru = nn.GRU(shape[CAREER] // STEPS, width // 2, batch_first=True)
            self.add = nn.Linear(width // 2, width)
        count = len(self.blocks)
        self.deep = nn.ModuleList(
            nn.Sequential(nn.Dropout(config.dropout), nn.Linear(width, width), nn.SELU()) for _ in range(count)
        )
        self.heads = nn.ModuleList(nn.Linear(width, 1) for _ in range(count))
        self.gate = Gate(count, width)
        joint = width * count if config.fusion == "concat" else width
        self.head = nn.Sequential(nn.Linear(joint, width), nn.SELU(), nn.Dropout(config.dropout), nn.Linear(width, 1))

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        made, views, there, coding = self.run(batch)
        label = batch["label"]
        own = torch.stack([head(views[:, i])[:, 0] for i, head in enumerate(self.heads)], dim=1)  # (B, E)
        own = (((own - label[:, None]) ** 2) * there).sum(1)
        weights = self.config.reconstruction, self.config.experts
        return torch.stack([(made - label) ** 2, weights[0] * coding, weights[1] * own], dim=1)

    def predict(self, batch: dict[str, Tensor]) -> Tensor:
        """(B,) the standardised label."""
        return self.run(batch)[0]

    def run(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Predictions (B,), the experts' views (B, E, w), which are there (B, E), and the autoencoders' loss (B,)."""
        views, there, coding = [], [], 0.0
        for place, (kind, names) in enumerate(self.blocks.items()):
            view, loss = self.experts[kind](batch)
            if kind == "social" and self.temporal:
                steps = batch[CAREER].unflatten(1, (STEPS, -1)).flip(1)  # the oldest first
                view = view + self.add(self.gru(steps)[1][0])
            views.append(self.deep[place](view))
            there.append(torch.stack([batch[f"{n}_there"] for n in names]).amax(0))
            coding = coding + loss * there[-1]
        views, there = torch.stack(views, dim=1), torch.stack(there, dim=1)
        if self.config.fusion == "gate":
            joint = self.gate(views, there)
        elif self.config.fusion == "mean":
            joint = (views * there[:, :, None]).sum(1) / there.sum(1, keepdim=True).clamp(min=1)
        else:
            joint = (views * there[:, :, None]).flatten(1)
        return self.head(joint)[:, 0], views, there, coding
