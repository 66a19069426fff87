"""The report page and the README's generated parts: what they say, that they stand alone and are not stale."""

import importlib.util
import json
import re
import runpy
import shutil
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from smp import learners, paths, tracks
from smp.catalog import discover
from smp.errors import DataError
from smp.metrics import mae
from smp.oof import fold_parts, parts_of
from smp.paths import ROOT
from smp.report import figures, model, page, readme, sections
from smp.report.results import Results
from smp.tracks.base import Split

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
ROWS = {
    "experiment": ["exp010_lgbm", "exp020_fusion"],
    "track": "image",
    "data": "GENERATED DEMO",
    "profile": "small",
    "scheme": "time",
    "cv_rows": 6286,
    "holdout_rows": 1257,
    "cv_src": [0.7, 0.72],
    "cv_mae": [1.3, 1.25],
    "holdout_src": [0.6, 0.625],
    "holdout_mae": [1.4, 1.35],
    "share_of_ceiling": [0.8, 0.9],
    "seconds": [10.0, 2.5],
    "peak_memory_gb": [0.5, 0.25],
}


def test_the_table_says_the_rows_and_every_score():
    table = readme.score_table(pd.DataFrame(ROWS))
    assert "cv on 6,286 posts, holdout on the last 1,257" in table
    assert "| exp020_fusion | 0.72 | 1.25 | 0.625 | 1.35 | 0.9 | 2.5 | 0.25 |" in table
    official = pd.DataFrame(ROWS).assign(data="official", share_of_ceiling=float("nan"))
    assert "share of ceiling" not in readme.score_table(official)


def test_a_block_is_replaced_and_nothing_else(tmp_path):
    file = tmp_path / "R.md"
    file.write_text("a\n<!-- scores: made by x -->\nold\nolder\n<!-- /scores -->\nb\n")
    readme.replace_block(file, "scores", r"new \1")
    assert file.read_text() == "a\n<!-- scores: made by x -->\nnew \\1\n<!-- /scores -->\nb\n"
    with pytest.raises(DataError, match="no block"):
        readme.replace_block(file, "table", "x")


def test_without_scores_it_names_the_command(demo_run):
    for write in (page.write, readme.write):
        with pytest.raises(DataError, match=r"no scores yet; make them with: bash run_all\.sh"):
            write()


def test_what_real_data_say_is_kept_by_their_name(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "output", lambda track: tmp_path / "out")
    monkeypatch.setattr(readme, "FOLDER", tmp_path)
    monkeypatch.setattr(readme, "rewrite", lambda: None)
    study = tmp_path / "out" / "exp900_study"
    study.mkdir(parents=True)
    for name, answer in (("Real A", "yes"), ("Real B", "no"), ("Real A", "not resolved")):
        claim = {"claim": "it helps", "answer": answer, "numbers": "1"}
        (study / "metrics.json").write_text(json.dumps({"track": "image", "answers": [claim]}))
        pd.DataFrame([{"experiment": "exp010_lgbm", "track": "image", "data": "official"}]).to_csv(
            tmp_path / "out" / "scores.csv", index=False
        )
        readme.write_real(name)
    for file, column, wanted in (
        ("real", "experiment", ["exp010_lgbm", "exp010_lgbm"]),
        ("real_claims", "answer", ["not resolved", "no"]),
    ):
        table = pd.read_csv(tmp_path / f"{file}.csv")
        assert table["data"].tolist() == ["Real A", "Real B"] and table[column].tolist() == wanted


def test_a_claim_stands_with_what_a_second_data_set_answers(tmp_path, monkeypatch):
    monkeypatch.setattr(readme, "FOLDER", tmp_path)
    for name, answers in (("claims", ("yes", "no", "yes")), ("claims_second", ("not resolved", "no"))):
        rows = [{"claim": f"c{i}", "answer": a, "numbers": f"{name} {i}", "study": "s"} for i, a in enumerate(answers)]
        pd.DataFrame(rows).to_csv(tmp_path / f"{name}.csv", index=False)
    *_, first, second, third = readme.claim_table().split("\n")
    assert first == "| c0 | yes | not resolved | claims 0 |"
    assert (second, third) == ("| c1 | no | no | claims 1 |", "| c2 | yes | – | claims 2 |")


