"""The K-fold loop: equal to scikit-learn's, in memory and as loaded from disk; resumes; refuses what does not fit."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge
from sklearn.model_selection import PredefinedSplit, cross_val_predict

from smp import paths
from smp.disk.store import read_table, write_table
from smp.errors import DataError
from smp.folds import make_folds
from smp.oof import cross_fit, load_months, load_oof, parts_of, write_predictions


@pytest.fixture
def problem():
    rng = np.random.default_rng(1)
    n = 300
    label = rng.normal(6, 2, n)
    label[rng.choice(n, 60, replace=False)] = np.nan
    time = pd.to_datetime(rng.integers(1_400_000_000, 1_450_000_000, n), unit="s", utc=True)
    posts = pd.DataFrame(
        {"time": time, "user_id": pd.Categorical(rng.integers(0, 40, n)), "label": label},
        index=pd.Index([f"p{i}" for i in rng.permutation(n)], name="post_id"),
    )
    return posts, rng.normal(size=(n, 4)) + np.nan_to_num(label)[:, None] * 0.1


def ridge(posts, X, calls=None):
    y = posts["label"].to_numpy()

    def fit_predict(part):
        if calls is not None:
            calls.append(part.name)
        return np.column_stack([Ridge(a).fit(X[part.train], y[part.train]).predict(X[part.query]) for a in (1.0, 1.0)])

    return fit_predict


@pytest.mark.parametrize("scheme", ["time", "user", "random"])
def test_oof_and_test_equal_scikit_learn(problem, tmp_path, monkeypatch, scheme):
    posts, X = problem
    monkeypatch.setenv("SMP_OUTPUT", str(tmp_path))
    folder = paths.output("image") / "exp900_ridge"
    folds = make_folds(posts, scheme)
    predictions = cross_fit(folder, posts.index, parts_of(posts, folds), ridge(posts, X))
    write_predictions(folder, folds, predictions)
    (folder / "metrics.json").write_text("{}")

    at = posts.index.get_indexer(folds.index)
    y = posts["label"].to_numpy()
    expected = cross_val_predict(Ridge(1.0), X[at], y[at], cv=PredefinedSplit(folds["fold"]))
    in_memory = pd.concat([p for k, p in predictions.items() if k.startswith("fold")]).reindex(folds.index)
    np.testing.assert_array_equal(in_memory["seed0"], expected)
    oof, test = load_oof("image", ["exp900_ridge"], folds, posts)
    np.testing.assert_array_equal(oof["exp900_ridge"], expected)
    rest = posts["label"].isna().to_numpy()
    np.testing.assert_array_equal(test["exp900_ridge"], Ridge(1.0).fit(X[at], y[at]).predict(X[rest]))
    assert list(test.index) == list(posts.index[rest])

    earlier, later = at[~folds["holdout"]], at[folds["holdout"]]
    holdout = predictions["fold4" if scheme == "time" else "holdout"]["seed0"]
    np.testing.assert_allclose(holdout, Ridge(1.0).fit(X[earlier], y[earlier]).predict(X[later]))


def test_only_the_part_that_is_missing_is_fitted_again(problem, tmp_path):
    posts, X = problem
    folds, calls = make_folds(posts), []
    parts = parts_of(posts, folds)
    first = cross_fit(tmp_path, posts.index, parts, ridge(posts, X, calls))
    assert calls == ["fold0", "fold1", "fold2", "fold3", "fold4", "full"]
    (tmp_path / "fold3.parquet").unlink()
    again = cross_fit(tmp_path, posts.index, parts, ridge(posts, X, calls))
    assert calls[6:] == ["fold3"]
    for name in first:
        pd.testing.assert_frame_equal(first[name], again[name])


def test_a_prediction_that_is_not_finite_is_refused(problem, tmp_path):
    posts, _ = problem
    with pytest.raises(DataError, match="predictions are not finite"):
        cross_fit(
            tmp_path, posts.index, parts_of(posts, make_folds(posts)), lambda p: np.full((len(p.query), 1), np.nan)
        )
    assert not list(tmp_path.iterdir())


def finished(problem, tmp_path, monkeypatch):
    posts, X = problem
    monkeypatch.setenv("SMP_OUTPUT", str(tmp_path))
    folds, folder = make_folds(posts), paths.output("image") / "exp900_ridge"
    write_predictions(folder, folds, cross_fit(folder, posts.index, parts_of(posts, folds), ridge(posts, X)))
    return posts, folds, folder


def test_unfinished_parents_are_named_with_their_command(problem, tmp_path, monkeypatch):
    posts, folds, _ = finished(problem, tmp_path, monkeypatch)
    with pytest.raises(DataError, match=r"not finished; make it with: python exp/exp900_ridge/train\.py"):
        load_oof("image", ["exp900_ridge"], folds, posts)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda t: t.iloc[1:], "lacks posts"),
        (lambda t: pd.concat([t, t.iloc[:1]]), "is there twice"),
        (lambda t: t.assign(pred=np.inf), "not finite"),
        (lambda t: t.assign(fold=t["fold"].to_numpy()[::-1]), "other folds"),
    ],
)
def test_a_damaged_oof_table_is_refused(problem, tmp_path, monkeypatch, damage, message):
    posts, folds, folder = finished(problem, tmp_path, monkeypatch)
    (folder / "metrics.json").write_text("{}")
    write_table(folder / "oof.parquet", damage(read_table(folder / "oof.parquet")))
    with pytest.raises(DataError, match=message):
        load_oof("image", ["exp900_ridge"], folds, posts)


def test_rows_meet_by_id_not_by_position(problem, tmp_path, monkeypatch):
    posts, folds, folder = finished(problem, tmp_path, monkeypatch)
    (folder / "metrics.json").write_text("{}")
    table = read_table(folder / "oof.parquet")
    write_table(folder / "oof.parquet", table.sample(frac=1, random_state=0))
    oof, _ = load_oof("image", ["exp900_ridge"], folds, posts)
    pd.testing.assert_series_equal(oof["exp900_ridge"], table["pred"], check_names=False)


def test_months_are_predicted_beside_the_folds_and_read_back_by_id(problem, tmp_path, monkeypatch):
    posts, X = problem
    monkeypatch.setenv("SMP_OUTPUT", str(tmp_path))
    folds, y = make_folds(posts), posts["label"].to_numpy()
    for name, shift in (("exp900_ridge", 0.0), ("exp901_ridge", 1.0)):
        folder = paths.output("video") / name
        parts = parts_of(posts, folds, 3)
        made = cross_fit(folder, posts.index, parts, lambda p, s=shift: ridge(posts, X)(p) + s)
        write_predictions(folder, folds, made)
        (folder / "metrics.json").write_text("{}")
    later = load_months("video", ["exp900_ridge", "exp901_ridge"])
    assert later["month"].nunique() == 3 and later.index.is_unique
    np.testing.assert_allclose(later["exp901_ridge"], later["exp900_ridge"] + 1)
    for name, rows in later.groupby("month"):
        month = posts["time"].dt.strftime("%Y-%m").to_numpy()
        earlier, own = (np.flatnonzero(np.isfinite(y) & m) for m in (month < name, month == name))
        expected = pd.Series(Ridge(1.0).fit(X[earlier], y[earlier]).predict(X[own]), index=posts.index[own])
        np.testing.assert_allclose(rows["exp900_ridge"], expected[rows.index])
    (paths.output("video") / "exp901_ridge" / "months.parquet").unlink()
    with pytest.raises(DataError, match=r"months\.parquet: no such predictions; make the experiment again"):
        load_months("video", ["exp900_ridge", "exp901_ridge"])
