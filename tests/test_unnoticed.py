"""Faults that change no message and no shape, and that only a look at the values finds: each by the rule it breaks."""

import json
import os
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

from smp import features, oof, paths, runner, scores, stacking, submission, tracks
from smp.disk import hashes, store
from smp.disk.store import read_table, write_embeddings, write_table
from smp.errors import DataError
from smp.folds import make_folds
from smp.learners.medians import median_bend
from smp.matrix import FeatureMatrix
from smp.metrics import MAE, SRC, mae, mape, src
from smp.oof import Part, choosing_parts, fold_parts, parts_of, write_predictions
from smp.runner import Line, Mean, Seeded, Tabular, out_of_fold, part_matrix
from smp.selection import Selection
from smp.stacking import Stack, learn
from smp.tracks.base import Data, Split

MEAN: dict[str, pd.Series] = {}  # of the seeds, for some rows of each file of the experiment
IMAGE, VIDEO = tracks.get("image").task, tracks.get("video").task


@pytest.fixture
def data():
    """200 posts over ten months, the last forty without a label."""
    rng = np.random.default_rng(0)
    time = pd.to_datetime(np.linspace(1.6e9, 1.6e9 + 300 * 86400, 200), unit="s", utc=True)
    ids = pd.Index([f"p{i}" for i in rng.permutation(200)], name="post_id")
    users = pd.Categorical([f"u{i}" for i in rng.integers(0, 50, 200)])
    items = pd.DataFrame({"time": time, "user_id": users, "subcategory": users}, index=ids)
    return Data(items, np.where(np.arange(200) < 160, rng.uniform(2, 12, 200), np.nan))


class Memory:
    """A learner that predicts 1 for the rows it learnt from and 0 for all others; a row is known by its first value."""

    def fit(self, X, y, weight, seed):
        assert len(X) == len(y) and (weight is None or len(weight) == len(y))
        return SimpleNamespace(predict=lambda query: np.isin(query.dense()[:, 0], X.dense()[:, 0]).astype(float))


def matrix(n: int, name: str = "row") -> FeatureMatrix:
    return FeatureMatrix.from_table(pd.DataFrame({name: np.arange(n, dtype=np.float32)}))


# --- what a prediction may have seen ---


def test_inner_folds_never_predict_a_row_they_learnt():
    assert not out_of_fold(Memory(), matrix(100), np.arange(100.0), np.ones(100), 0, 5).any()


@pytest.mark.parametrize("split", [Split(), Split(forward="months", months=6)], ids=["blocks", "months"])
def test_a_search_judges_a_learner_on_later_rows_before_the_holdout(data, split, monkeypatch):
    parts, asked = parts_of(data, make_folds(data, split), split), []
    model = Tabular.__new__(Tabular)
    model.parts, model.data, model.task, model.learner = parts, data, VIDEO, "the learner"
    model.config, model.run = (
        SimpleNamespace(seeds=(0,)),
        SimpleNamespace(settings={"config": {}}, track="video", name="exp950", tune=3),
    )
    model.fit = lambda learner, part, seed: asked.append(part) or np.full(len(part.query), 5.0)
    monkeypatch.setattr(runner, "fingerprint", lambda track: "f")
    monkeypatch.setattr(runner, "search", lambda file, name, learner, loss_of, trials: loss_of(learner))
    found = model.tuned()
    held, time = oof.holdout_of(parts).query, data.items["time"]
    assert asked and not any(np.isin(held, [*p.train, *p.query]).any() for p in asked)
    assert all(time.iloc[p.train].max() < time.iloc[p.query].min() for p in asked)
    assert found == pytest.approx(np.mean([mape(data.labels[p.query], 5.0) for p in choosing_parts(parts)]))