def test_the_readme_is_not_stale():
    for file, made in readme.blocks().items():
        text = (ROOT / file).read_text()
        for name, wanted in made.items():
            assert readme.block(name).search(text)[2] == wanted + "\n", f"{name}: run python -m smp.report readme"
    for name in ("scores", *readme.STUDIES):
        with Image.open(readme.FOLDER / f"{name}.png") as picture:
            assert picture.info["Description"] == readme.digest(name), f"{name}.png: run python -m smp.report readme"
        assert f"figures/{name}.png" in text
    scores = pd.read_csv(readme.FOLDER / "scores.csv")
    predicting = {s.name for s in discover() if "run_make(" not in s.script.read_text()}
    assert set(scores["experiment"]) == predicting
    assert set(scores["data"]) == {"GENERATED DEMO"}


@pytest.mark.parametrize("file", ["README.md", "exp/README.md"])
def test_what_the_readmes_name_is_there(file):
    text = (ROOT / file).read_text()
    for name in re.findall(r"(?:exp|tests)/[\w/]+\.(?:py|sh)|run_all\.sh", text):
        assert (ROOT / name).exists() or "NNN" in name, f"{file} names {name}"
    for module in set(re.findall(r"python -m (smp\.\w+)", text)):
        assert importlib.util.find_spec(module), f"{file} names {module}"
    for link in re.findall(r"\]\(([^):]+)\)", text):
        assert (ROOT / file).parent.joinpath(link).exists(), f"{file} links to {link}"


def test_what_the_report_is_to_show_is_made_by_an_experiment_of_the_track():
    tracks_of = {s.name: s.track for s in discover()}
    for track in tracks.names():
        assert {tracks_of[shown.experiment] for shown in tracks.get(track).exhibits} <= {track}


@pytest.fixture(scope="module")
def finished(demo_folder, tmp_path_factory):
    """The output folder of one experiment, run once for all tests of this file."""
    folder, script = tmp_path_factory.mktemp("finished"), ROOT / "exp" / "exp010_lgbm" / "train.py"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SMP_INPUT", str(demo_folder))
        patch.setenv("SMP_OUTPUT", str(folder / "output"))
        patch.setenv("SMP_PROFILE", "small")
        patch.setattr(sys, "argv", [str(script), "--learner.rounds", "30", "--seeds", "0"])
        runpy.run_path(str(script), run_name="__main__")
    return folder / "output"


@pytest.fixture
def results(demo_run, finished):
    shutil.copytree(finished, demo_run, dirs_exist_ok=True)
    return Results("image")


@pytest.fixture(scope="module")
def written(demo_folder, finished, tmp_path_factory):
    """The page of that experiment and of a study: (output folder, page)."""
    folder = tmp_path_factory.mktemp("written")
    shutil.copytree(finished, folder / "output")
    script = ROOT / "exp" / "exp031_oversampling" / "train.py"
    brief = ("--lightgbm.rounds", "3", "--catboost.rounds", "3", "--seeds", "0", "1", "--processes", "1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SMP_INPUT", str(demo_folder))
        patch.setenv("SMP_OUTPUT", str(folder / "output"))
        patch.setenv("SMP_PROFILE", "small")
        patch.setattr("smp.evidence.DRAWS", 16)
        patch.setattr(sys, "argv", [str(script), *brief])
        runpy.run_path(str(script), run_name="__main__")
        (path,) = page.write()
    return folder / "output", path


