"""What a trained CLIP_FT says of every post: the features of eq. 11, class probabilities, losses, cosines, PCA."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from smp.clip_ft.inputs import Inputs
from smp.clip_ft.model import Features, Logits, losses
from smp.clip_ft.projection import Attended
from smp.clip_ft.train import Step
from smp.disk.store import read_embeddings, write_table
from smp.encoders import Loading
from smp.encoders.components import pca
from smp.encoders.shards import Batch, into_store
from smp.nn.parallel import ahead, autocast, device, once, precision_on

BRANCHES = ["global_text", "local_text", "visual", "textual", "cross"]  # classifiers; cross is the final one
# Blocks of F in the order of eq. 11, each d wide; its s, the user's behaviour, is a feature family of its own.
BLOCKS = ("image", "text", "global_prompt", "local_prompt", "projected_image", "visual_prototype", "textual_prototype")
Outputs = tuple[np.ndarray, dict[str, Tensor], Features, Logits, tuple[Tensor, Attended, Tensor, Tensor]]


@torch.inference_mode()
def outputs(
    step: Step, inputs: Inputs, batches: Sequence[np.ndarray], precision: str, workers: int
) -> Iterator[Outputs]:
    """For every batch of rows: the rows, its tensors, the towers' features, the logits, and (x~, V~ then T~, G, L).

    The feature of a picture that is not there is 0, by an unfrozen tower too.
    """
    target = device()
    step.to(target).eval()
    with autocast(target, precision):
        G, L = step.model.classes(step.towers.text)  # the same for every batch
    for rows, tensors in zip(batches, ahead(inputs.stream(batches, workers=workers), target)):
        with autocast(target, precision):
            features = step.towers.features(tensors)
            seen = torch.from_numpy(inputs.has_image[rows]).to(target)
            features = features._replace(image=features.image * seen[:, None])
            logits, x, prototypes = step.model(features, G, L)
        yield rows, tensors, features, logits, (x, prototypes, G, L)


def classify(step: Step, inputs: Inputs, rows: np.ndarray, precision: str, workers: int = 0) -> pd.DataFrame:
    """Every row's class by each branch, and its losses: index row; columns global_text, local_text, visual, textual,
    cross (class codes), loss_global, loss_local, loss_cross and their sum `loss` (eq. 8).

    Losses are NaN where the row's class had no posts to learn from, or the row lacks the text or picture they judge.
    """
    parts = []
    for batch, tensors, features, logits, _ in outputs(step, inputs, _batches(rows), precision, workers):
        said = {name: z.argmax(1) for name, z in {**logits._asdict(), "cross": logits.cross}.items()}
        judged = (step.model.known[tensors["label"]][:, None] & _judged(features))[:, [0, 1, 4]].T
        lost = {
            f"loss_{name}": value.where(one, torch.nan)
            for (name, value), one in zip(losses(logits, tensors["label"]).items(), judged)
        }
        lost["loss"] = sum(lost.values())
        parts.append(pd.DataFrame({k: v.cpu().numpy() for k, v in {**said, **lost}.items()}, index=batch))
    return pd.concat(parts)


def store_features(
    step: Step,
    inputs: Inputs,
    ids: pd.Index,
    folder: Path,
    name: str,
    key: str,
    loading: Loading,
    budget: Sequence[int] = (),
) -> dict[str, float]:
    """Write to the store what the model says of every post; the ranks share the work, and finished work is kept.

    `<name>` (n, 7d): F of eq. 11, block by block; `<name>_probabilities` (n, K); `<name>_fit` (n, 5): log-probability
    of the post's class by every branch; `<name>_stats`: what `statistics` gives; `<name>_pca` (n, sum of the budget),
    where there is one: components of each of BLOCKS. Returns the share of each block's variance that these keep.
    """
    names, key = [name, f"{name}_probabilities", f"{name}_fit"], f"{key}-{precision_on(device(), loading.precision)}"

    def compute(batches: Sequence[np.ndarray]) -> Iterator[Batch]:
        for said in outputs(step, inputs, batches, loading.precision, loading.workers):
            yield dict(zip(names, _describe(step, said)))

    into_store(folder, names, ids, compute, key=key, batch_size=loading.batch_size, shard_size=loading.shard_size)
    once(lambda: write_table(folder / f"{name}_stats.parquet", statistics(folder, name), {"key": key}))
    kept = once(pca, folder, name, budget, f"{key}-{budget}") if budget else []
    return dict(zip(BLOCKS, kept))


def _describe(step: Step, said: Outputs) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """F (B, 7d), class probabilities (B, K), log-probabilities of the post's class by every branch (B, 5); float16.

    Without a picture the text says the class, and x~ is 0. A branch has no fit (NaN) of what is not there.
    """
    _, tensors, features, logits, (x, prototypes, G, L) = said
    seen = features.image.any(1, keepdim=True)
    probability = torch.where(seen, logits.cross, logits.global_text).softmax(1)
    label = tensors["label"]
    given = (label >= 0) & step.model.known[label] & (step.model.config.class_of_post == "given")
    c = torch.where(given, label, probability.argmax(1))
    i = torch.arange(len(c), device=c.device)
    F = torch.cat([features.image, features.text, G[c], L[c], x * seen, prototypes.of(c), prototypes.of(c + len(G))], 1)
    fit = torch.stack([z.log_softmax(1)[i, c] for z in (*logits, logits.cross)], 1)
    fit = fit.where(_judged(features), torch.nan)
    return tuple(part.half().cpu().numpy() for part in (F, probability, fit))


def _judged(features: Features) -> Tensor:
    """(B, 5) bool: whether there is what each of BRANCHES judges, words of a text or a picture."""
    text, image = features.mask.any(1), features.image.any(1)
    return torch.stack([text, text, image, image, image], 1)


def statistics(folder: Path, name: str) -> pd.DataFrame:
    """A few plain columns of every post, float32, from the stored features; index post_id.

    cosine_clip: of picture and text, as the towers give them; cosine: of x~ and T~ of the post's class, as fine-tuned;
    cosine_visual: of x~ and V~; fit_global_text, fit_local_text, fit_visual, fit_textual, fit_cross: log-probability of
    the post's class by each branch, that is, how well the post fits it; confidence: the likeliest class's probability;
    entropy (nats) of the probabilities; image_missing: 1 where no picture could be read. Cosines and fits of a picture
    or a text that is not there are NaN. All with the name in front.
    """
    ids, F = read_embeddings(folder, name)
    P, fit = (read_embeddings(folder, f"{name}_{part}")[1] for part in ("probabilities", "fit"))
    parts = []
    for start in range(0, len(F), 16384):
        block = F[start : start + 16384].astype(np.float32).reshape(-1, len(BLOCKS), F.shape[1] // len(BLOCKS))
        block /= np.maximum(np.linalg.norm(block, axis=2, keepdims=True), 1e-6)
        f = dict(zip(BLOCKS, block.transpose(1, 0, 2)))
        p, own = (part[start : start + 16384].astype(np.float32) for part in (P, fit))
        image, text = f["image"].any(1), ~np.isnan(own[:, 0])
        parts.append(
            pd.DataFrame(
                {
                    "cosine_clip": np.where(image & text, (f["image"] * f["text"]).sum(1), np.nan),
                    "cosine": np.where(image, (f["projected_image"] * f["textual_prototype"]).sum(1), np.nan),
                    "cosine_visual": np.where(image, (f["projected_image"] * f["visual_prototype"]).sum(1), np.nan),
                    **dict(zip((f"fit_{branch}" for branch in BRANCHES), own.T)),
                    "confidence": p.max(1),
                    "entropy": -(p * np.log(np.maximum(p, 1e-7))).sum(1),
                    "image_missing": (~image).astype(np.float32),
                }
            )
        )
    return pd.concat(parts).add_prefix(f"{name}_").set_axis(pd.Index(ids, name="post_id"))


def _batches(rows: np.ndarray, size: int = 512) -> list[np.ndarray]:
    return [rows[i : i + size] for i in range(0, len(rows), size)]
