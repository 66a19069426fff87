"""New posts: as the submission has them where they are the test's, and else as further test rows would be."""

import json
import math
import sys
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from smp import features, paths, submission, tracks
from smp.disk.store import read_table
from smp.errors import DataError
from smp.experiment import Experiment
from smp.learners import CatBoost, LightGBM, Linear
from smp.matrix import FeatureMatrix
from smp.predict import interval, posts
from smp.predict.__main__ import measure, predict
from smp.predict.embed import NotOfNewPosts
from smp.predict.models import First, Predictor
from smp.predict.reasons import reasons, word
from smp.predict.say import Forecast
from smp.predict.whatif import at_hours, predict_alone, with_first_tags
from smp.predict.world import Known, World
from smp.runner import run_cv
from smp.stacking import Fusion, run_fusion
from smp.tracks.base import Data
from smp.tracks.load import load_data

FAMILIES = ("post_stats", "time_place", "user_behaviour", "tags_post", "tags_user", "stream")
ALONE = ("tags_post", "title_tags", "common_words")


@dataclass(frozen=True)
class Trees(Experiment):
    features: tuple[str, ...] = FAMILIES
    label_features: tuple[str, ...] = ("account_counters", "user_labels")
    level_blocks: int = 5
    learner: LightGBM = LightGBM(rounds=15, learning_rate=0.2)
    seeds: tuple[int, ...] = (0, 1)


@dataclass(frozen=True)
class Cats(Experiment):
    features: tuple[str, ...] = ("post_stats", "time_place")
    learner: CatBoost = CatBoost(rounds=15, depth=3)
    median_folds: int = 2
    seeds: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class Lines(Experiment):
    features: tuple[str, ...] = ("common_words", "user_id")
    learner: Linear = Linear()
    seeds: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class Config(Fusion):
    parents: tuple[str, ...] = ("exp910_trees", "exp911_cats", "exp912_lines")
    trials: int = 10


@pytest.fixture(scope="module")
def finished(demo_folder, tmp_path_factory):
    """A finished fusion of three experiments on the generated image posts."""
    folder = tmp_path_factory.mktemp("predict")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SMP_INPUT", str(demo_folder))
        patch.setenv("SMP_OUTPUT", str(folder / "output"))
        patch.setenv("SMP_SUBMISSIONS", str(folder / "submissions"))
        patch.setenv("SMP_PROFILE", "small")
        patch.setattr(sys, "argv", ["train.py"])
        for name, config in {"exp910_trees": Trees, "exp911_cats": Cats, "exp912_lines": Lines}.items():
            run_cv(str(folder / name / "train.py"), config, "image")
        run_fusion(str(folder / "exp920_fusion" / "train.py"), Config, "image")
        yield paths.output("image")


@pytest.fixture(scope="module")
def forecast(finished):
    return Forecast.of("image", "exp920_fusion")


def again(items: pd.DataFrame) -> pd.DataFrame:
    """The same posts under other ids: new ones."""
    return items.set_axis(pd.Index([f"{i} again" for i in items.index], name="post_id"))


def test_the_tests_own_posts_are_predicted_as_submitted(finished, tmp_path, capsys):
    predict(paths.data("image"), "image", tmp_path / "a.csv", "exp920_fusion")
    predict(paths.data("image"), "image", tmp_path / "b.csv", "exp920_fusion")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    made = pd.read_csv(tmp_path / "a.csv", dtype={"post_id": str}, index_col="post_id")
    truth = read_table(finished / "exp920_fusion" / "test.parquet")["pred"]
    np.testing.assert_allclose(made["prediction"].loc[truth.index], truth, atol=1e-6)
    submitted = pd.read_csv(submission.write("exp920_fusion", "image")[0], index_col="post_id")["popularity_score"]
    np.testing.assert_allclose(made["prediction"].loc[truth.index], submitted["post" + truth.index], atol=5.1e-5)
    assert (made["low"] < made["prediction"]).all() and made["reason_5"].str.match(r"[+-]\d\.\d\d \w").all()
    said = capsys.readouterr().out
    assert "official" in said and "a correlation is not advice" in said and "holdout: SRC" in said