def test_predictions_are_the_oof_and_seen_users_those_of_the_other_folds(results):
    table, posts = results.predictions, results.posts
    metrics = json.loads((results.folder / "exp010_lgbm" / "metrics.json").read_text())
    assert table["error"].mean() == pytest.approx(metrics["cv"]["mae"]) == mae(table["label"], table["pred"])
    for part in fold_parts(parts_of(results.data, table[["fold", "holdout"]], Split())):
        known = posts["user_id"].iloc[part.query].isin(posts["user_id"].iloc[part.train].unique())
        assert table.loc[posts.index[part.query], "seen"].tolist() == known.tolist()


def test_where_it_errs_is_told_of_seen_and_unseen_users_and_of_the_tails(results):
    table, text = results.predictions, sections._where_it_errs(results)
    of_user = {s: table["error"][table["seen"] == s].mean() for s in (True, False)}
    assert of_user[True] != pytest.approx(of_user[False], abs=1e-3)
    assert f"(MAE of a post): {of_user[False]:.3f} for unseen, {of_user[True]:.3f} for seen users" in text
    errors, n = table["error"].to_numpy()[np.argsort(table["label"], kind="stable")], len(table)
    tenths = [
        errors[(at > k * (n - 1) / 10) & (at <= (k + 1) * (n - 1) / 10)] for k in range(10) for at in [np.arange(n)]
    ]
    tenths[0] = np.append(errors[0], tenths[0])
    middle = np.mean([tenths[4].mean(), tenths[5].mean()])
    said = f"{tenths[0].mean():.3f} for the least popular tenth, {middle:.3f} in the middle, {tenths[9].mean():.3f} for"
    assert said in text
    bars = sections._by(results, "user").axes[0]
    shown = {label.get_text(): bar.get_width() for label, bar in zip(bars.get_yticklabels(), bars.patches)}
    count = table["seen"].value_counts()
    assert shown == pytest.approx({f"seen ({count[True]})": of_user[True], f"unseen ({count[False]})": of_user[False]})


def test_the_final_experiment_is_the_tracks_and_before_it_is_finished_the_best_on_the_holdout(demo_run):
    metrics = {"image": "src", "video": "mape"}  # the higher, and the lower, the better
    for track, metric in metrics.items():
        rows = {"experiment": ["exp901_a", "exp902_b"], "track": track, f"holdout_{metric}": [0.2, 0.3]}
        demo_run.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(rows).to_csv(demo_run / "scores.csv", index=False)
        assert Results(track).final == {"src": "exp902_b", "mape": "exp901_a"}[metric]
        assert Results(track).best_first["experiment"].iloc[0] == Results(track).final
        final = demo_run / tracks.get(track).final
        final.mkdir()
        (final / "metrics.json").write_text(json.dumps({"track": track}))
        assert Results(track).final == final.name
    pd.DataFrame(rows).iloc[:0].to_csv(demo_run / "scores.csv", index=False)
    shutil.rmtree(final)
    assert Results("video").final == ""


def test_a_constant_is_the_median_of_what_came_before_the_holdout(results):
    y, late = results.predictions["label"], results.predictions["holdout"]
    said = sections._constant_scores(results)
    assert said["mae"] == pytest.approx(np.abs(y[late] - np.median(y[~late])).mean()) and said["src"] == 0


def test_shap_values_add_up_to_the_predictions_and_are_kept(results, monkeypatch):
    made = model.explain(results)
    assert made.experiment == "exp010_lgbm" and made.importance["gain"].sum() == pytest.approx(1)
    assert made.importance["shap"].is_monotonic_decreasing and len(made.shap.columns) == model.SHOWN
    top = made.importance["feature"][0]
    assert made.shap[top].abs().mean() == pytest.approx(made.importance["shap"][0])
    kept = learners.load(results.folder / "exp010_lgbm" / "models" / "seed0")
    assert set(made.shap.index) <= set(results.data.ids[~results.data.labelled])
    assert list(kept.importance()) and made.importance.set_index("feature")["gain"].idxmax() == max(
        kept.importance(), key=kept.importance().get
    )
    monkeypatch.setattr(model, "_explain", lambda *a: pytest.fail("made again"))
    pd.testing.assert_frame_equal(model.explain(results).shap, made.shap)