def test_a_study_is_of_one_question_and_of_any_learner(data, monkeypatch):
    """Trials of another question would be taken for its own."""
    monkeypatch.setattr(runner, "search", lambda file, name, learner, loss_of, trials: name)
    parts = parts_of(data, make_folds(data, Split()), Split())

    def study(fingerprint="f", scheme="time", **config):
        monkeypatch.setattr(runner, "fingerprint", lambda track: fingerprint)
        settings = {"config": {"learner": "trees", "seeds": [0]} | config, "scheme": scheme}
        run = SimpleNamespace(settings=settings, track="video", name="exp950", tune=3)
        return Tabular.tuned(SimpleNamespace(run=run, learner=None, parts=parts))

    assert study() == study(learner="a network")
    assert len({study(), study(seeds=[1]), study(label_blocks=3), study(scheme="user"), study("other posts")}) == 5


def plain_run(tmp_path, **config):
    return SimpleNamespace(track="image", folder=tmp_path, config=SimpleNamespace(**config))


def test_the_plainest_models_are_the_mean_and_the_line_of_their_training_rows(data, tmp_path, monkeypatch):
    x = np.random.default_rng(3).normal(size=(200, 2)).astype(np.float32)
    monkeypatch.setattr(features, "load", lambda *names: FeatureMatrix.from_table(pd.DataFrame(x, columns=["a", "b"])))
    run, folds = plain_run(tmp_path, features=("x",)), make_folds(data, Split())
    mean, line = (kind(run, data, folds) for kind in (Mean, Line))
    for part in parts_of(data, folds, Split()):
        np.testing.assert_allclose(mean.predict(part), np.full((len(part.query), 1), data.labels[part.train].mean()))
        fitted = LinearRegression().fit(x[part.train, :1], data.labels[part.train])
        np.testing.assert_allclose(line.predict(part)[:, 0], fitted.predict(x[part.query, :1]), rtol=1e-5)


def test_a_model_is_fitted_once_a_seed_and_kept_where_it_predicts_the_test_or_the_holdout(data, tmp_path):
    fits = []

    class Noted(Seeded):
        def fit(self, part, given, seed):
            fits.append((part.name, seed))
            fitted = SimpleNamespace(save=lambda folder: (folder / part.kind).mkdir(parents=True))
            return fitted, part.query + 0.5 * seed

    model = Noted(plain_run(tmp_path, seeds=(3, 4)), data, make_folds(data, Split()))
    for part in model.parts:
        made = model.predict(part)
        np.testing.assert_array_equal(made, part.query[:, None] + [[1.5, 2.0]])
        assert fits == [(part.name, 3), (part.name, 4)]
        fits.clear()
    kept = {str(folder.relative_to(tmp_path)) for folder in tmp_path.glob("*/*/*")}
    places = (("models", "full"), ("holdout_models", "holdout"))
    assert kept == {f"{folder}/seed{seed}/{kind}" for folder, kind in places for seed in (3, 4)}
    shutil.rmtree(tmp_path / "models")
    none = Part("full", "", np.arange(10), np.arange(0))
    assert model.predict(none).shape == (0, 2) and fits == [("full", 3)], "nothing to average"


@pytest.mark.parametrize("split", [Split(), Split(forward="months", months=6)], ids=["blocks", "months"])
def test_label_features_of_every_part_are_made_from_its_training_rows_and_see_the_query_as_later(
    data, split, monkeypatch
):
    given = {}

    def from_labels(track, names, data, y, block, seed):
        given["y"], given["block"] = y, block
        return matrix(len(data), "made")

    monkeypatch.setattr(features, "from_labels", from_labels)
    for part in parts_of(data, make_folds(data, split), split):
        part_matrix("video", matrix(200), ("user_labels",), data, part, 0, 5)
        shown = np.flatnonzero(np.isfinite(given["y"]))
        np.testing.assert_array_equal(shown, np.sort(part.train), part.name)
        np.testing.assert_array_equal(given["y"][part.train], data.labels[part.train])
        if part.kind != "fold":
            assert (given["block"][part.query] == 5).all() and (given["block"][part.train] < 5).all(), part.name


# --- the second level ---


@pytest.fixture
def level1():
    rng = np.random.default_rng(0)
    y = rng.uniform(2, 12, 300)
    return y[:, None] * [1, 1, -1] + rng.normal(0, [0.5, 2.0, 1.0], (300, 3)), y  # the last is wrong way round


