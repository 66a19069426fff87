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
from smp.oof import (
    choosing_parts,
    cross_fit,
    fold_parts,
    holdout_of,
    load_forward,
    load_oof,
    parts_of,
    write_predictions,
)
from smp.scores import score
from smp.tracks.base import Data, Split

SPLIT = Split()


@pytest.fixture
def problem():
    rng = np.random.default_rng(1)
    n = 300
    label = rng.normal(6, 2, n)
    label[rng.choice(n, 60, replace=False)] = np.nan
    time = pd.to_datetime(rng.integers(1_400_000_000, 1_450_000_000, n), unit="s", utc=True)
    items = pd.DataFrame(
        {"time": time, "user_id": pd.Categorical(rng.integers(0, 40, n))},
        index=pd.Index([f"p{i}" for i in rng.permutation(n)], name="post_id"),
    )
    return Data(items, label), rng.normal(size=(n, 4)) + np.nan_to_num(label)[:, None] * 0.1


def ridge(data, X, calls=None):
    y = data.labels

    def fit_predict(part):
        if calls is not None:
            calls.append(part.name)
        return np.column_stack([Ridge(a).fit(X[part.train], y[part.train]).predict(X[part.query]) for a in (1.0, 1.0)])

    return fit_predict


@pytest.mark.parametrize("scheme", ["time", "user", "random"])
def test_oof_and_test_equal_scikit_learn(problem, tmp_path, monkeypatch, scheme):
    data, X = problem
    monkeypatch.setenv("SMP_OUTPUT", str(tmp_path))
    folder = paths.output("image") / "exp900_ridge"
    folds = make_folds(data, SPLIT, scheme)
    predictions = cross_fit(folder, data.ids, parts_of(data, folds, SPLIT), ridge(data, X))
    write_predictions(folder, data, folds, SPLIT, predictions)
    (folder / "metrics.json").write_text("{}")

    at = data.ids.get_indexer(folds.index)
    y = data.labels
    expected = cross_val_predict(Ridge(1.0), X[at], y[at], cv=PredefinedSplit(folds["fold"]))
    made = {part.name: table for part, table in predictions}
    in_memory = pd.concat([made[p.name] for p in fold_parts(list(dict(predictions)))]).reindex(folds.index)
    np.testing.assert_array_equal(in_memory["seed0"], expected)
    oof, test = load_oof("image", ["exp900_ridge"], folds, data)
    np.testing.assert_array_equal(oof["exp900_ridge"], expected)
    rest = ~data.labelled
    np.testing.assert_array_equal(test["exp900_ridge"], Ridge(1.0).fit(X[at], y[at]).predict(X[rest]))
    assert list(test.index) == list(data.ids[rest])

    earlier, later = at[~folds["holdout"]], at[folds["holdout"]]
    holdout = made["holdout"]["seed0"]
    np.testing.assert_allclose(holdout, Ridge(1.0).fit(X[earlier], y[earlier]).predict(X[later]))


def test_only_the_part_that_is_missing_is_fitted_again(problem, tmp_path):
    data, X = problem
    folds, calls = make_folds(data, SPLIT), []
    parts = parts_of(data, folds, SPLIT)
    first = cross_fit(tmp_path, data.ids, parts, ridge(data, X, calls))
    # the last fold is the holdout and the last forward part too: fitted once
    assert calls == ["fold0", "fold1", "fold2", "fold3", "holdout", "forward1", "forward2", "forward3", "full"]
    (tmp_path / "fold3.parquet").unlink()
    again = cross_fit(tmp_path, data.ids, parts, ridge(data, X, calls))
    assert calls[9:] == ["fold3"]
    for (_, one), (_, other) in zip(first, again, strict=True):
        pd.testing.assert_frame_equal(one, other)


def test_a_prediction_that_is_not_finite_is_refused(problem, tmp_path):
    data, _ = problem
    parts = parts_of(data, make_folds(data, SPLIT), SPLIT)
    with pytest.raises(DataError, match="predictions are not finite"):
        cross_fit(tmp_path, data.ids, parts, lambda p: np.full((len(p.query), 1), np.nan))
    assert not list(tmp_path.iterdir())


