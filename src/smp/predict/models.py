"""The kept models of an experiment and its parents: what they predict, and what each column contributes to that."""

import json
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from smp import features, learners
from smp.errors import DataError
from smp.experiment import fields_of
from smp.folds import label_level
from smp.learners.medians import Bend
from smp.matrix import FeatureMatrix
from smp.oof import finished
from smp.predict.embed import NotOfNewPosts
from smp.predict.world import Known, World
from smp.runner import BEND
from smp.selection import Selection
from smp.stacking import KEPT, Combination

SLIGHT = 0.05  # of the weightiest trees' weight: what counts for less changes no reason, and is not asked for any


@dataclass(frozen=True)
class Answer:
    """What is said of the posts of a world."""

    pred: np.ndarray  # (q,)
    contributions: pd.DataFrame  # (q, columns) by how much each moves the tree models' prediction from its mean
    left_out: dict[str, str]  # parents that could not be asked, and why


class First:
    """A first-level experiment's kept models."""

    def __init__(self, known: Known, name: str):
        """Raises DataError where it keeps none, or where the features are no longer what it learnt from."""
        self.known, self.name, self.folder = known, name, finished(known.track, name)
        settings = json.loads((self.folder / "config.json").read_text())
        self.config = settings["config"]
        if "learner" not in self.config:
            raise DataError(f"{self.folder}: keeps no model that can be asked for new posts; name another experiment")
        stale = [f for f, made in settings["features"].items() if features.key(known.track, f) != made]
        if stale:
            raise DataError(
                f"{self.folder}: learnt from {', '.join(stale)} as other code or other data made them; run it again "
                f"with --force"
            )

    @cached_property
    def models(self) -> dict[int, tuple[learners.Fitted, Bend | None]]:
        """By seed the model, and what bends its predictions."""
        found = {}
        for seed in self.config["seeds"]:
            folder = self.folder / "models" / f"seed{seed}"
            bend = _read(folder / BEND) if self.config["median_folds"] else None
            found[seed] = learners.load(folder), bend and Bend(**bend)
        return found

    @property
    def explains(self) -> bool:
        """Whether the models are trees, which can say what a column contributes."""
        return any(hasattr(model, "contributions") for model, _ in self.models.values())

    @cached_property
    def train(self) -> np.ndarray:
        """Positions of the posts that it learnt from."""
        kept = Selection(**fields_of(self.config["keep"]))
        return kept.rows(self.known.track, self.known.data.items, self.known.train)

    def matrix(self, world: World) -> FeatureMatrix:
        """(q, D) what the models read of the posts asked for."""
        X, families = world.matrix(self.config["features"]), tuple(self.config["label_features"])
        if families:
            made = world.from_labels(families, self.train, self.config["label_blocks"])
            X = X.join(made.take(world.query))
        return X

    def ask(self, world: World) -> np.ndarray:
        """(q,) predictions, averaged over seeds."""
        X, pred, blocks = self.matrix(world), [], self.config["level_blocks"]
        level = label_level(world.data, self.train, blocks)[world.query] if blocks else 0.0
        for model, bend in self.models.values():
            said = model.predict(X) + level
            pred.append(bend(said) if bend else said)
        return np.mean(pred, axis=0)

    def why(self, world: World) -> pd.DataFrame:
        """(q, columns) what the columns contribute, averaged over seeds; of models that are trees (`explains`)."""
        X = self.matrix(world)
        given = [model.contributions(X) for model, _ in self.models.values()]
        return pd.DataFrame(np.mean(given, axis=0), columns=list(X.names))


class Predictor:
    """An experiment of either level with all that it asks."""

    def __init__(self, known: Known, experiment: str):
        """Raises DataError where it is unfinished or keeps too little."""
        self.known, self.experiment = known, experiment
        folder = finished(known.track, experiment)
        self.combinations, parents = None, [experiment]
        if "parents" in json.loads((folder / "config.json").read_text())["config"]:
            kept = _read(folder / KEPT)
            self.combinations, parents = [Combination.from_json(one) for one in kept["seeds"]], kept["parents"]
        weights = np.mean([one.weights for one in self.combinations], axis=0) if self.combinations else np.ones(1)
        self.weights = dict(zip(parents, weights.tolist()))
        self.parents = {name: First(known, name) for name, weight in self.weights.items() if weight > 0}
        y = known.data.labels[known.train]
        if y.ndim > 1:
            raise DataError(f"{folder}: predicts several labels a post; only one can be asked for")
        self.range = y.min(), y.max()
        self._leaves: dict[str, np.ndarray] = {}

    def ask(self, world: World, explain: bool = True) -> Answer:
        """Predictions within the range of the labels, as a submission has them.

        A parent that cannot describe new posts is left out, and its weight given to the others. Raises DataError where
        none is left. explain: whether contributions are wanted, which cost as much as all else.
        """
        pred, left_out = {}, {}
        for name, parent in self.parents.items():
            try:
                pred[name] = parent.ask(world)
            except NotOfNewPosts as why:
                left_out[name] = str(why)
        if not pred:
            raise DataError(f"{self.experiment}: cannot be asked for new posts: {next(iter(left_out.values()))}")
        own = np.array([self.weights[name] for name in pred])
        own *= sum(self.weights[name] for name in self.parents) / own.sum()
        said = np.column_stack(list(pred.values()))
        combinations = [self._among(one, list(pred)) for one in self.combinations or ()]
        out = np.mean([one(said).clip(*self.range) for one in combinations], axis=0) if combinations else said[:, 0]
        trees = {n: w for n, w in zip(pred, own) if explain and self.parents[n].explains}
        trees = {n: w for n, w in trees.items() if w >= SLIGHT * max(trees.values())}
        tables = [self.parents[n].why(world) * (w / sum(trees.values())) for n, w in trees.items()]
        contributions = pd.concat(tables, axis=1).T.groupby(level=0, sort=False).sum().T if tables else pd.DataFrame()
        return Answer(out.clip(*self.range), contributions, left_out)

    def alike(self, world: World, count: int = 5) -> tuple[np.ndarray, np.ndarray]:
        """Of the first post asked for the most alike labelled posts: their positions, and the share of trees that put
        both into one leaf (Breiman's proximity), by the LightGBM parent of the largest weight; empty without one.
        """
        for name in sorted(self.parents, key=self.weights.get, reverse=True):
            model = next(iter(self.parents[name].models.values()))[0]
            if hasattr(model, "leaves"):
                if name not in self._leaves:
                    train = World(self.known, self.known.data.items.iloc[self.known.train])
                    self._leaves[name] = model.leaves(self.parents[name].matrix(train))
                with suppress(NotOfNewPosts):
                    share = (self._leaves[name] == model.leaves(self.parents[name].matrix(world))[0]).mean(axis=1)
                    best = np.argsort(-share, kind="stable")[:count]
                    return self.known.train[best], share[best]
        return np.empty(0, np.int64), np.empty(0)

    def _among(self, one: Combination, names: list[str]) -> Combination:
        """The combination of some of the parents, the weights of the others shared out among them."""
        weights = dict(zip(self.weights, one.weights))
        kept = np.array([weights[name] for name in names])
        kept = kept * sum(one.weights) / kept.sum() if kept.sum() else np.full(len(kept), sum(one.weights) / len(kept))
        return replace(one, weights=kept.tolist())


def _read(path: Path) -> dict:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise DataError(f"{path}: not kept; make that experiment again with --force") from None
    except ValueError as error:
        raise DataError(f"{path}: not readable ({error}); make it again with --force") from error