ONE = np.ones(300)  # all rows in one forward part


def test_linear_weighs_each_label_as_a_relative_error_does(level1):
    train, y = level1
    expected = LinearRegression(positive=True).fit(train, y, sample_weight=1 / y**2).predict(train)
    np.testing.assert_allclose(learn("linear", train, y, ONE, VIDEO, 0, 0)(train), expected)
    plain = LinearRegression(positive=True).fit(train, y).predict(train)
    np.testing.assert_allclose(learn("linear", train, y, ONE, IMAGE, 0, 0)(train), plain)


def test_median_weighs_each_label_as_the_track_does(level1):
    train, y = level1
    expected = median_bend(train.mean(axis=1), y, 1 / y)(train.mean(axis=1))
    np.testing.assert_array_equal(learn("median", train, y, ONE, VIDEO, 0, 0)(train), expected)
    assert not np.allclose(expected, median_bend(train.mean(axis=1), y, np.ones(300))(train.mean(axis=1)))


@pytest.mark.parametrize("method", stacking.METHODS)
def test_a_combination_is_learnt_before_its_part_and_clipped_to_what_the_part_learns_from(data, method, monkeypatch):
    parts, seen = parts_of(data, make_folds(data, Split()), Split()), []
    stack, labelled = Stack.__new__(Stack), np.flatnonzero(data.labelled)
    stack.data, stack.task, stack.holdout = data, IMAGE, oof.holdout_of(parts)
    stack.config, stack.track = SimpleNamespace(trials=2, seeds=(0,), method=method), tracks.get("image")
    stack.forward_row, stack.forward = labelled[40:], np.column_stack([data.labels[40:160]] * 2)
    stack.learnt = np.ones(120)
    stack.inputs = lambda part: np.linspace([-50.0, -40.0], [50.0, 60.0], len(part.query))
    plain = stacking.learn
    monkeypatch.setattr(stacking, "learn", lambda m, train, y, *more: seen.append(y) or plain(m, train, y, *more))
    for part in parts:
        seen.clear()
        made, own = stack.combined(part, stack.combinations(part, method)), data.labels[part.train]
        assert made.min() == own.min() and made.max() == own.max(), part.name
        known = stack.holdout.train if part.kind == "fold" else part.train
        np.testing.assert_array_equal(seen[0], data.labels[np.intersect1d(stack.forward_row, known)])


# --- values ---


def test_the_loss_is_what_the_challenge_ranks_by(level1):
    pred, y = level1
    expected = mae(y, pred[:, 1]) / mae(y, np.full(300, np.median(y))) - src(y, pred[:, 1])
    assert IMAGE.loss(y, pred[:, 1]) == pytest.approx(expected)
    assert VIDEO.loss(y, pred[:, 1]) == mape(y, pred[:, 1])


def test_a_share_of_the_best_is_below_one_for_what_is_worse():
    assert SRC.share(0.4, 0.8) == 0.5 and MAE.share(2.0, 1.0) == 0.5
    assert (SRC.sign, MAE.sign) == (1, -1)


def test_a_blend_is_judged_in_each_forward_part_and_most_where_most_was_learnt(level1):
    train, y = level1
    learnt = np.repeat([10, 30, 60], 100)
    good, poor = train[:, 0], train[:, 1]
    turns = np.column_stack([np.where(learnt == 60, good, poor), np.where(learnt == 60, poor, good)])
    assert stacking.blend_weights(turns, y, learnt, IMAGE, 40, 0)[0] > 0.5
    assert stacking.blend_weights(turns, y, learnt[::-1], IMAGE, 40, 0)[0] < 0.5