@pytest.mark.parametrize("parent", ["exp910_trees", "exp911_cats", "exp912_lines"])
def test_so_is_every_parent(forecast, finished, parent):
    test = forecast.known.data.items[~forecast.known.data.labelled]
    pred = First(forecast.known, parent).ask(World(forecast.known, test))
    np.testing.assert_allclose(pred, read_table(finished / parent / "test.parquet")["pred"].loc[test.index], atol=1e-6)


@pytest.mark.parametrize("name", ["post_stats", "time_place", "user_behaviour", "stream", "account"])
def test_a_new_post_is_described_as_a_further_test_row(finished, name):
    """Against the family made of all posts at once, where the known ones lack the last twenty."""
    data = load_data("image")
    fewer = Data(data.items[:-20], data.labels[:-20])
    known = Known("image", fewer, _stored={name: features.build("image", name, fewer)})
    made, truth = World(known, data.items[-20:]).values(name), features.build("image", name, data)[-20:]
    for column in truth.columns.drop([c for c in truth if "country" in c or "cluster" in c]):  # these are learnt
        is_category = isinstance(truth[column].dtype, pd.CategoricalDtype)
        own, true = (t[column].astype(object if is_category else float) for t in (made, truth))
        filled = own.notna() & true.isna()  # what no known post lacks is the median
        pd.testing.assert_series_equal(own[~filled], true[~filled], check_names=False)


def test_label_families_are_those_of_a_further_test_row(finished):
    data = load_data("image")
    fewer = Data(data.items[:-20], data.labels[:-20])
    train, names = np.flatnonzero(data.labelled), ("user_labels", "label_means")
    made = World(Known("image", fewer), data.items[-20:]).from_labels(names, train, 5).dense()[-20:]
    truth = World(Known("image", data), data.items[-20:]).from_labels(names, train, 5).dense()[-20:]
    np.testing.assert_array_equal(made, truth)


@pytest.mark.parametrize("name", ALONE)
def test_what_is_learnt_does_not_move_and_the_same_text_is_described_the_same(finished, name):
    data = load_data("image")
    features.make("image", name, data)
    known = Known.of("image")
    late = data.items[-30:]
    odd = again(late[:1]).assign(title="entirely otherwise words " * 9).set_axis(pd.Index(["odd"], name="post_id"))
    made = World(known, pd.concat([odd, again(late), late[:3]])).values(name)
    true = known.stored(name)[-30:]
    np.testing.assert_array_equal(np.asarray(made)[1:31], np.asarray(true))
    np.testing.assert_array_equal(np.asarray(made)[31:], np.asarray(true)[:3])


def test_codes_of_what_is_known_stay_and_what_is_new_is_unknown(finished):
    known = Known.of("image")
    items = again(known.data.items[-4:]).astype({"category": "str", "user_id": "str"})
    items.loc[items.index[0], ["category", "user_id"]] = "aaa, before all others"
    world = World(known, items)
    codes = world.matrix(("post_stats", "user_id")).dense()
    old = FeatureMatrix.from_table(known.stored("post_stats")).join(FeatureMatrix.from_table(known.stored("user_id")))
    at = [old.names.index(c) for c in ("category", "user_id")]
    np.testing.assert_array_equal(codes[1:, at], old.dense()[-3:][:, at])
    assert (codes[0, at] > old.dense()[:, at].max(axis=0)).all()
    Predictor(known, "exp920_fusion").ask(world)


def test_a_number_that_no_known_post_lacks_is_the_median(finished):
    known = Known.of("image")
    world = World(known, again(known.data.items[-2:]).set_axis(pd.Index(["no number", "7"], name="post_id")))
    number = known.stored("user_behaviour")["post_number"]
    made = world.values("user_behaviour")["post_number"].to_numpy()
    np.testing.assert_allclose(made, [number.median(), 7])


