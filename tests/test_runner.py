"""One experiment through its real command line: artifacts, resume, refusals, scores."""

import json
import shutil
import sys
import time
from dataclasses import dataclass, replace
from multiprocessing import get_context
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from smp import features, paths, runner, tracks
from smp.disk.locks import acquire, release
from smp.disk.store import read_table
from smp.errors import DataError
from smp.experiment import Experiment, Weight, parse_run
from smp.folds import load_folds
from smp.learners import LightGBM
from smp.metrics import mape
from smp.oof import Part, load_oof
from smp.runner import Tabular, run_cv
from smp.tracks.load import load_data


@dataclass(frozen=True)
class Config(Experiment):
    features: tuple[str, ...] = ("video_stats",)
    learner: LightGBM = LightGBM(objective="l1", rounds=20, learning_rate=0.1)
    weight: Weight = "inverse_label"
    seeds: tuple[int, ...] = (0, 1)


@pytest.fixture
def run(demo_run, tmp_path, monkeypatch):
    script = tmp_path / "exp950_test" / "train.py"
    script.parent.mkdir()

    def call(*arguments, config=Config, **small):
        monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
        run_cv(str(script), config, "video", small or None)
        return paths.output("video")

    return call


def test_artifacts_are_whole_and_scores_are_those_of_the_rows_they_name(run, capsys):
    started = time.perf_counter()
    output = run()
    elapsed = time.perf_counter() - started
    folder = output / "exp950_test"
    data, metrics = load_data("video"), json.loads((folder / "metrics.json").read_text())
    posts, folds = data.items.assign(label=data.labels), load_folds("video", data)
    oof, test = load_oof("video", ["exp950_test"], folds, data)
    y, pred = posts.loc[folds.index, "label"], oof["exp950_test"]
    assert 0 < metrics["seconds"] < elapsed + 0.1
    assert capsys.readouterr().out.count("exp950_test") == 1, "its row of the table"
    assert metrics["cv"] == {"rows": len(y), "mape": pytest.approx(mape(y, pred))}
    late = folds["holdout"]
    assert metrics["holdout"] == {"rows": int(late.sum()), "mape": pytest.approx(mape(y[late], pred[late]))}
    for k, fold in enumerate(metrics["folds"]):
        rows = folds["fold"] == k
        assert fold == {"rows": int(rows.sum()), "mape": pytest.approx(mape(y[rows], pred[rows]))}
    of_fold = [fold["mape"] for fold in metrics["folds"]]
    assert len(of_fold) == 5 and metrics["fold_mean"] == {"mape": pytest.approx(np.mean(of_fold))}
    assert metrics["fold_sd"] == {"mape": pytest.approx(np.std(of_fold))}
    seeds = read_table(folder / "holdout.parquet")
    np.testing.assert_allclose(seeds.mean(axis=1), pred[seeds.index])
    assert metrics["holdout_by_seed"][1]["mape"] == pytest.approx(mape(y[late], seeds["seed1"]))
    assert len(test) == (posts["split"] == "test").sum()
    row = pd.read_csv(output / "scores.csv", index_col=0).loc["exp950_test"]
    assert row["holdout_mape"] == pytest.approx(metrics["holdout"]["mape"], abs=1e-4)
    assert row["holdout_rows"] == late.sum()
    assert metrics["cv"]["mape"] < mape(y, np.full(len(y), y.median())), "learns something"
    assert (folder / "log.txt").stat().st_size
    later, forward = read_table(folder / "forward.parquet"), metrics["forward"]
    true = posts.loc[later.index, "label"]
    every = forward["every"]
    assert every["rows"] == len(later) and every["mean"] == pytest.approx(mape(true, later["pred"]))
    assert forward["parts"] == {
        m: {"rows": len(rows), "mape": pytest.approx(mape(true[rows.index], rows["pred"]))}
        for m, rows in later.groupby("part")
    }
    assert later["part"].nunique() == 6 and set(later["part"]) == set(true.index.map(posts["time"]).strftime("%Y-%m"))
    early = later[~later.index.isin(folds.index[late])]
    assert forward["rows"] == len(early) > 0
    assert forward["mape"] == pytest.approx(mape(true[early.index], early["pred"]))
    assert row["forward_mape"] == pytest.approx(forward["mape"], abs=1e-4) and row["forward_rows"] == len(early)
    config = json.loads((folder / "config.json").read_text())["config"]
    assert config["learner"]["class"] == "LightGBM"


