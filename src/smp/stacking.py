"""The second level: combines the out-of-fold predictions of finished experiments, honestly nested in the same folds."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from smp import tracks
from smp.disk.store import replacing
from smp.learners.medians import local_median
from smp.metrics import Task
from smp.oof import Part, load_months, load_oof, parts_of
from smp.runner import Run, run_experiment, score

METHODS = ("mean", "rank_mean", "blend", "linear", "median")


@dataclass(frozen=True)
class Fusion:
    """What a second-level experiment states."""

    parents: tuple[str, ...]  # finished experiments whose out-of-fold predictions are combined
    method: Literal["mean", "rank_mean", "blend", "linear", "median"] = "blend"  # what the submission is made with
    trials: int = 200  # of the blend's search
    seeds: tuple[int, ...] = (0,)


def combine(
    method: str, train: np.ndarray, y: np.ndarray, query: np.ndarray, task: Task, trials: int, seed: int
) -> np.ndarray:
    """Combine level-1 predictions: learn on train (n, m) with labels y (n,), predict query (q, m) -> (q,).

    mean: plain. rank_mean: mean of ranks within the query, given back the values of the plain mean, so that outliers of
    one model do not move the order. blend: weights on the simplex found by Optuna for the track's own metrics. linear:
    non-negative least squares with an intercept, which may stretch the predictions too. median: the mean, bent to the
    local median that the track's error asks for (smp.learners.medians).
    """
    if method == "mean":
        return query.mean(axis=1)
    if method == "rank_mean":
        ranks = np.column_stack([rankdata(c) for c in query.T]).mean(axis=1)
        return np.sort(query.mean(axis=1))[rankdata(ranks, method="ordinal") - 1]
    if method == "median":
        return local_median(train.mean(axis=1), y, task.weight(y), query.mean(axis=1))
    if method == "linear":
        from sklearn.linear_model import LinearRegression

        weight = task.weight(y) ** 2  # a relative error where the track's is one
        return LinearRegression(positive=True).fit(train, y, sample_weight=weight).predict(query)
    return query @ blend_weights(train, y, task, trials, seed)


def blend_weights(train: np.ndarray, y: np.ndarray, task: Task, trials: int, seed: int) -> np.ndarray:
    """(m,) weights >= 0 of sum 1 that minimise the loss on the columns of train (n, m); starts at equal weights."""
    import optuna

    m = train.shape[1]

    def weights_of(parameters: dict[str, float]) -> np.ndarray:
        raw = np.array([parameters[f"w{j}"] for j in range(m)])
        return raw / raw.sum() if raw.sum() else np.full(m, 1 / m)

    def objective(trial: optuna.Trial) -> float:
        for j in range(m):
            trial.suggest_float(f"w{j}", 0, 1)
        return task.loss(y, train @ weights_of(trial.params))

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed, multivariate=True))
    study.enqueue_trial({f"w{j}": 0.5 for j in range(m)})
    study.optimize(objective, n_trials=trials)
    return weights_of(study.best_params)


def run_fusion(script: str, config_class: type, track: str, small: dict | None = None) -> None:
    """Entry point of a second-level experiment: combine the parents' predictions and predict the test.

    What combines fold k is learnt from the out-of-fold predictions of the other folds, so its cv is not optimistic in
    the weights; the holdout's is learnt from earlier blocks, a month's from the months before it. All are clipped to
    the labels learnt from. Reads the parents' oof.parquet, months.parquet and test.parquet; writes the experiment's
    folder, with `methods.csv`: every method and parent on the same rows.
    """

    def fit_predict_of(run: Run, posts: pd.DataFrame, folds: pd.DataFrame) -> Callable[[Part], np.ndarray]:
        config, y, task = run.config, posts["label"].to_numpy(), tracks.get(track).task
        level1 = pd.concat(load_oof(track, config.parents, folds, posts)).reindex(posts.index).to_numpy()
        later = load_months(track, config.parents) if tracks.get(track).months else pd.DataFrame(columns=["month"])
        month = later["month"].reindex(posts.index).fillna("").to_numpy()
        of_month = later.drop(columns="month").reindex(posts.index).to_numpy()

        def fit_predict(part: Part, method: str = config.method) -> np.ndarray:
            train, known, query = part.train, level1[part.train], level1[part.query]
            if part.month:  # from what the months before it would have been predicted as, and at first from nothing
                train = np.flatnonzero((month != "") & (month < part.name.removeprefix("month")))
                known, query = of_month[train], of_month[part.query]
                method = method if len(train) else "mean"
            columns = [combine(method, known, y[train], query, task, config.trials, s) for s in config.seeds]
            return np.column_stack(columns).clip(y[part.train].min(), y[part.train].max())

        parts = [p for p in parts_of(posts, folds, tracks.get(track).months) if p.name != "full"]
        tables = {m: {p.name: _frame(posts, p, fit_predict(p, m)) for p in parts} for m in METHODS}
        tables |= {
            parent: {p.name: _frame(posts, p, (of_month if p.month else level1)[p.query, j, None]) for p in parts}
            for j, parent in enumerate(config.parents)
        }
        rows = {name: score(track, posts["label"], folds, table) for name, table in tables.items()}
        flat = {n: {f"{k}_{m}": v for k in ("cv", "holdout") for m, v in r[k].items()} for n, r in rows.items()}
        for name in flat if tracks.get(track).months else ():
            flat[name] |= {f"months_{k}": rows[name]["months"][k] for k in ("rows", "mean", "se_posts", "se_groups")}
        with replacing(run.folder / "methods.csv") as aside:
            pd.DataFrame(flat).T.round(4).to_csv(aside, index_label="method")
        return fit_predict

    run_experiment(script, config_class, track, fit_predict_of, small)


def _frame(posts: pd.DataFrame, part: Part, pred: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(pred, index=posts.index[part.query])