def test_a_post_does_not_depend_on_what_else_is_asked_of_known_ones(forecast):
    test = forecast.known.data.items[~forecast.known.data.labelled]
    every, few = forecast.table(test)[0], forecast.table(test[5:9])[0]
    pd.testing.assert_frame_equal(every[5:9], few)


def test_a_parent_that_cannot_describe_new_posts_is_left_out_and_its_weight_shared(forecast, monkeypatch):
    predictor = Predictor(forecast.known, "exp920_fusion")
    predictor.weights = dict(zip(predictor.weights, (0.2, 0.3, 0.5)))
    predictor.combinations = [type(c)("blend", [0.2, 0.3, 0.5]) for c in predictor.combinations]
    predictor.parents = {name: First(forecast.known, name) for name in predictor.weights}
    world = World(forecast.known, again(forecast.known.data.items[-6:]))
    of = {name: parent.ask(world) for name, parent in predictor.parents.items()}

    def refuse(*_):
        raise NotOfNewPosts("it reads what is not there")

    monkeypatch.setattr(predictor.parents["exp912_lines"], "ask", refuse)
    answer = predictor.ask(world)
    np.testing.assert_allclose(answer.pred, 0.4 * of["exp910_trees"] + 0.6 * of["exp911_cats"])
    assert answer.left_out == {"exp912_lines": "it reads what is not there"}


def test_trees_that_hardly_count_are_not_asked_why(forecast, monkeypatch):
    predictor, world = Predictor(forecast.known, "exp920_fusion"), World(forecast.known, forecast.known.data.items[-6:])
    predictor.parents = {name: First(forecast.known, name) for name in Config().parents}
    asked, plain = [], First.why
    monkeypatch.setattr(First, "why", lambda first, w: asked.append(first.name) or plain(first, w))
    for count, weights in (
        (2, (0.5, 0.3, 0.2)),
        (2, (0.5, 0.026, 0.474)),
        (1, (0.5, 0.024, 0.476)),
        (2, (0.01, 0.01, 0.98)),
    ):
        predictor.weights = dict(zip(Config().parents, weights))
        answer = predictor.ask(world)
        weight = {n: predictor.weights[n] for n in asked}
        whole = sum(plain(predictor.parents[n], world).sum(axis=1) * w for n, w in weight.items())
        np.testing.assert_allclose(answer.contributions.sum(axis=1), whole / sum(weight.values()))
        assert asked == list(Config().parents[:count])
        asked.clear()


@pytest.mark.parametrize("learner", [LightGBM(rounds=20), CatBoost(rounds=20, depth=3)])
def test_contributions_sum_to_the_prediction_less_a_constant(learner):
    rng = np.random.default_rng(0)
    X = FeatureMatrix.from_table(pd.DataFrame({"a": rng.normal(size=300), "b": rng.normal(size=300)}))
    model = learner.fit(X, X.dense()[:, 0] * 2)
    given = model.contributions(X)
    rest = model.predict(X) - given.sum(axis=1)
    np.testing.assert_allclose(rest, rest[0], atol=1e-6)
    assert np.abs(given[:, 0]).mean() > 5 * np.abs(given[:, 1]).mean()


def test_reasons_are_the_largest_sums_of_columns_that_say_the_same(forecast):
    world = World(forecast.known, again(forecast.known.data.items[-1:]))
    forecast.predictor.ask(world)
    names = ["tags_post_3", "tags_post_4", "time_hour", "time_hour_sin", "title_chars", "category"]
    given = pd.DataFrame([[0.3, -0.25, 0.2, 0.2, -0.3, 0.01]], columns=names)
    (said,) = reasons(given, world)
    assert [s[:5] for s in said] == ["+0.40", "-0.30", "+0.05", "+0.01"]
    assert said[0].startswith("+0.40 the hour of the day (time_hour: over ") and said[0].endswith("% of posts)")
    assert said[2] == "+0.05 what the tags are about" and "(category: " in said[3]
    assert word("label_concept_tags_count") == "what earlier posts of the same concept tags earned"


