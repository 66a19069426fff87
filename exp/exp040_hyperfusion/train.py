"""HyperFusion (third in 2025, from its abstract). Parents: exp002_clip, exp006_clip_title_tags. Asks: what do CLIP's
picture, text, and metadata reach in a hierarchical ensemble with pseudo-labels?

Three tiers of features (visual, text, metadata and user), cosines across them and clusters of several sizes; CatBoost,
TabNet and an MLP, blended; then rounds of pseudo-labels. Blend weights and the number of rounds are chosen inside every
fold: models of the earlier training rows are scored on the latest block of them. Writes steps.csv: every tier (CatBoost
alone, holdout only), learner, ensemble and the result, on the same rows; steps/<part>.json: weights and rounds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, islice

from smp import features
from smp.disk.store import replacing, write_json
from smp.experiment import Run, Settings
from smp.folds import time_blocks
from smp.learners import MLP, CatBoost, Learner, TabNet
from smp.oof import Part, cross_fit, holdout_of
from smp.pseudo_label import Fit, PseudoLabels, accepted_rounds
from smp.runner import Model, part_matrix, run_experiment
from smp.scores import score
from smp.stacking import blend_weights
from smp.tracks.base import Data

import numpy as np
import pandas as pd

TRACK = "image"
GROUP = "studies"
PARENTS = ("exp002_clip", "exp006_clip_title_tags")
LEARNERS = ("catboost", "tabnet", "mlp")


@dataclass(frozen=True)
class Config(Settings):
    visual: tuple[str, ...] = ("clip_image_pca",)
    text: tuple[str, ...] = ("clip_text_pca", "text_words", "tags_post", "title_tags")
    metadata: tuple[str, ...] = ("post_stats", "time_place", "user_behaviour", "tags_user")
    derived: tuple[str, ...] = ("similarity", "clusters")
    label_features: tuple[str, ...] = ("account_counters", "label_means", "user_labels")  # of the metadata tier
    catboost: CatBoost = CatBoost(objective="Huber:delta=1", rounds=2000, learning_rate=0.03, depth=8, rsm=0.3)
    tabnet: TabNet = TabNet(n_d=64, n_a=64, n_steps=5, epochs=50, batch_size=1024, learning_rate=0.02)
    mlp: MLP = MLP(epochs=8, dropout=0.4)
    pseudo: PseudoLabels = PseudoLabels()
    trials: int = 200  # of the search for blend weights
    seeds: tuple[int, ...] = (0, 1, 2)

    @property
    def features(self) -> tuple[str, ...]:
        return (*self.visual, *self.text, *self.metadata, *self.derived)

    @property
    def tiers(self) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
        """What is measured apart: families, and families made from labels."""
        three = (*self.visual, *self.text, *self.metadata)
        return {
            "visual": (self.visual, ()),
            "text": (self.text, ()),
            "visual + text": ((*self.visual, *self.text), ()),
            "metadata and user": (self.metadata, self.label_features),
            "all three": (three, self.label_features),
            **{f"all three + {f}": ((*three, f), self.label_features) for f in self.derived},
        }


SMALL = {
    "catboost": CatBoost(objective="Huber:delta=1", rounds=150, learning_rate=0.1, depth=5, rsm=0.2),
    "tabnet": TabNet(
        epochs=8,
        batch_size=256,
        learning_rate=0.02,
        weight_decay=1e-5,
        mask="softmax",
        n_d=8,
        n_a=8,
        n_steps=2,
        n_shared=1,
        n_independent=1,
    ),
    "trials": 60,
    "seeds": (0,),
}


NONE = np.empty(0, int)


class HyperFusion(Model):
    """Three learners on three tiers, blended, then taught again with pseudo-labels."""

    config: Config

    def __init__(self, run: Run, data: Data, folds: pd.DataFrame):
        super().__init__(run, data, folds)
        self.learners = [getattr(self.config, name) for name in LEARNERS]
        self.made = cross_fit(run.folder / "steps", data.ids, self.parts, self.steps)
        self.compare()

    def predict(self, part: Part) -> np.ndarray:
        return dict(self.made)[part].iloc[:, len(LEARNERS) + 2 :].to_numpy()

    def steps(self, part: Part) -> np.ndarray:
        """(q, models + 2 + seeds): every learner, their mean, the blend, and the blend after the rounds by seed."""
        config, (blend, rounds, losses) = self.config, self.choose(part)
        fit = self.fitter(part, config.features, config.label_features, self.learners)
        plain = fit(NONE, NONE)
        *_, final = chain([plain], islice(config.pseudo.refine(fit, plain, blend), rounds))
        weights = dict(zip(LEARNERS, blend.tolist()))
        write_json(
            self.run.folder / f"steps/{part.name}.json", {"weights": weights, "rounds": rounds, "losses": losses}
        )
        single = plain.mean(axis=2)
        return np.column_stack([single, single.mean(axis=1), single @ blend, np.einsum("qms,m->qs", final, blend)])

    def choose(self, part: Part) -> tuple[np.ndarray, int, list[float]]:
        """Blend weights, number of rounds, and the losses that decided it: on the latest fifth of the part's training
        rows, by models of the earlier ones. No label of the rows to predict is looked at."""
        config, blocks = self.config, self.track.split.blocks
        late = time_blocks(self.data.items["time"].iloc[part.train], blocks) == blocks - 1
        inner = Part("inner", part.name, part.train[~late], part.train[late])
        fit, true = (
            self.fitter(inner, config.features, config.label_features, self.learners),
            self.data.labels[inner.query],
        )
        plain = fit(NONE, NONE)
        blend = blend_weights(plain.mean(axis=2), true, np.ones(len(true)), self.task, config.trials, 0)
        ladder = chain([plain], config.pseudo.refine(fit, plain, blend))
        return blend, *accepted_rounds(self.task.loss(true, pred.mean(axis=2) @ blend) for pred in ladder)

    def fitter(
        self, part: Part, families: Sequence[str], label_families: Sequence[str], learners: Sequence[Learner]
    ) -> Fit:
        """What trains the learners on the part, with or without pseudo-labels, and predicts: (q, models, seeds)."""
        config, y, X = self.config, self.data.labels, features.load(TRACK, families, self.data)
        matrices = [part_matrix(TRACK, X, label_families, self.data, part, seed) for seed in config.seeds]

        def fit(chosen: np.ndarray, labels: np.ndarray) -> np.ndarray:
            rows, target = np.append(part.train, part.query[chosen]), np.append(y[part.train], labels)
            weight = np.append(np.ones(len(part.train)), np.full(len(chosen), config.pseudo.weight))
            made = [
                [learner.fit(M.take(rows), target, weight, seed).predict(M.take(part.query)) for learner in learners]
                for M, seed in zip(matrices, config.seeds)
            ]
            return np.transpose(made, (2, 1, 0))

        return fit

    def tiers(self, part: Part) -> np.ndarray:
        """(q, tiers) by CatBoost alone."""
        tiers = self.config.tiers.values()
        made = [self.fitter(part, *families, [self.config.catboost])(NONE, NONE) for families in tiers]
        return np.column_stack([pred.mean(axis=(1, 2)) for pred in made])

    def compare(self) -> None:
        """Write steps.csv: tiers on the holdout, and every step of the whole on cv and holdout."""
        n, judged = len(LEARNERS), [(part, pred) for part, pred in self.made if part.kind in ("fold", "holdout")]
        alone = cross_fit(self.run.folder / "tiers", self.data.ids, [holdout_of(self.parts)], self.tiers)
        rows = {f"catboost: {t}": (alone, slice(i, i + 1)) for i, t in enumerate(self.config.tiers)}
        rows |= {name: (judged, slice(i, i + 1)) for i, name in enumerate((*LEARNERS, "mean", "blend"))}
        rows["with pseudo-labels"] = judged, slice(n + 2, None)
        table = {}
        for name, (made, at) in rows.items():
            scores = score(TRACK, self.data, [(part, pred.iloc[:, at]) for part, pred in made])
            shown = ("holdout",) if made is alone else ("cv", "holdout")
            table[name] = {f"{k}_{m}": v for k in shown for m, v in scores[k].items()}
        with replacing(self.run.folder / "steps.csv") as aside:
            pd.DataFrame(table).T.round(4).to_csv(aside, index_label="step")


if __name__ == "__main__":
    run_experiment(__file__, Config, TRACK, HyperFusion, SMALL)