def finished(problem, tmp_path, monkeypatch):
    data, X = problem
    monkeypatch.setenv("SMP_OUTPUT", str(tmp_path))
    folds, folder = make_folds(data, SPLIT), paths.output("image") / "exp900_ridge"
    made = cross_fit(folder, data.ids, parts_of(data, folds, SPLIT), ridge(data, X))
    write_predictions(folder, data, folds, SPLIT, made)
    return data, folds, folder


def test_unfinished_parents_are_named_with_their_command(problem, tmp_path, monkeypatch):
    data, folds, _ = finished(problem, tmp_path, monkeypatch)
    with pytest.raises(DataError, match=r"not finished; make it with: python exp/exp900_ridge/train\.py"):
        load_oof("image", ["exp900_ridge"], folds, data)


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
    data, folds, folder = finished(problem, tmp_path, monkeypatch)
    (folder / "metrics.json").write_text("{}")
    write_table(folder / "oof.parquet", damage(read_table(folder / "oof.parquet")))
    with pytest.raises(DataError, match=message):
        load_oof("image", ["exp900_ridge"], folds, data)


def test_rows_meet_by_id_not_by_position(problem, tmp_path, monkeypatch):
    data, folds, folder = finished(problem, tmp_path, monkeypatch)
    (folder / "metrics.json").write_text("{}")
    table = read_table(folder / "oof.parquet")
    write_table(folder / "oof.parquet", table.sample(frac=1, random_state=0))
    oof, _ = load_oof("image", ["exp900_ridge"], folds, data)
    pd.testing.assert_series_equal(oof["exp900_ridge"], table["pred"], check_names=False)


def finished_forward(data, X, split, tmp_path, monkeypatch):
    monkeypatch.setenv("SMP_OUTPUT", str(tmp_path))
    folds = make_folds(data, split)
    for name, shift in (("exp900_ridge", 0.0), ("exp901_ridge", 1.0)):
        folder = paths.output("video") / name
        parts = parts_of(data, folds, split)
        made = cross_fit(folder, data.ids, parts, lambda p, s=shift: ridge(data, X)(p) + s)
        write_predictions(folder, data, folds, split, made)
        (folder / "metrics.json").write_text("{}")
    return load_forward("video", ["exp900_ridge", "exp901_ridge"])


def test_months_are_predicted_beside_the_folds_and_read_back_by_id(problem, tmp_path, monkeypatch):
    data, X = problem
    key, later = finished_forward(data, X, Split(forward="months", months=3), tmp_path, monkeypatch)
    assert key.nunique() == 3 and later.index.is_unique
    np.testing.assert_allclose(later["exp901_ridge"], later["exp900_ridge"] + 1)
    for name, rows in later.groupby(key):
        month = data.items["time"].dt.strftime("%Y-%m").to_numpy()
        earlier, own = (np.flatnonzero(data.labelled & m) for m in (month < name, month == name))
        fitted = Ridge(1.0).fit(X[earlier], data.labels[earlier])
        expected = pd.Series(fitted.predict(X[own]), index=data.ids[own])
        np.testing.assert_allclose(rows["exp900_ridge"], expected[rows.index])
    (paths.output("video") / "exp901_ridge" / "forward.parquet").unlink()
    with pytest.raises(DataError, match=r"forward\.parquet: no such predictions; make the experiment again"):
        load_forward("video", ["exp900_ridge", "exp901_ridge"])


def test_every_later_block_is_predicted_from_the_blocks_before_it(problem, tmp_path, monkeypatch):
    data, X = problem
    key, later = finished_forward(data, X, SPLIT, tmp_path, monkeypatch)
    block = make_folds(data, SPLIT)["fold"]
    assert list(key.unique()) == ["1", "2", "3", "4"] and set(later.index) == set(block.index[block > 0])
    for name, rows in later.groupby(key):
        earlier, own = (data.ids.get_indexer(block.index[m]) for m in (block < int(name), block == int(name)))
        fitted = Ridge(1.0).fit(X[earlier], data.labels[earlier])
        expected = pd.Series(fitted.predict(X[own]), index=data.ids[own])
        np.testing.assert_allclose(rows["exp900_ridge"], expected[rows.index])