def test_an_interval_is_the_quantile_of_conformal_prediction():
    rng = np.random.default_rng(0)
    errors = pd.DataFrame({"error": rng.normal(size=999), "seen": np.arange(999) < 400, "learnt": 7, "holdout": False})
    widths = interval.half_widths(errors)
    for is_seen, n in ((True, 400), (False, 599)):
        own = errors["error"][errors["seen"] == is_seen].abs()
        assert (own <= widths[is_seen]).sum() == math.ceil((n + 1) * 0.8)
    few = interval.half_widths(errors[:420])
    assert few[False] == pytest.approx(np.sort(errors["error"][:420].abs())[math.ceil(421 * 0.8) - 1])
    assert interval.half_widths(errors[:3]) == {True: math.inf, False: math.inf}
    more = errors.assign(learnt=np.where(np.arange(999) % 3, 7, 21))  # as if these stood there three times
    widths, thrice = interval.half_widths(more), errors.loc[np.repeat(np.arange(999), more["learnt"] // 7)]
    for is_seen in (True, False):
        own = np.sort(thrice["error"][thrice["seen"] == is_seen].abs())
        assert widths[is_seen] == own[math.ceil((len(own) + 3) * 0.8) - 1]


def test_coverage_is_measured_on_the_holdout_with_errors_before_it(finished):
    data = load_data("image")
    errors = interval.forward_errors("image", "exp920_fusion", data)
    last = data.items["time"][errors.index[errors["holdout"]]].min()
    assert (data.items["time"][errors.index[~errors["holdout"]]] < last).all() and errors.index.is_unique
    oof = read_table(finished / "exp920_fusion" / "oof.parquet")["pred"]
    held = errors[errors["holdout"]]
    np.testing.assert_allclose(held["error"], data.labels[data.ids.get_indexer(held.index)] - oof[held.index])
    users = data.items["user_id"].astype("str")
    earlier = set(users[data.labelled & (data.items["time"] < last).to_numpy()])
    np.testing.assert_array_equal(held["seen"], users[held.index].isin(earlier))
    assert (held["learnt"] == (data.labelled & (data.items["time"] < last).to_numpy()).sum()).all()
    table = measure("image", "exp920_fusion")
    assert table["posts"].iloc[0] == len(held) == table["posts"].iloc[1:].sum()
    assert table["coverage"].between(0.6, 1).all()
    assert (finished / "exp920_fusion" / "coverage.csv").is_file()


def test_a_user_is_seen_who_has_a_post_among_those_learnt_from():
    users = pd.Categorical(["a", "b", None, "a", None, "c"])
    time = pd.date_range("2015-01-01", periods=6, tz="UTC")
    data = Data(pd.DataFrame({"user_id": users, "time": time}, index=list("uvwxyz")), np.zeros(6))
    found = interval.seen(data, np.array([1, 3, 4, 5, 0]), np.array([0, 2]))
    assert found.tolist() == [False, True, False, False, True], "nobody knows who None is"


def test_noise_is_covered_as_often_as_said():
    rng = np.random.default_rng(1)
    errors = pd.DataFrame({"error": rng.standard_cauchy(8000), "seen": rng.random(8000) < 0.3, "learnt": 9, "user": -1})
    errors["holdout"] = np.arange(8000) >= 4000
    table = interval.coverage(errors)
    assert table["coverage"].between(0.77, 0.83).all() and table["users"].tolist() == ["all", "seen", "unseen"]
    alike = interval.coverage(errors.assign(error=1.0))
    assert (alike["half_width"] == 1).all() and (alike["coverage"] == 1).all()
    known = errors.groupby("holdout")["seen"].sum()
    assert table["calibrated_on"].tolist() == [4000, known[False], 4000 - known[False]]
    assert table["posts"].tolist() == [4000, known[True], 4000 - known[True]]
    for _, row in table.iterrows():
        inside = np.arange(row["posts"]) < round(row["coverage"] * row["posts"])
        assert row["coverage_se"] == pytest.approx(inside.std() / row["posts"] ** 0.5)
    twice = pd.concat([errors, errors]).assign(user=np.tile(np.arange(8000), 2))  # a user's two posts are one
    np.testing.assert_allclose(interval.coverage(twice)["coverage_se"], table["coverage_se"], rtol=1e-9)


# --- posts from files ---


@pytest.mark.parametrize("track", ["image", "video"])
@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_table_of_the_items_columns_is_read_as_they_are(finished, track, suffix, tmp_path):
    room, data = tracks.get(track), load_data(track)
    items, file = data.items[~data.labelled], tmp_path / f"posts{suffix}"
    table = items.reset_index().drop(columns="split")
    dates = table.select_dtypes(["datetime", "datetimetz"]).columns
    table = table.assign(**{c: table[c].astype("str").replace("NaT", None) for c in dates})
    table["tags"] = [" ".join(t) if suffix == ".csv" else list(t) for t in table["tags"]]
    if suffix == ".csv":
        table.to_csv(file, index=False)
    else:
        table.to_json(file, orient="records", lines=True)
    made = posts.read(file, room, data)
    for name in items.columns.drop([room.new_posts.media, "title", "post_content"], errors="ignore"):
        own, true = (t[name].astype(object).where(t[name].notna(), None).map(str) for t in (made, items))
        assert own.tolist() == true.tolist(), name
    assert made.index.equals(items.index)


def test_what_a_table_lacks_is_missing_and_said(finished, tmp_path, capsys):
    data, file = load_data("image"), tmp_path / "few.csv"
    user = data.items["user_id"].iloc[-1]
    file.write_text(f'Postdate,Uid,Title,shoe_size\n2015-06-01 12:00:00,{user},"Sea, again",4\n1433160000,,,5\n')
    items = posts.read(file, tracks.get("image"), data)
    said = capsys.readouterr().err
    assert "left out: shoe_size" in said and "missing: " in said and "latest post: pathalias" in said
    own = data.items[data.items["user_id"] == user].sort_values("time").iloc[-1]
    assert items["photo_count"].iloc[0] == own["photo_count"] or np.isnan(own["photo_count"])
    assert items["photo_count"].isna().iloc[1] and items["title"].tolist() == ["Sea, again", ""]
    assert len({*items["user_id"], user}) == 2 and items.index.is_unique and not items.index.isin(data.ids).any()
    table, left_out = Forecast.of("image", "exp920_fusion").table(items)
    assert np.isfinite(table[["prediction", "low", "high"]]).all(axis=None) and not left_out
    assert table["user_seen"].iloc[1] == False  # noqa: E712


BAD = {
    "no such file": ("x.csv", None, "no such file"),
    "another kind": ("x.xlsx", "a", "must be a folder of official files, a .csv or a .jsonl"),
    "empty": ("x.csv", "", "not a table"),
    "a header alone": ("x.csv", "time,title\n", "holds no posts"),
    "no time": ("x.csv", "title\nsea\n", "row 1 has no time"),
    "one without": ("x.csv", "time,title\n2015-01-01,a\nsoon,b\n", "row 2 has no time"),
    "twice": ("x.csv", "post_id,time\na,2015-01-01\na,2015-01-01\n", "row 2: post a is there twice"),
    "two columns": ("x.csv", "time,Postdate\n2015-01-01,2015-01-01\n", "two columns say time"),
    "a web page": ("x.csv", "<!DOCTYPE html>", "a web page in the file's place"),
    "no JSON": ("x.jsonl", '{"time": 1\n', "line 1: truncated or invalid JSON"),
    "an object": ("x.jsonl", '{"time": 1433160000, "title": {}}\n', "row 1: title is {}, a single value expected"),
    "a path out": ("x.csv", "time,image_path\n2015-01-01,../../etc/passwd\n", "is no path inside"),
    "empty folder": ("folder", "", "missing test_allmetadata_json"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_refused_in_one_line(finished, tmp_path, case):
    name, content, message = BAD[case]
    if name == "folder":
        (tmp_path / name).mkdir()
    elif content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message) as error:
        posts.read(tmp_path / name, tracks.get("image"), load_data("image"))
    assert "\n" not in str(error.value)


def test_posts_that_are_known_otherwise_are_refused(finished, tmp_path):
    data, file = load_data("image"), tmp_path / "x.csv"
    train, test = data.items.iloc[0], data.items.iloc[-1]
    file.write_text(f"post_id,time,user_id\n{train.name},{train['time']},{train['user_id']}\n")
    with pytest.raises(DataError, match=f"row 1: post {train.name} is one that the models learnt from"):
        posts.read(file, tracks.get("image"), data)
    file.write_text(f"post_id,time,user_id,title\n{test.name},{test['time']},{test['user_id']},else\n")
    with pytest.raises(DataError, match=f"post {test.name} is in the data with another title"):
        posts.read(file, tracks.get("image"), data)


def test_models_that_are_not_there_or_learnt_from_other_features_are_refused(finished, tmp_path, monkeypatch):
    known = Known.of("image")
    with pytest.raises(DataError, match="not finished; make it with"):
        Predictor(known, "exp999_none")
    settings = json.loads((finished / "exp911_cats" / "config.json").read_text())
    for name, change, message in (
        ("exp930_stale", {"features": {"post_stats": "of yesterday"}}, "learnt from post_stats as other code"),
        ("exp931_made", {"config": {"prefix": "clip"}}, "keeps no model that can be asked"),
        ("exp932_old", {}, "bend.json: not kept"),
    ):
        (finished / name).mkdir()
        (finished / name / "config.json").write_text(json.dumps(settings | change))
        (finished / name / "metrics.json").write_text("{}")
        with pytest.raises(DataError, match=message):
            Predictor(known, name).ask(World(known, again(known.data.items[-1:])))


# --- what would change it ---


def test_a_variant_stands_alone_beside_the_known_posts(forecast):
    post = again(forecast.known.data.items[-1:])
    hours = dict(at_hours(post))
    assert list(hours) == list(range(0, 24, 3))
    alone = predict_alone(forecast.predictor, post)
    assert alone == pytest.approx(forecast.table(post)[0]["prediction"].iloc[0])
    other = next(p for h, p in hours.items() if abs((p["time"] - post["time"]).iloc[0]) > pd.Timedelta(hours=2))
    assert predict_alone(forecast.predictor, other) == pytest.approx(forecast.table(other)[0]["prediction"].iloc[0])
    tagged = forecast.known.data.items
    tagged = again(tagged[tagged["tags"].list.len() > 2][-1:])
    counts = dict(with_first_tags(tagged))
    assert next(iter(counts)) == 0 and max(counts) == len(tagged["tags"].iloc[0])
    assert all(len(p["tags"].iloc[0]) == n for n, p in counts.items())


def test_the_post_itself_is_the_most_alike(forecast):
    known, predictor = forecast.known, forecast.predictor
    at, share = predictor.alike(World(known, known.data.items.iloc[[known.train[5]]]))
    assert at[0] == known.train[5] and share[0] == 1 and (np.diff(share) <= 0).all() and len(at) == 5


def test_the_page_predicts_a_post(finished):
    testing = pytest.importorskip("streamlit.testing.v1")
    import smp.predict.page as page

    def script():
        import sys

        from smp.predict.page import main

        main("image", sys.modules["smp.predict.page"].EXPERIMENT)

    page.EXPERIMENT = "exp920_fusion"
    app = testing.AppTest.from_function(script, default_timeout=60).run()
    assert not app.exception and "trained on" in app.caption[0].value.lower()
    assert any("a correlation is not advice" in c.value for c in app.caption)
    app.text_input[0].set_value("Sunset at the sea")
    app.text_input[1].set_value("sunset sea sky")
    app.text_area[0].set_value("The sea")
    app.button[0].click().run()
    assert not app.exception and not app.error
    assert [m.label for m in app.metric] == ["Prediction", "80% interval"]
    assert {s.value for s in app.subheader} >= {"Why", "Other titles", "By the hour of the day"}
    assert len(app.dataframe) == 2