def test_the_holdout_of_another_scheme_comes_from_earlier_posts_only(run, monkeypatch):
    output = run("--scheme", "random")
    folder = output / "exp950_test@random"
    data = load_data("video")
    posts, folds = data.items.assign(label=data.labels), load_folds("video", data, "random")
    held = read_table(folder / "holdout.parquet")
    assert set(held.index) == set(folds.index[folds["holdout"]])
    train = posts.loc[folds.index[~folds["holdout"]]]
    assert train["time"].max() < posts.loc[held.index, "time"].min()
    X = features.load("video", ("video_stats",), data)
    rows = posts.index.get_indexer(train.index)
    fitted = Config().learner.fit(X.take(rows), train["label"].to_numpy(), 1 / train["label"].to_numpy(), 0)
    np.testing.assert_allclose(fitted.predict(X.take(posts.index.get_indexer(held.index))), held["seed0"])


def test_a_finished_run_is_not_repeated_and_a_broken_off_one_goes_on(run, capsys, monkeypatch):
    folder = run() / "exp950_test"
    before = {p.name: p.stat().st_mtime_ns for p in folder.iterdir()}
    run()
    assert "nothing to do" in capsys.readouterr().out
    assert {p.name: p.stat().st_mtime_ns for p in folder.iterdir()} == before

    oof = (folder / "oof.parquet").read_bytes()
    for name in ("metrics.json", "oof.parquet", "fold2.parquet"):
        (folder / name).unlink()
    run()
    assert (folder / "oof.parquet").read_bytes() == oof
    assert (folder / "fold1.parquet").stat().st_mtime_ns == before["fold1.parquet"]


def test_other_settings_are_refused_unless_a_variant_or_forced(run):
    output = run()
    with pytest.raises(SystemExit, match=r"made with other config; keep both with --variant NAME or start again"):
        run("--learner.rounds", "10")
    run("--learner.rounds", "10", "--variant", "short")
    assert json.loads((output / "exp950_test@short" / "config.json").read_text())["config"]["learner"]["rounds"] == 10
    run("--learner.rounds", "10", "--force")
    assert json.loads((output / "exp950_test" / "config.json").read_text())["config"]["learner"]["rounds"] == 10
    assert set(pd.read_csv(output / "scores.csv")["experiment"]) == {"exp950_test", "exp950_test@short"}


def test_what_is_no_prediction_is_made_once_and_has_no_scores(demo_run, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["train.py"])
    made = []

    def make(run):
        made.append(run.name)
        other = get_context("fork").Process(target=lambda: sys.exit(acquire(run.lock, shared=True, wait=False)))
        other.start()
        other.join()
        assert other.exitcode == 0, "nobody else is let in"
        return {"rows": 3}

    started = time.perf_counter()
    for _ in range(2):
        runner.run_make("exp950_test/train.py", Config, "video", make)
    elapsed, folder = time.perf_counter() - started, paths.output("video") / "exp950_test"
    metrics = json.loads((folder / "metrics.json").read_text())
    assert made == ["exp950_test"] and metrics["rows"] == 3 and 0 <= metrics["seconds"] < elapsed + 0.1
    assert capsys.readouterr().out == "exp950_test: finished earlier, nothing to do\n"
    assert not (folder.parent / "scores.csv").exists()


@pytest.mark.parametrize("together", [False, True])
def test_a_folder_is_claimed_for_one_process_or_shared_by_those_that_say_so(run, monkeypatch, together):
    monkeypatch.setattr(sys, "argv", ["train.py"])
    made = parse_run("exp950_test/train.py", Config, "video")

    def others():
        """What another process gets of the folder: side by side, and alone."""
        asked = [acquire(made.lock, shared=shared, wait=False) for shared in (True, False)]
        (paths.output("video") / "got.json").write_text(json.dumps(asked))

    assert runner.open_folder(made, shared=together)
    other = get_context("fork").Process(target=others)
    other.start()
    other.join()
    release(made.lock)
    assert json.loads((paths.output("video") / "got.json").read_text()) == [together, False]


def test_changed_feature_code_is_noticed(run, monkeypatch):
    run()
    monkeypatch.setattr(features, "code_hash", lambda module: "changed")
    with pytest.raises(SystemExit, match="made with other features"):
        run()


def test_the_small_profile_is_a_set_of_config_values(run):
    folder = run(seeds=(5,)) / "exp950_test"
    assert json.loads((folder / "config.json").read_text())["config"]["seeds"] == [5]
    assert list(read_table(folder / "full.parquet")) == ["seed0"]


def test_an_output_folder_of_another_profile_is_refused(run, monkeypatch):
    run()
    monkeypatch.setenv("SMP_PROFILE", "full")
    with pytest.raises(SystemExit, match="holds video results of another profile; point SMP_OUTPUT at another folder"):
        run()


def test_a_missing_parent_names_the_command_that_makes_it(run, monkeypatch):
    monkeypatch.setitem(tracks.get("video").embeddings, "clip_x", "exp001_clip_ft")
    with pytest.raises(SystemExit, match=r"make them with: python exp/exp001_clip_ft/train\.py"):
        run("--features", "clip_x")