def test_the_share_of_the_ceiling_is_the_worse_metrics_of_the_holdout(monkeypatch):
    monkeypatch.setattr(
        scores, "ceiling", lambda track: {"cv": {"src": 0.9, "mae": 0.1}, "holdout": {"src": 0.8, "mae": 1.0}}
    )
    row = {"experiment": "e", "track": "image", "data": "d", "profile": "small", "scheme": "time"}
    row |= {"seconds": 1, "peak_memory_gb": 1, "cv": {"rows": 9, "src": 0.7, "mae": 1.1}}
    made = scores._row(row | {"holdout": {"rows": 5, "src": 0.4, "mae": 1.25}})
    assert made["share_of_ceiling"] == 0.5 and made["holdout_rows"] == 5 and made["cv_src"] == 0.7
    assert scores._row(row | {"holdout": {"rows": 5, "src": 0.8, "mae": 4.0}})["share_of_ceiling"] == 0.25


def test_forward_rows_before_the_holdout_are_counted_apart_and_may_be_none(data):
    for months, before in ((1, 0), (4, None)):
        split = Split(forward="months", months=months)
        folds = make_folds(data, split)
        parts = parts_of(data, folds, split)
        made = [(p, pd.DataFrame({"seed0": np.full(len(p.query), 5.0)}, data.ids[p.query])) for p in parts]
        found = scores.score("video", data, made)["forward"]
        rows = np.concatenate([p.query for p in parts if p.kind == "forward"])
        early = rows[~np.isin(data.ids[rows], folds.index[folds["holdout"]])]
        assert found["rows"] == len(early) and (before is None) == (len(early) > 0)
        assert found.get("mape") == (pytest.approx(mape(data.labels[early], 5.0)) if len(early) else None)
        assert found["every"]["rows"] == len(rows)


# --- files: by id, whole, finite ---


@pytest.fixture
def experiment(data, tmp_path, monkeypatch):
    """A finished experiment of the image track, its predictions made up; returns data, folds and folder."""
    monkeypatch.setenv("SMP_OUTPUT", str(tmp_path))
    monkeypatch.setattr(paths, "is_demo", lambda track: False)
    folds, folder = make_folds(data, Split()), tmp_path / "exp900_made"
    rng, made = np.random.default_rng(1), []
    for part in parts_of(data, folds, Split()):
        seeds = rng.uniform(2, 9, (len(part.query), 3))
        made.append((part, pd.DataFrame(seeds, data.ids[part.query], ["seed0", "seed1", "seed2"])))
    for kind, file in (("full", "test"), ("fold", "oof"), ("forward", "forward")):
        monkeypatch.setitem(MEAN, file, next(table.mean(axis=1) for part, table in made if part.kind == kind))
    write_predictions(folder, data, folds, Split(), made)
    (folder / "metrics.json").write_text("{}")
    return data, folds, folder


def test_what_is_written_is_the_mean_of_the_seeds(experiment):
    for name, mean in MEAN.items():
        written = read_table(experiment[2] / f"{name}.parquet")["pred"]
        np.testing.assert_allclose(written[mean.index], mean)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_prediction_that_is_not_finite_is_refused_in_every_file(experiment, value):
    data, folds, folder = experiment
    for name, read in {
        "test": lambda: oof.load_oof("image", ["exp900_made"], folds, data),
        "forward": lambda: oof.load_forward("image", ["exp900_made"]),
    }.items():
        table = read_table(folder / f"{name}.parquet")
        read()
        damaged = table.copy()
        damaged.iloc[3, damaged.columns.get_loc("pred")] = value
        write_table(folder / f"{name}.parquet", damaged)
        with pytest.raises(DataError, match="finite"):
            read()
        write_table(folder / f"{name}.parquet", table)


def test_the_order_of_a_file_says_nothing(experiment):
    data, folds, folder = experiment
    before = oof.load_oof("image", ["exp900_made"], folds, data)
    for name in ("oof", "test"):
        table = read_table(folder / f"{name}.parquet")
        write_table(folder / f"{name}.parquet", table.sample(frac=1, random_state=0))
    for one, other in zip(before, oof.load_oof("image", ["exp900_made"], folds, data), strict=True):
        pd.testing.assert_frame_equal(one, other)


