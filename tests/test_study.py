"""Cells of a study: made once, gone on with, shared by processes, and never blocked by a dead one."""

import multiprocessing
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from smp.errors import DataError
from smp.folds import load_folds
from smp.metrics import mae, src
from smp.oof import fold_parts, parts_of
from smp.study import cross_predict, run_cells, seed_scores, spread
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
            if name == "c":  # the last that is free; now the owner dies
                owner.kill()
            return make(name)

        started = time.monotonic()
        made = run_cells(tmp_path, ["a", "b", "c"], noted)
    finally:
        owner.kill()
    assert order == ["a", "c", "b"] and set(made) == {"a", "b", "c"} and time.monotonic() - started < 30


def test_every_post_is_predicted_from_other_folds_and_scored_by_seed(demo_run):
    data = load_data("image")
    folds, y = load_folds("image", data), data.labels

    def fit_predict(part, seed):
        return np.full(len(part.query), y[part.train].mean()) + seed * (part.query % 3)

    table, costs = cross_predict("image", data, folds, (0, 10), fit_predict)
    for part in fold_parts(parts_of(data, folds, Split())):
        assert table.loc[data.ids[part.query], "seed0"].to_numpy() == pytest.approx(y[part.train].mean())
    assert costs["fit_seconds"] >= 0
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