def test_labels_reach_a_model_only_through_its_training_rows(run, monkeypatch):
    """Flip the labels of one fold: its own predictions must not move by a bit."""
    data = load_data("video")
    before = run("--variant", "before") / "exp950_test@before"
    folds = load_folds("video", data)
    rows = data.ids.isin(folds.index[folds["fold"] == 2])
    flipped = replace(data, labels=np.where(rows, 14 - data.labels, data.labels))
    monkeypatch.setattr(runner, "load_data", lambda track: flipped)
    after = run("--variant", "after") / "exp950_test@after"
    pd.testing.assert_frame_equal(read_table(before / "fold2.parquet"), read_table(after / "fold2.parquet"))
    assert not read_table(before / "fold1.parquet").equals(read_table(after / "fold1.parquet"))


def test_an_own_feature_file_is_picked_up_by_name_and_its_gaps_are_missing(run, demo_folder, capsys):
    data = load_data("video")
    posts = data.items
    own = pd.DataFrame({"pid": posts.index[5:], "loudness": np.arange(len(posts) - 5.0)})
    paths.extra_features("video").mkdir()
    try:
        own.sample(frac=1, random_state=0).to_parquet(paths.extra_features("video") / "sound.parquet")
        X = features.load("video", ("video_stats", "sound"), data)
        assert "5 of" in capsys.readouterr().err
        np.testing.assert_array_equal(X.dense()[:, -1], [np.nan] * 5 + list(range(len(posts) - 5)))
        own.to_parquet(paths.extra_features("video") / "noise.parquet")
        own.to_parquet(paths.extra_features("video") / "mvp.parquet")
        for names, words in {
            ("wind",): "no such features",
            ("sound", "noise"): "features/noise.parquet: has the column 'loudness' of .*features/sound.parquet too",
            ("sound", "sound"): "features 'sound' are named twice",
            ("mvp",): "features/mvp.parquet: features of that name are made here",
            ("user_labels",): "features 'user_labels' are made from labels",
        }.items():
            with pytest.raises(SystemExit, match=words):
                run("--features", *names, "--variant", names[-1])
        with pytest.raises(SystemExit, match="features 'video_words' are made without labels"):
            run("--label-features", "video_words", "--variant", "refused")
    finally:
        shutil.rmtree(paths.extra_features("video"))


def test_bending_to_the_median_lowers_the_percentage_error_of_a_model_of_the_mean(run):
    mean = LightGBM(objective="l2", rounds=60, learning_rate=0.1, num_leaves=8)

    @dataclass(frozen=True)
    class Mean(Config):
        learner: LightGBM = mean
        weight: Weight = "uniform"
        seeds: tuple[int, ...] = (0,)

    output = run(config=Mean)
    run("--median-folds", "4", "--variant", "median", config=Mean)
    plain, bent = (
        json.loads((output / name / "metrics.json").read_text()) for name in ("exp950_test", "exp950_test@median")
    )
    assert (
        bent["cv"]["mape"] < plain["cv"]["mape"] - 0.003
        and bent["forward"]["every"]["mean"] < plain["forward"]["every"]["mean"]
    )


def test_a_learner_that_errs_nowhere_over_the_level_is_not_bent():
    class Line:
        def fit(self, x, y, weight, seed):
            return SimpleNamespace(predict=np.poly1d(np.polyfit(x, y, 1)))

    x, level = np.linspace(0, 1, 60), np.random.default_rng(5).uniform(0, 1, 60)
    label, part = level + 2 + 3 * x, Part("full", "", np.arange(40), np.arange(40, 60))
    model = Tabular.__new__(Tabular)
    model.config, model.task = SimpleNamespace(weight="uniform", median_folds=2), tracks.get("video").task
    np.testing.assert_allclose(model.fit_label(Line(), x, part, label, level, 0, None), label[40:])


def test_a_variant_that_an_experiment_names_has_values_of_its_own(demo_run, monkeypatch):
    large = {"large": {"seeds": (7, 8), "label_blocks": 3}}

    def seeds_and_blocks(*arguments):
        monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
        made = parse_run("exp950_test/train.py", Config, "video", {"seeds": (5,)}, large)
        return made.name.partition("@")[2], made.config.seeds, made.config.label_blocks

    blocks = Config().label_blocks
    assert seeds_and_blocks() == ("", (5,), blocks)
    assert seeds_and_blocks("--variant", "other") == ("other", (5,), blocks)
    assert seeds_and_blocks("--variant", "large") == seeds_and_blocks("--variant=large") == ("large", (7, 8), 3)
    assert seeds_and_blocks("--seeds", "1", "--variant", "large") == ("large", (1,), 3)


def test_a_weight_that_does_not_exist_is_refused(run):
    with pytest.raises(DataError, match="weight 'inverse-label': must be one of uniform, inverse_label"):
        Config(weight="inverse-label")
    with pytest.raises(SystemExit):
        run("--weight", "inverse-label")
