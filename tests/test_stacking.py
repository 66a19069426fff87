"""The second level: each method against its definition, and nested so that a fold's labels never touch its own rows."""

import json
import sys
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata

from smp import paths, runner, tracks
from smp.disk.store import read_table
from smp.folds import load_folds
from smp.learners import LightGBM
from smp.runner import Experiment, run_cv
from smp.stacking import METHODS, Fusion, blend_weights, combine, run_fusion
from smp.tracks.load import load_posts

IMAGE, VIDEO = tracks.get("image").task, tracks.get("video").task


@pytest.fixture
def level1():
    rng = np.random.default_rng(0)
    y = rng.normal(6, 2, 800).clip(1)
    good, poor = y + rng.normal(0, 0.5, 800), y + rng.normal(0, 3, 800)
    return np.column_stack([good, poor, rng.normal(6, 2, 800)]), y


def test_mean_and_rank_mean_are_what_they_say(level1):
    pred, y = level1
    query = pred[:50]
    args = (pred[50:], y[50:], query, IMAGE, 5, 0)
    np.testing.assert_allclose(combine("mean", *args), query.mean(axis=1))
    ranked = combine("rank_mean", *args)
    order = np.column_stack([rankdata(c) for c in query.T]).mean(axis=1)
    assert (np.diff(ranked[np.argsort(order, kind="stable")]) >= 0).all()
    np.testing.assert_allclose(np.sort(ranked), np.sort(query.mean(axis=1)))


@pytest.mark.parametrize("track", tracks.names())
def test_the_blend_prefers_the_better_model_and_is_no_worse_than_the_mean(level1, track):
    (pred, y), task = level1, tracks.get(track).task
    weights = blend_weights(pred, y, task, 60, 0)
    assert weights.sum() == pytest.approx(1) and (weights >= 0).all() and weights.argmax() == 0 and weights[0] > 0.6
    assert task.loss(y, pred @ weights) <= task.loss(y, pred.mean(axis=1))
    np.testing.assert_array_equal(weights, blend_weights(pred, y, task, 60, 0))


def test_linear_repairs_a_scale(level1):
    pred, y = level1
    pred = pred * 0.5 + 1
    assert IMAGE.loss(y, combine("linear", pred, y, pred, IMAGE, 0, 0)) < IMAGE.loss(y, pred[:, 0]) - 0.3


def test_median_bends_the_mean_where_low_labels_spread():
    rng = np.random.default_rng(0)
    mean = rng.uniform(3, 12, 3000)
    y = np.maximum(mean + rng.normal(0, np.where(mean < 6, 2.0, 0.3)), 0.5)
    pred = np.column_stack([mean - 0.1, mean + 0.1])
    bent = combine("median", pred[:2000], y[:2000], pred[2000:], VIDEO, 0, 0)
    assert VIDEO.loss(y[2000:], bent) < VIDEO.loss(y[2000:], mean[2000:]) - 0.01


@dataclass(frozen=True)
class Level1(Experiment):
    features: tuple[str, ...] = ("video_stats",)
    learner: LightGBM = LightGBM(objective="l1", rounds=15, learning_rate=0.1)
    weight: str = "inverse_label"
    seeds: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class Config(Fusion):
    parents: tuple[str, ...] = ("exp950_a", "exp951_b")
    trials: int = 20


@pytest.fixture
def run(demo_run, tmp_path, monkeypatch):
    def call(name, *arguments):
        monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
        script = str(tmp_path / name / "train.py")
        run_fusion(script, Config, "video") if name == "exp959_fusion" else run_cv(script, Level1, "video")
        return paths.output("video") / name

    return call


def test_a_fusion_is_nested_and_its_comparison_is_measured_on_the_same_rows(run, monkeypatch):
    with pytest.raises(SystemExit, match=r"not finished; make it with: python exp/exp950_a/train\.py"):
        run("exp959_fusion")
    run("exp950_a")
    run("exp951_b", "--learner.num-leaves", "7")
    folder = run("exp959_fusion")
    table = pd.read_csv(folder / "methods.csv", index_col="method")
    assert set(table.index) == {*METHODS, "exp950_a", "exp951_b"}
    metrics = json.loads((folder / "metrics.json").read_text())
    assert table.loc["blend", "holdout_mape"] == pytest.approx(metrics["holdout"]["mape"], abs=1e-4)
    assert table.loc["blend", "cv_rows"] == metrics["cv"]["rows"]
    assert table.loc["blend", "months_mean"] == pytest.approx(metrics["months"]["mean"], abs=1e-4)
    later = read_table(folder / "months.parquet")
    of_parents = [read_table(folder.parent / p / "months.parquet")["pred"] for p in Config().parents]
    first = later["month"] == later["month"].min()
    np.testing.assert_allclose(later["pred"][first], np.mean([p[first] for p in of_parents], axis=0))
    parent = json.loads((folder.parent / "exp950_a" / "metrics.json").read_text())
    assert table.loc["exp950_a", "cv_mape"] == pytest.approx(parent["cv"]["mape"], abs=1e-4)

    posts = load_posts("video")
    rows = load_folds("video", posts).query("fold == 1").index
    flipped = posts.copy()
    flipped.loc[rows, "label"] = 14 - flipped.loc[rows, "label"]
    monkeypatch.setattr(runner, "load_posts", lambda track: flipped)
    before = {k: read_table(folder / f"fold{k}.parquet") for k in range(5)}
    run("exp959_fusion", "--force")
    pd.testing.assert_frame_equal(read_table(folder / "fold1.parquet"), before[1])
    assert not read_table(folder / "fold0.parquet").equals(before[0])


def test_a_parent_made_anew_makes_the_fusion_stale(run):
    run("exp950_a")
    run("exp951_b")
    run("exp959_fusion")
    run("exp951_b", "--learner.num-leaves", "7", "--force")
    with pytest.raises(SystemExit, match="made with other parents"):
        run("exp959_fusion")