def test_losses_select_posts_by_id(data, tmp_path, monkeypatch):
    losses = pd.DataFrame({"loss": np.random.default_rng(0).random(160)}, index=data.ids[:160])
    monkeypatch.setattr(Selection, "file", lambda self, track: tmp_path / "losses.parquet")
    kept = []
    for table in (losses, losses.sample(frac=1, random_state=1)):
        write_table(tmp_path / "losses.parquet", table)
        kept.append(Selection(0.5, per_class=False).rows("image", data.items, np.arange(100)))
    np.testing.assert_array_equal(*kept)
    np.testing.assert_array_equal(kept[0], np.sort(np.argsort(losses["loss"][:100].to_numpy())[:50]))
    of_class = data.items["subcategory"].astype(str)
    rows = Selection(0.5).rows("image", data.items, np.arange(160))
    there, share = of_class[:160].value_counts(), of_class.iloc[rows].value_counts()
    assert (share == np.maximum(np.rint(there / 2), 1)[share.index]).all() and len(share) == len(there)


def test_stored_embeddings_meet_the_posts_by_id(data, tmp_path, monkeypatch):
    monkeypatch.setenv("SMP_OUTPUT", str(tmp_path))
    values, order = np.arange(200, dtype=np.float16)[:, None], np.random.default_rng(2).permutation(200)
    write_embeddings(paths.features("image"), "clip_image", data.ids[order], values[order])
    np.testing.assert_array_equal(features.load("image", ["clip_image"], data).dense()[:, 0], values[:, 0])
    for kept, told in (
        (order[2:], rf"no row for 2 posts, the first is {data.ids[min(order[:2])]};"),
        ([3, *order], "twice"),
    ):
        write_embeddings(paths.features("image"), "clip_image", data.ids[kept], values[kept])
        with pytest.raises(DataError, match=told):
            features.load("image", ["clip_image"], data)


