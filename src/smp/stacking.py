"""The second level: combines finished experiments' predictions with weights learnt where later posts were predicted."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from smp.disk.store import replacing, write_json
from smp.errors import DataError
from smp.experiment import Run, Settings, predictions_read
from smp.learners.medians import Bend, median_bend
from smp.metrics import Task
from smp.oof import Part, forward_parts, holdout_of, load_forward, load_oof
from smp.runner import Model, run_experiment
from smp.scores import score
from smp.tracks.base import Data

Method = Literal["mean", "rank_mean", "blend", "linear", "median"]
METHODS: tuple[Method, ...] = get_args(Method)
KEPT = Path("models", "combinations.json")  # what the test is combined with, and the parents that it combines


@dataclass(frozen=True)
class Fusion(Settings):
    """What a second-level experiment states."""

    parents: tuple[str, ...]  # finished experiments whose predictions are combined
    method: Method = "blend"  # what the submission is made with
    trials: int = 200  # of the blend's search
    seeds: tuple[int, ...] = (0,)

    def inputs(self, track: str) -> dict[str, str]:
        return predictions_read(track, self.parents)


@dataclass(frozen=True)
class Combination:
    """How level-1 predictions become one: `learn` makes it, and plain values keep it."""

    method: Method
    weights: list[float]  # (m,) of the level-1 models
    intercept: float = 0.0
    bend: Bend | None = None
    apart: "tuple[Combination, ...]" = ()  # of k labels that are combined each apart, one each

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> "Combination":
        bend, apart = kept["bend"] and Bend(**kept["bend"]), tuple(map(cls.from_json, kept["apart"]))
        return cls(kept["method"], kept["weights"], kept["intercept"], bend, apart)

    def __call__(self, query: np.ndarray) -> np.ndarray:
        """(q, m[, k]) level-1 predictions -> (q[, k])."""
        if self.apart:
            return np.stack([one(query[..., j]) for j, one in enumerate(self.apart)], axis=1)
        if self.method in ("mean", "rank_mean", "median"):
            mean = query.mean(axis=1)
            if self.method == "rank_mean":
                ranks = np.column_stack([rankdata(c) for c in query.T]).mean(axis=1)
                return np.sort(mean)[rankdata(ranks, method="ordinal") - 1]
            return self.bend(mean) if self.bend else mean
        return np.einsum("qm...,m->q...", query, self.weights) + self.intercept


def learn(
    method: Method, train: np.ndarray, y: np.ndarray, learnt: np.ndarray, task: Task, trials: int, seed: int
) -> Combination:
    """Learn how to combine level-1 predictions: from train (n, m) with labels y (n,).

    learnt (n,): how many rows the models behind each row's predictions learnt from, which tells the forward parts.
    Of k labels train is (n, m, k) and y (n, k): each apart, but for the weights of a blend.

    mean: plain. rank_mean: mean of ranks within the query, given back the values of the plain mean, so that outliers of
    one model do not move the order. blend: weights on the simplex found by Optuna for the track's own loss. linear:
    non-negative least squares with an intercept, which may stretch the predictions too. median: the mean, bent to the
    local median that the track's error asks for (smp.learners.medians). Raises DataError on any other method.
    """
    if method not in METHODS:
        raise DataError(f"method '{method}': must be one of {', '.join(METHODS)}")
    equal = [1 / train.shape[1]] * train.shape[1]
    if method == "mean":
        return Combination(method, equal)
    if method == "blend":
        return Combination(method, blend_weights(train, y, learnt, task, trials, seed).tolist())
    if y.ndim == 2:
        labels = range(y.shape[1])
        apart = (learn(method, train[..., j], y[:, j], learnt, task, trials, seed) for j in labels)
        return Combination(method, equal, apart=tuple(apart))
    if method == "rank_mean":
        return Combination(method, equal)
    if method == "median":
        return Combination(method, equal, bend=median_bend(train.mean(axis=1), y, task.weight(y)))
    from sklearn.linear_model import LinearRegression

    weight = task.weight(y) ** 2  # a relative error where the track's is one
    model = LinearRegression(positive=True).fit(train, y, sample_weight=weight)
    return Combination(method, model.coef_.tolist(), float(model.intercept_))


def blend_weights(
    train: np.ndarray, y: np.ndarray, learnt: np.ndarray, task: Task, trials: int, seed: int
) -> np.ndarray:
    """(m,) weights >= 0 of sum 1 that minimise the mean loss of the forward parts on the columns of train (n, m[, k]).

    The predictions of one part have a common order, those of two have not; so each has its loss. It counts by the rows
    that its models learnt from (learnt, (n,)), for the model that is asked in the end learns from the most: where there
    were few, simpler models win. The search starts at equal weights.
    """
    import optuna

    m, sizes = train.shape[1], np.unique(learnt)
    parts = [np.flatnonzero(learnt == size) for size in sizes]

    def weights_of(parameters: dict[str, float]) -> np.ndarray:
        raw = np.array([parameters[f"w{j}"] for j in range(m)])
        return raw / raw.sum() if raw.sum() else np.full(m, 1 / m)

    def objective(trial: optuna.Trial) -> float:
        for j in range(m):
            trial.suggest_float(f"w{j}", 0, 1)
        blended = np.einsum("nm...,m->n...", train, weights_of(trial.params))
        return float(np.average([task.loss(y[rows], blended[rows]) for rows in parts], weights=sizes))

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed, multivariate=True))
    study.enqueue_trial({f"w{j}": 0.5 for j in range(m)})
    study.optimize(objective, n_trials=trials)
    return weights_of(study.best_params)


class Stack(Model):
    """Level-1 predictions, combined.

    What combines a part is learnt from forward predictions alone, and of these from the rows that the part itself may
    learn from: so the holdout's from the forward parts before it, a forward part's from those before (at first there
    are none: the plain mean), the test's from all. The folds take the holdout's: an out-of-fold prediction has seen
    later labels, and weights learnt on such predictions favour the models that make the most of them.
    """

    config: Fusion

    def __init__(self, run: Run, data: Data, folds: pd.DataFrame):
        super().__init__(run, data, folds)
        shape = len(self.config.parents), *data.labels.shape[1:]
        level1 = pd.concat(load_oof(run.track, self.config.parents, folds, data)).reindex(data.ids)
        self.level1 = level1.to_numpy().reshape(len(data), *shape)
        keys, forward = load_forward(run.track, self.config.parents)
        self.forward = forward.to_numpy().reshape(len(forward), *shape)
        self.forward_key, self.forward_row = keys.to_numpy(), data.ids.get_indexer(keys.index)
        self.holdout = holdout_of(self.parts)
        sizes = {key: len(p.train) for key, p in forward_parts(self.parts, self.track.split).items()}
        self.learnt = keys.map(sizes).to_numpy()
        self.compare()

    def known(self, part: Part) -> np.ndarray:
        """(f,) bool: the rows of the forward predictions that the part's combination may be learnt from."""
        return np.isin(self.forward_row, self.holdout.train if part.kind == "fold" else part.train)

    def inputs(self, part: Part) -> np.ndarray:
        """(q, m[, k]) what the parents predicted for the part's query."""
        keys = [key for key, p in forward_parts([part, self.holdout], self.track.split).items() if p is part]
        if not keys:
            return self.level1[part.query]
        own = np.flatnonzero(self.forward_key == keys[0])
        return self.forward[own[pd.Index(self.forward_row[own]).get_indexer(part.query)]]

    def predict(self, part: Part) -> np.ndarray:
        combinations = self.combinations(part, self.config.method)
        if part.kind == "full":
            kept = {"parents": self.config.parents, "seeds": [asdict(one) for one in combinations]}
            write_json(self.run.folder / KEPT, kept)
        return self.combined(part, combinations)

    def combinations(self, part: Part, method: Method) -> list[Combination]:
        """One a seed, learnt from the rows that the part may learn from."""
        known = self.known(part)
        train, true, learnt = self.forward[known], self.data.labels[self.forward_row[known]], self.learnt[known]
        method, trials = method if len(train) else "mean", self.config.trials
        return [learn(method, train, true, learnt, self.task, trials, s) for s in self.config.seeds]

    def combined(self, part: Part, combinations: Sequence[Combination]) -> np.ndarray:
        """(q, seeds[, k]), clipped to the labels that the part learns from."""
        query, y = self.inputs(part), self.data.labels[part.train]
        return np.stack([one(query) for one in combinations], axis=1).clip(y.min(axis=0), y.max(axis=0))

    def compare(self) -> None:
        """Write methods.csv: every method and every parent on the same rows."""
        parts, table = [p for p in self.parts if p.kind != "full"], {}
        ways = {m: [(p, self.combined(p, self.combinations(p, m))) for p in parts] for m in METHODS}
        for j, parent in enumerate(self.config.parents):
            ways[parent] = [(p, self.inputs(p)[:, j, None]) for p in parts]
        for name, made in ways.items():
            frames = [(p, pd.DataFrame(pred.reshape(len(pred), -1), self.data.ids[p.query])) for p, pred in made]
            scores = score(self.run.track, self.data, frames)
            shown = {k: scores[k] for k in ("cv", "forward", "holdout") if k in scores}
            names = ("rows", *(m.name for m in self.task.metrics))
            table[name] = {f"{k}_{m}": v.get(m, np.nan) for k, v in shown.items() for m in names}
            if "forward" in scores:
                every = scores["forward"]["every"]
                table[name] |= {f"parts_{k}": every[k] for k in ("rows", "mean", "se_posts", "se_groups")}
        with replacing(self.run.folder / "methods.csv") as aside:
            pd.DataFrame(table).T.round(4).to_csv(aside, index_label="method")


def run_fusion(script: str, config_class: type, track: str, small: dict | None = None) -> None:
    """Entry point of a second-level experiment: combine the parents' predictions and predict the test.

    Reads the parents' oof.parquet, forward.parquet and test.parquet; writes the experiment's folder, with
    `methods.csv`: every method and parent on the same rows.
    """
    run_experiment(script, config_class, track, Stack, small)
