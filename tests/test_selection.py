"""Sample selection: the rows of least loss, by the definition, and switched on through an experiment's config."""

import json
import sys
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smp import paths
from smp.disk.store import write_json, write_table
from smp.errors import DataError
from smp.experiment import Experiment
from smp.folds import load_folds
from smp.learners import LightGBM
from smp.runner import run_cv
from smp.selection import Selection, least
from smp.tracks.load import load_data

ROW = st.tuples(st.sampled_from([0.1, 0.5, 0.5001, 2.0, np.nan]), st.integers(0, 3))  # loss and class


@given(st.lists(ROW, min_size=1, max_size=40), st.sampled_from([0.1, 0.3, 0.5, 0.77, 1.0]))
def test_the_share_of_least_loss_is_kept(rows, share):
    loss, classes = (np.array(column) for column in zip(*rows))
    kept = least(loss, share)
    assert kept.sum() == max(np.rint(share * len(loss)), 1)
    ranked = ~np.isnan(loss)
    assert kept[ranked].all() or not kept[ranked].any() or loss[kept & ranked].max() <= loss[~kept & ranked].min()
    for known in (ranked, ~ranked):
        assert abs(kept[known].sum() - share * known.sum()) <= 1.5, "of the posts without a loss as of the others"

    of_each = least(loss, share, classes)
    for c in np.unique(classes):
        one = classes == c
        assert of_each[one].sum() == max(np.rint(share * one.sum()), 1)
        if ranked[one].all():
            np.testing.assert_array_equal(of_each[one], least(loss[one], share))


def test_posts_without_a_loss_are_drawn_by_the_seed_and_none_more_often_than_another():
    loss, classes = np.tile([0.1, 0.2, 0.3, 0.4, np.nan], 20), np.repeat(np.arange(20), 5)
    kept = np.array([least(loss, 0.6, classes, seed) for seed in range(300)])
    np.testing.assert_array_equal(kept[0], least(loss, 0.6, classes, 0))
    assert np.abs(kept[:, 4::5].mean(0) - 0.6).max() < 4.5 * np.sqrt(0.24 / 300), "one of five, in every class"
    assert kept.sum(1).tolist() == [60] * 300


@dataclass(frozen=True)
class Config(Experiment):
    features: tuple[str, ...] = ("post_stats",)
    learner: LightGBM = LightGBM(rounds=5)
    seeds: tuple[int, ...] = (0,)


@pytest.fixture
def losses(demo_run):
    """Out-of-fold losses as exp001_clip_ft leaves them, some of them missing."""
    data = load_data("image")
    folds = load_folds("image", data)
    table = pd.DataFrame({"loss": np.random.default_rng(0).random(len(folds))}, index=folds.index)
    table.iloc[::7] = np.nan
    write_table(demo_run / "exp001_clip_ft" / "losses.parquet", table)
    write_json(demo_run / "exp001_clip_ft" / "metrics.json", {})
    return table


def test_an_experiment_learns_from_the_rows_that_are_kept(losses, tmp_path, monkeypatch):
    seen = []
    fit = LightGBM.fit
    monkeypatch.setattr(LightGBM, "fit", lambda self, X, *more: seen.append(len(X)) or fit(self, X, *more))
    monkeypatch.setattr(sys, "argv", ["train.py", "--keep.share", "0.5"])
    run_cv(str(tmp_path / "exp950_kept" / "train.py"), Config, "image")
    data = load_data("image")
    posts, folds = data.items, load_folds("image", data)
    for k, rows in enumerate(seen[:5]):
        train = posts.index.get_indexer(folds.index[folds["fold"] != k])
        kept = Selection(0.5).rows("image", posts, train)
        assert len(kept) == rows < 0.6 * len(train) and set(kept) <= set(train)
    settings = json.loads((paths.output("image") / "exp950_kept" / "config.json").read_text())
    assert set(settings["parents"]) == {"exp001_clip_ft"}, "other losses make another run"


def test_without_losses_the_command_is_named_and_nothing_is_read_where_all_are_kept(demo_run):
    posts = load_data("image").items
    rows = np.arange(100)
    assert Selection().rows("image", posts, rows) is rows
    with pytest.raises(DataError, match=r"python exp/exp001_clip_ft/train\.py"):
        Selection(0.5).rows("image", posts, rows)
    for share in (0.0, -0.5, 1.5):
        with pytest.raises(DataError, match=f"a share of {share} .* must be over 0 and at most 1"):
            Selection(share).rows("image", posts, rows)