def test_what_is_too_young_to_have_its_label_is_not_learnt_from(problem):
    data, _ = problem
    purge, time = pd.Timedelta(days=30), data.items["time"]
    split = Split(purge=purge)
    for part, plain in zip(
        parts_of(data, make_folds(data, SPLIT), split), parts_of(data, make_folds(data, SPLIT), SPLIT)
    ):
        start = time.iloc[part.query].min()
        left_out = time.iloc[np.setdiff1d(plain.train, part.train)]
        if part.kind == "full":
            assert left_out.empty
            continue
        assert (left_out < start).all() and (left_out > start - purge).all() and np.array_equal(part.query, plain.query)
        assert not time.iloc[part.train].between(start - purge, start, inclusive="neither").any()


def test_labels_that_take_longer_than_the_data_are_all_learnt_from(problem, caplog):
    data, _ = problem
    folds, time = make_folds(data, SPLIT), data.items["time"]
    held = parts_of(data, folds, SPLIT)[4]
    purge = time.iloc[held.query].min() - time.iloc[held.train].nsmallest(5).max()  # five are known by then
    parts = parts_of(data, folds, Split(purge=purge))
    for part, plain in zip(parts, parts_of(data, folds, SPLIT)):
        known = (time.iloc[plain.train] + purge <= time.iloc[plain.query].min()).sum()
        if part.kind in ("holdout", "forward"):
            np.testing.assert_array_equal(part.train, plain.train)
            assert part.unknown == len(plain.train) - known and known == (5 if part.kind == "holdout" else 0)
            assert f"{part.name}: only {known} of {len(plain.train)} labels" in caplog.text
        else:
            assert part.unknown == 0
    made = [(p, pd.DataFrame({"seed0": data.labels[p.query]}, data.ids[p.query])) for p in parts]
    early = score("music", data, made)["not_yet_known"]
    assert early == {
        p.name: len(p.train) - 5 * (p.kind == "holdout") for p in parts if p.kind in ("holdout", "forward")
    }
    with pytest.raises(DataError, match=f"no label of the {len(held.train)} items before p"):
        parts_of(data, folds, Split(purge=purge + pd.Timedelta(days=200)))


@pytest.mark.parametrize("scheme", ["time", "user", "random"])
def test_no_copy_of_what_is_asked_is_learnt_from(problem, scheme):
    data, _ = problem
    song = np.random.default_rng(0).integers(0, 90, len(data))
    data.items["song"] = pd.Categorical(song.astype(str))
    folds = make_folds(data, SPLIT, scheme)
    for part, plain in zip(parts_of(data, folds, Split(copies="song")), parts_of(data, folds, SPLIT)):
        asked = set() if part.kind == "full" else set(song[part.query])
        assert list(part.train) == [i for i in plain.train if song[i] not in asked]
        assert part.kind == "full" or len(part.train) < len(plain.train)


@pytest.mark.parametrize(("days", "learnt"), [(60, 21), (61, 20), (62, 80)])
def test_twenty_known_labels_are_enough_to_learn_from(days, learnt):
    time = pd.date_range("2015-01-01", periods=100, tz="UTC")  # a post a day, the holdout from day 80 on
    items = pd.DataFrame({"time": time, "user_id": pd.Categorical(["u"] * 100)}, index=time.strftime("p%j"))
    data = Data(items, np.arange(100.0))
    part = holdout_of(parts_of(data, make_folds(data, SPLIT), Split(purge=pd.Timedelta(days=days))))
    np.testing.assert_array_equal(part.train, np.arange(learnt))


def test_without_a_part_before_the_holdout_nothing_is_chosen(problem):
    data, _ = problem
    parts = [p for p in parts_of(data, make_folds(data, SPLIT), SPLIT) if p.kind != "forward"]
    with pytest.raises(DataError, match="no forward part lies before the holdout"):
        choosing_parts(parts)


