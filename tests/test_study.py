"""Cells of a study: made once, gone on with, shared by processes, and never blocked by a dead one."""

import itertools
import multiprocessing
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from smp import study
from smp.errors import DataError
from smp.evidence import gain
from smp.folds import load_folds
from smp.metrics import MAE, SRC, mae, src
from smp.oof import fold_parts, parts_of
from smp.study import claims, cross_predict, held_gain, run_cells, say, seed_scores, side_by_side, spread
from smp.tracks.base import Split
from smp.tracks.load import load_data

HOLD = """
import sys, time
from pathlib import Path
from smp.disk.locks import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def make(name):
    return pd.DataFrame({"pred": [float(len(name))]}, index=pd.Index(["p"], name="post_id")), {"fit_seconds": 1.5}


def refuse(name):
    raise AssertionError(f"{name} was made already")


@pytest.mark.parametrize("processes", [1, 2])
def test_cells_are_made_once(tmp_path, processes):
    made = run_cells(tmp_path, ["a", "bb", "ccc"], make, processes)
    assert {k: v[0]["pred"].iloc[0] for k, v in made.items()} == {"a": 1, "bb": 2, "ccc": 3}
    assert made["bb"][1] == {"fit_seconds": 1.5}
    again = run_cells(tmp_path, ["ccc", "a"], refuse)
    pd.testing.assert_frame_equal(again["ccc"][0], made["ccc"][0])


def test_a_forked_stage_that_shares_its_cells_ends_when_they_are_made(tmp_path):
    stage = multiprocessing.get_context("fork").Process(target=run_cells, args=(tmp_path, ["a", "bb"], make, 2))
    stage.start()
    stage.join(60)  # idle workers would keep it for 300 s
    alive = stage.is_alive()
    stage.kill()
    assert not alive and stage.exitcode == 0 and len(list(tmp_path.glob("*.parquet"))) == 2


def test_a_claimed_cell_is_left_to_its_owner_and_taken_over_when_that_dies(tmp_path):
    owner = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / ".b.lock")], stdout=subprocess.PIPE)
    try:
        assert owner.stdout.readline() == b"held\n"
        order = []

        def noted(name):
            order.append(name)
            if name == "c":  # the last that is free; soon the owner dies
                threading.Timer(0.3, owner.kill).start()
            return make(name)

        started = time.monotonic()
        made = run_cells(tmp_path, ["a", "b", "c"], noted)
    finally:
        owner.kill()
    assert order == ["a", "c", "b"] and set(made) == {"a", "b", "c"} and time.monotonic() - started < 30


def test_every_post_is_predicted_from_other_folds_and_scored_by_seed(demo_run, monkeypatch):
    clock = SimpleNamespace(process_time=itertools.count().__next__, perf_counter=itertools.count(step=3).__next__)
    monkeypatch.setattr(study, "time", clock)
    monkeypatch.setattr(study, "_reset_peak", lambda: 5.0)
    monkeypatch.setattr(study, "_peak", lambda: 12.0)
    data = load_data("image")
    folds, y = load_folds("image", data), data.labels

    def fit_predict(part, seed):
        return np.full(len(part.query), y[part.train].mean()) + seed * (part.query % 3)

    table, costs = cross_predict("image", data, folds, (0, 10), fit_predict)
    for part in fold_parts(parts_of(data, folds, Split())):
        assert table.loc[data.ids[part.query], "seed0"].to_numpy() == pytest.approx(y[part.train].mean())
    of_seeds = {"fit_seconds_of_seed": [1, 1], "fit_wall_seconds_of_seed": [3, 3]}
    assert costs == {"fit_seconds": 1, "fit_wall_seconds": 3, "fit_mb": 7} | of_seeds, "of one fit"
    scores = seed_scores("image", data, folds, table)
    true, held = pd.Series(y, data.ids).loc[folds.index], folds["holdout"]
    assert scores.loc["seed10", "cv_src"] == pytest.approx(src(true, table["seed10"]))
    assert scores.loc["seed10", "holdout_mae"] == pytest.approx(mae(true[held], table["seed10"][held]))
    flat = spread(scores)
    assert flat["cv_mae"] == pytest.approx(scores["cv_mae"].mean())
    assert flat["cv_mae_sd"] == pytest.approx(abs(scores["cv_mae"].diff().iloc[1]) / 2)


def test_a_study_of_other_folds_is_refused(demo_run):
    data = load_data("image")
    folds = load_folds("image", data, "random")
    with pytest.raises(DataError, match="without --scheme"):
        cross_predict("image", data, folds, (0,), lambda part, seed: np.zeros(len(part.query)))


def test_a_gain_is_that_of_the_holdouts_posts_with_each_users_together(demo_run):
    data = load_data("image")
    folds, rng = load_folds("image", data), np.random.default_rng(0)
    a, b = (pd.DataFrame(rng.normal(6, 1, (len(folds), 2)), folds.index).assign(fold=folds["fold"]) for _ in "ab")
    posts = data.items.assign(label=data.labels).loc[folds.index]
    late = posts["time"] > posts["time"][~folds["holdout"]].max()
    ours, theirs = (table.loc[late.to_numpy(), [0, 1]].to_numpy() for table in (a, b))
    y, user = posts["label"][late].to_numpy(), posts["user_id"][late].cat.codes.to_numpy()
    wanted = gain(SRC, y, ours, theirs, user, tried=7)
    assert held_gain("image", data, folds, SRC, a, b, tried=7) == wanted


def test_systems_stand_side_by_side_on_the_seeds_that_both_have():
    rng = np.random.default_rng(0)
    y, user = rng.normal(6, 2, 200), np.repeat(np.arange(40), 5)
    good, poor, one = (y[:, None] + s * rng.normal(size=(200, k)) for s, k in ((0.2, 3), (1.0, 2), (2.0, 1)))
    predicted = {"good": good, "poor": poor, "one": one}
    table = side_by_side(MAE, y, predicted, [("good", "poor"), ("one", "good"), ("poor", "poor")], user)
    errors = {name: np.abs(y[:, None] - p).mean(axis=0) for name, p in predicted.items()}
    expected = [(errors["good"][:2], errors["poor"]), (np.repeat(errors["one"], 3), errors["good"])]
    for (_, row), (own, other) in zip(table.iterrows(), expected):
        assert row["seeds"] == len(own)
        assert row[["mae", "other mae"]].tolist() == pytest.approx([own.mean(), other.mean()])
        assert row[["sd", "other sd"]].tolist() == pytest.approx([own.std(), other.std()])
        assert row["gain"] == pytest.approx((other - own).mean())
    asked = gain(MAE, y, good[:, :2], poor, user, tried=3)
    assert table.loc[0, ["se", "p"]].tolist() == [asked.se, asked.p]
    said = claims(table, MAE)
    assert [c["answer"] for c in said] == ["yes", "no", "not resolved"]
    assert said[0]["claim"] == "good is better than poor"
    own, other = expected[0]
    assert said[0]["numbers"].startswith(
        f"mae {own.mean():.3f} and {other.mean():.3f}, gain {(other - own).mean():+.3f}"
    )


def test_every_answer_is_printed_with_its_numbers(capsys):
    say(
        [{"claim": "a is better", "answer": "yes", "numbers": "+1"}, {"claim": "b is", "answer": "no", "numbers": "-1"}]
    )
    assert capsys.readouterr().out == "a is better\n  -> yes: +1\nb is\n  -> no: -1\n"