def test_the_page_stands_alone_and_names_what_is_missing(demo_run, written, monkeypatch):
    output, path = written
    monkeypatch.setenv("SMP_OUTPUT", str(output))
    assert path == paths.output("image") / "report" / "index.html"
    text = path.read_text()
    assert not re.search(r"(src|href)=\"(?!data:|#)", text) and "http" not in text
    assert "<b>exp010_lgbm" not in text and "exp010_lgbm" in text
    metrics = json.loads((output / "exp010_lgbm" / "metrics.json").read_text())
    assert f"{metrics['holdout']['src']:.4f}" in text
    assert "lowers the tail&#x27;s error" in text and "Learning from a share" in text
    assert "<code>python exp/exp030_sample_selection/train.py</code> makes it" in text
    assert "<code>bash run_all.sh studies</code> makes it" in text
    assert page.write() == [path] and path.read_text() == text, "the same bytes again"


@pytest.mark.skipif(not BROWSER, reason="no Chromium or Chrome on this machine: apt-get install chromium")
def test_the_page_in_a_browser(written):
    from playwright.sync_api import sync_playwright

    _, path = written
    complaints, asked = [], []
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        for width in (390, 1280):
            tab = browser.new_page(viewport={"width": width, "height": 844})
            tab.on("console", lambda message: complaints.append(message.text))
            tab.on("pageerror", lambda error: complaints.append(str(error)))
            tab.on("request", lambda request: asked.append(request.url))
            tab.goto(path.as_uri())
            broken = tab.evaluate("[...document.images].filter(i => !i.complete || !i.naturalWidth).length")
            assert broken == 0 and tab.evaluate("document.images.length") >= 8
            assert tab.evaluate("document.documentElement.scrollWidth") <= width, f"scrolls sideways at {width} px"
            for link in tab.query_selector_all("nav a"):
                assert tab.query_selector(link.get_attribute("href")), "a link of the page leads nowhere"
        browser.close()
    assert complaints == [] and [u for u in asked if not u.startswith(("file:", "data:"))] == []


def test_every_group_of_posts_is_drawn(results):
    table = results.predictions
    groups = pd.DataFrame({"error": [1.0, 2.0], "se": [0.1, 0.2], "posts": [10, 5]}, index=["a", "b"])
    for figure in (
        figures.calibration(table),
        figures.folds(table),
        figures.labels(table["label"], table["pred"]),
        figures.over_time(results.posts),
        figures.error_bars(groups, "group", "MAE"),
    ):
        axis = figure.axes[0]
        assert axis.has_data() and (axis.get_xlabel() or axis.get_ylabel())
    named = figures.error_bars(groups, "group", "MAE").axes[0].get_yticklabels()
    assert [name.get_text() for name in named] == ["a (10)", "b (5)"]
    middle = figures.calibration(table).axes[0].lines[0]
    assert np.mean(middle.get_ydata()) == pytest.approx(table["label"].mean(), rel=0.02), "bins of equal size"


def test_what_lies_within_a_day_is_counted_by_the_hour():
    time = pd.Series(pd.date_range("1970-01-01", periods=960, freq="min", tz="UTC"))
    posts = pd.DataFrame({"time": time, "split": "train", "label": 1.0})
    count = figures.over_time(posts).axes[0].lines[0]
    np.testing.assert_array_equal(count.get_ydata(), [60] * 16)
    assert figures.period(time) == ("hour", "h")
    assert figures.period(pd.Series(pd.date_range("2020-01-01", periods=30, freq="D", tz="UTC")))[0] == "day"
    assert figures.period(pd.Series(pd.date_range("2020-01-01", periods=30, freq="W", tz="UTC")))[0] == "month"
    assert figures.period(pd.Series(pd.date_range("2020-01-01", periods=30, freq="YS", tz="UTC")))[0] == "year"