@pytest.fixture
def broken_rename(monkeypatch):
    """A machine that stops at every rename of a finished file into its place."""

    def stop(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(store.os, "replace", stop)


def test_no_file_has_its_name_before_it_is_whole(experiment, tmp_path, monkeypatch, request):
    data, folds, folder = experiment
    (folder / "config.json").write_text('{"features": {}, "config": {}}')
    monkeypatch.setenv("SMP_SUBMISSIONS", str(tmp_path / "submissions"))
    monkeypatch.setattr(submission, "load_data", lambda track: data)
    request.getfixturevalue("broken_rename")
    from smp.encoders.shards import into_store

    def compute(batches):
        for rows in batches:
            yield {"a": np.ones((len(rows), 2), np.float32)}

    for name, act in {
        "submission": lambda: submission.write("exp900_made", "image"),
        "shards": lambda: into_store(tmp_path / "s", ["a"], data.ids, compute, key="k", batch_size=8, shard_size=64),
        "table": lambda: write_table(tmp_path / "new.parquet", folds),
        "embeddings": lambda: write_embeddings(tmp_path / "new", "e", data.ids, np.ones((200, 2))),
        "scores": lambda: store.write_json(tmp_path / "new.json", {}),
    }.items():
        before = {p for p in tmp_path.rglob("*") if p.is_file()}
        with pytest.raises(KeyboardInterrupt):
            act()
        assert {p for p in tmp_path.rglob("*") if p.is_file()} == before, name


def test_a_submission_in_json_is_whole_too(experiment, tmp_path, monkeypatch):
    data, _, folder = experiment
    (folder / "config.json").write_text('{"features": {}, "config": {}}')
    monkeypatch.setenv("SMP_SUBMISSIONS", str(tmp_path / "submissions"))
    monkeypatch.setattr(submission, "load_data", lambda track: data)
    plain = store.os.replace

    def stop(aside, path):
        if path.suffix == ".json":
            raise KeyboardInterrupt
        plain(aside, path)

    monkeypatch.setattr(store.os, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        submission.write("exp900_made", "image")
    assert [p.name for p in (tmp_path / "submissions").iterdir()] == ["image_exp900_made.csv"]


# --- keys and declarations ---


def test_a_key_changes_with_the_data_the_code_and_what_is_read(monkeypatch, tmp_path):
    monkeypatch.setattr(features, "fingerprint", lambda track: "data1")
    beside = tmp_path / "beside"
    beside.write_text("1")
    families = {
        "a": replace(tracks.get("image").families["post_stats"], inputs=lambda: [beside]),
        "b": replace(tracks.get("image").families["similarity"], reads=("a",)),
        "c": replace(tracks.get("image").families["clusters"], reads=("b",)),
    }
    monkeypatch.setattr(features, "_families", lambda track: families)
    keys = [{name: features.key("image", name) for name in families}]
    beside.write_text("12")
    keys.append({name: features.key("image", name) for name in families})
    monkeypatch.setattr(features, "fingerprint", lambda track: "data2")
    keys.append({name: features.key("image", name) for name in families})
    monkeypatch.setattr(features, "code_hash", lambda module: "other code")
    keys.append({name: features.key("image", name) for name in families})
    for name in families:
        assert len({k[name] for k in keys}) == 4, name


def test_a_key_of_large_files_goes_with_what_the_system_says_of_them(tmp_path):
    folder, moved = tmp_path / "a", tmp_path / "b"
    folder.mkdir()
    names = ("x.jpg", "y.jpg")
    for name in names:
        (folder / name).write_text(name)

    def key(where):
        return hashes.stat_key(where / name for name in names)

    first, of_folder = key(folder), hashes.stat_key([folder])
    assert key(folder) == first and hashes.stat_key([folder / "y.jpg", folder / "x.jpg"]) != first
    os.utime(folder, (1e9, 1e9))
    assert hashes.stat_key([folder]) != of_folder
    folder.rename(moved)
    assert key(moved) == first
    shutil.copytree(moved, folder, copy_function=shutil.copy2)
    assert key(folder) != first, "a copy may have been changed since"
    time = (moved / "y.jpg").stat().st_mtime_ns
    (moved / "y.jpg").write_text("longer than before")
    os.utime(moved / "y.jpg", ns=(time, time))
    assert key(moved) != first


def test_the_hash_of_code_covers_what_a_module_imports_at_any_depth():
    files = hashes._imported("smp.tracks.image.read", set())
    ends = {"image/read.py", "tracks/official.py", "disk/pictures.py", "disk/walk.py"}
    assert all(any(file.endswith(end) for file in files) for end in ends)
    plain = ("smp/errors.py", "smp/paths.py", "disk/store.py", "disk/locks.py", "tracks/base.py")
    assert not any(file.endswith(plain) for file in files), "what makes no value makes nothing stale"
    files = hashes._imported("smp.disk.pictures", set())
    assert len(files) > 1 and hashes.code_hash("smp.disk.pictures") == hashes.source_hash(*sorted(files))


def test_features_from_outside_are_declared_whichever_parent_reads_them(tmp_path, monkeypatch):
    monkeypatch.setenv("SMP_OUTPUT", str(tmp_path))
    monkeypatch.setattr(paths, "is_demo", lambda track: False)
    for name, own, parents in (
        ("fusion", {}, ["one", "two"]),
        ("one", {"mine": "k", "post_stats": "k"}, []),
        ("two", {}, ["three"]),
        ("three", {"yours": "k"}, []),
    ):
        (tmp_path / name).mkdir()
        settings = {"features": own, "config": {"parents": parents}}
        (tmp_path / name / "config.json").write_text(json.dumps(settings))
    assert submission.external_data("image", "fusion") == {"used": "true", "details": "mine, yours"}
    assert submission.external_data("image", "two") == {"used": "true", "details": "yours"}


def test_the_parts_that_fill_the_oof_table_are_each_row_once(data):
    for scheme in ("time", "user", "random"):
        folds = make_folds(data, Split(), scheme)
        rows = np.concatenate([p.query for p in fold_parts(parts_of(data, folds, Split()))])
        assert sorted(rows) == list(np.flatnonzero(data.labelled))
    assert Part("forward", "3", rows, rows).name == "forward3"