@pytest.mark.parametrize(
    "damage", [lambda t: t.iloc[1:], lambda t: t.assign(part=t["part"].to_numpy()[::-1])], ids=["posts", "parts"]
)
def test_forward_predictions_of_other_posts_or_parts_are_refused(problem, tmp_path, monkeypatch, damage):
    finished_forward(*problem, SPLIT, tmp_path, monkeypatch)
    path = paths.output("video") / "exp901_ridge" / "forward.parquet"
    write_table(path, damage(read_table(path)))
    with pytest.raises(DataError, match=r"exp901_ridge/forward\.parquet: other posts or parts than exp900_ridge's"):
        load_forward("video", ["exp900_ridge", "exp901_ridge"])


def test_nothing_is_chosen_on_a_row_of_the_holdout(problem):
    data, _ = problem
    for split in (SPLIT, Split(forward="months", months=8)):
        parts = parts_of(data, make_folds(data, split), split)
        held = holdout_of(parts).query
        chosen = choosing_parts(parts)
        assert chosen and not any(np.isin(held, [*p.train, *p.query]).any() for p in chosen)


def test_several_labels_travel_side_by_side(problem, tmp_path, monkeypatch):
    data, X = problem
    both = Data(data.items, np.column_stack([data.labels, 2 * data.labels]))
    monkeypatch.setenv("SMP_OUTPUT", str(tmp_path))
    folds, folder = make_folds(both, SPLIT), paths.output("image") / "exp900_two"

    def fit_predict(part):
        fitted = Ridge(1.0).fit(X[part.train], both.labels[part.train])
        return np.stack([fitted.predict(X[part.query])] * 2, axis=1)  # (q, seeds, k)

    made = cross_fit(folder, both.ids, parts_of(both, folds, SPLIT), fit_predict)
    write_predictions(folder, both, folds, SPLIT, made)
    (folder / "metrics.json").write_text("{}")
    oof, test = load_oof("image", ["exp900_two"], folds, both)
    assert oof.shape == (240, 2) and test.shape == (60, 2)
    np.testing.assert_allclose(oof["exp900_two", "pred1"], 2 * oof["exp900_two", "pred0"])


def test_a_rolling_split_predicts_every_block_but_the_first_from_labels_known_before_it(problem, tmp_path, monkeypatch):
    data, X = problem
    monkeypatch.setenv("SMP_OUTPUT", str(tmp_path))
    time = data.items["time"]
    data.items["known"] = time + pd.to_timedelta(np.random.default_rng(0).integers(0, 40, len(time)), unit="D")
    split = Split(blocks=4, shares=(0.4, 0.2, 0.2, 0.2), rolling=True, purge="known")
    folds = make_folds(data, split)
    assert folds["fold"].value_counts().to_dict() == {-1: 96, 1: 48, 2: 48, 3: 48}
    parts = parts_of(data, folds, split)
    assert [part.name for part in parts] == ["holdout", "forward1", "forward2", "full"]
    for part in parts[:-1]:
        earlier = data.labelled & (data.items["known"] <= time.iloc[part.query].min()).to_numpy()
        assert np.array_equal(np.sort(part.train), np.flatnonzero(earlier))
    folder = paths.output("image") / "exp901_rolling"
    write_predictions(folder, data, folds, split, cross_fit(folder, data.ids, parts, ridge(data, X)))
    (folder / "metrics.json").write_text("{}")
    oof, test = load_oof("image", [folder.name], folds, data)
    assert list(oof.index) == list(folds.index[folds["fold"] > 0]) and len(test) == 60
    assert list(load_forward("image", [folder.name])[0].unique()) == ["1", "2", "3"]


def test_labels_without_a_test_split_are_stored_too(problem, tmp_path, monkeypatch):
    data = problem[0]
    monkeypatch.setenv("SMP_OUTPUT", str(tmp_path))
    data = Data(data.items[data.labelled], data.labels[data.labelled])
    folds, rows = make_folds(data, SPLIT), np.arange(len(data))
    folder = paths.output("image") / "exp902_all"

    def mean(part):
        return np.full((len(part.query), 2), data.labels[part.train].mean())

    write_predictions(folder, data, folds, SPLIT, cross_fit(folder, data.ids, parts_of(data, folds, SPLIT), mean))
    assert len(read_table(folder / "oof.parquet")) == len(rows) and not len(read_table(folder / "test.parquet"))
