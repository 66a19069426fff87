"""A track of its own kind from raw files to a fusion: it is a folder, and no other file knows it."""

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import smp.tracks
from smp import features, paths, runner, tracks
from smp.disk.store import read_table
from smp.errors import DataError
from smp.experiment import Experiment
from smp.folds import load_folds
from smp.learners import LightGBM, load
from smp.runner import run_cv
from smp.stacking import Fusion, run_fusion
from smp.tracks.load import load_data

ROOMS = Path(__file__).parent / "rooms"


@pytest.fixture
def output(tmp_path, monkeypatch):
    monkeypatch.setenv("SMP_INPUT", "demo")
    for name in ("output", "submissions"):
        monkeypatch.setenv(f"SMP_{name.upper()}", str(tmp_path / name))
    monkeypatch.setenv("SMP_PROFILE", "small")
    monkeypatch.setenv("SMP_DEMO_POSTS", "600")
    monkeypatch.setattr(smp.tracks, "__path__", [*smp.tracks.__path__, str(ROOMS)])
    yield paths.output("toy")
    for name in [name for name in sys.modules if name.startswith("smp.tracks.toy")]:
        del sys.modules[name]


@dataclass(frozen=True)
class Level1(Experiment):
    features: tuple[str, ...] = ("message", "first_hour")
    learner: LightGBM = LightGBM(rounds=60, learning_rate=0.1, num_leaves=7)
    seeds: tuple[int, ...] = (0, 1)


@dataclass(frozen=True)
class Config(Fusion):
    parents: tuple[str, ...] = ("exp950_plain", "exp951_users")
    trials: int = 20


@pytest.fixture
def run(output, tmp_path, monkeypatch):
    def call(*arguments):
        scripts = {name: str(tmp_path / name / "train.py") for name in (*Config().parents, "exp959_fusion")}
        more = {"exp951_users": ("--label-features", "user_labels", "--label-blocks", "8")}
        for name, script in scripts.items():
            monkeypatch.setattr(sys, "argv", ["train.py", *arguments, *more.get(name, ())])
            run_fusion(script, Config, "toy") if "fusion" in name else run_cv(script, Level1, "toy")
        return output / "exp959_fusion"

    return call


def test_from_raw_files_to_a_fusion(run, output, capsys):
    folder = run()
    data, split = load_data("toy"), tracks.get("toy").split
    assert data.labels.shape == (600, 2) and data.labelled.sum() == 420 and "label" not in data.items
    assert "GENERATING DEMO" in capsys.readouterr().err

    metrics, folds = json.loads((folder / "metrics.json").read_text()), load_folds("toy", data)
    oof, true = read_table(folder / "oof.parquet"), data.labels[data.labelled]
    assert list(oof) == ["fold", "pred0", "pred1"] and set(oof["fold"]) == set(range(split.blocks))
    squares = (oof[["pred0", "pred1"]].to_numpy() - true) ** 2
    mean = squares.mean()
    assert metrics["cv"] == {"rows": 420, "rmse": pytest.approx(mean**0.5), "msle": pytest.approx(mean)}
    late = folds["holdout"].to_numpy()
    assert metrics["holdout"]["rmse"] == pytest.approx(squares[late].mean() ** 0.5)
    forward = read_table(folder / "forward.parquet")
    assert list(forward["part"].unique()) == ["1", "2", "3"] == list(metrics["forward"]["parts"])
    start = data.items["time"][folds.index[late]].min()  # labels known by then, after a week, may choose anything
    known = data.items["time"][forward.index] + split.purge <= start
    assert metrics["forward"]["rows"] == ((forward["part"] != "3") & known).sum() > 0
    test = read_table(folder / "test.parquet")
    assert list(test) == ["pred0", "pred1"] and list(test.index) == list(data.ids[~data.labelled])

    scores = pd.read_csv(output / "scores.csv").set_index("experiment")
    assert {"cv_rmse", "forward_rmse", "holdout_msle"} <= set(scores) and "share_of_ceiling" not in scores
    spread = true[late] - np.median(true[~late], axis=0)
    assert scores["holdout_rmse"].max() < 0.8 * (spread**2).mean() ** 0.5, "every model learns something"
    assert scores.loc["exp951_users", "holdout_rmse"] < scores.loc["exp950_plain", "holdout_rmse"]

    kept = load(output / "exp950_plain" / "models" / "seed0" / "label1")
    X = features.load("toy", Level1().features, data)
    full = read_table(output / "exp950_plain" / "full.parquet")
    np.testing.assert_array_equal(kept.predict(X.take(~data.labelled)), full["seed0_1"])


def test_labels_that_come_later_teach_nothing_of_the_parts_before(run, monkeypatch):
    """Noise for the labels of the week before each part, and of the part itself and later: its predictions stay."""
    folder, data = run(), load_data("toy")
    start = data.items["time"][data.ids.isin(load_folds("toy", data).query("holdout").index)].min()
    young = (data.items["time"] > start - pd.Timedelta(days=7)).to_numpy() & data.labelled
    noise = np.random.default_rng(0).uniform(0, 5, data.labels.shape)
    before = {f.parent.name: read_table(f) for f in sorted(folder.parent.glob("exp*/holdout.parquet"))}
    noisy = replace(data, labels=np.where(young[:, None], noise, data.labels))
    monkeypatch.setattr(runner, "load_data", lambda track: noisy)
    run("--force")
    for name, table in before.items():
        pd.testing.assert_frame_equal(read_table(folder.parent / name / "holdout.parquet"), table)


def test_what_was_known_at_a_time(output):
    data = load_data("toy")
    moment = data.events["time"].median()
    assert (data.until(moment).events["time"] <= moment).all() and len(data.until(moment).events) < len(data.events)
    of_item = data.items["time"] + pd.Timedelta(minutes=10)
    seen = data.until(of_item).events
    assert len(seen) == (data.events["time"] <= of_item[data.events.index].to_numpy()).sum() > 0


def test_a_track_without_a_form_has_no_submission_and_an_unknown_one_is_named(output):
    from smp import submission

    with pytest.raises(DataError, match="the track toy has no submission"):
        submission.write("exp959_fusion", "toy")
    with pytest.raises(DataError, match=r"no track 'audio'; use one of .*toy"):
        tracks.get("audio")
