"""The room from raw files to the fusion, on generated cascades; real ones are read where they lie beside us."""

import json
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from smp import features, tracks
from smp.disk.store import read_table
from smp.folds import load_folds
from smp.oof import holdout_of, parts_of
from smp.paths import ROOT
from smp.tracks.cascade import demo
from smp.tracks.cascade.read import read
from smp.tracks.load import load_data

TOOL = ROOT.parent / "shared" / "tools" / "make_tracks.py"
TINY = {
    "exp060_log_linear": (),
    "exp060_linear": (),
    "exp060_lgbm": ("--seeds", "0", "--learner.rounds", "30"),
    "exp060_gru": ("--seeds", "0", "--steps", "3"),
    "exp061_concat": ("--seeds", "0", "--steps", "3", "--length", "12"),
    "exp062_casft": ("--seeds", "0", "--steps", "3", "--length", "12"),
    "exp063_autocas": ("--seeds", "0", "--steps", "3", "--model.model", "RANDOM"),
    "exp069_fusion": ("--trials", "5", "--parents", "exp060_lgbm", "exp060_gru", "exp061_concat", "exp062_casft"),
    "exp064_ingredients": ("--seeds", "0"),
}


@pytest.fixture(scope="module")
def output(run_room):
    return run_room("cascade", lambda folder: demo.write(folder, 100, seed=2), TINY)


def metrics_of(folder):
    return json.loads((folder / "metrics.json").read_text())


def test_metrics_are_those_of_the_papers():
    y, p = np.log2(1 + np.array([0.0, 7, 100])), np.log2(1 + np.array([1.0, 7, 60]))
    scores = tracks.get("cascade").task.scores(y, p, None)
    assert scores["msle"] == pytest.approx(np.mean((p - y) ** 2))
    shares = [(np.log2(3) - 1) / 1, 0, (np.log2(102) - np.log2(62)) / np.log2(102)]
    assert scores["mape"] == pytest.approx(np.mean(shares))
    assert scores["r2"] == pytest.approx(1 - np.mean((p - y) ** 2) / np.var(y)) and scores["src"] == 1


def test_every_system_is_scored_on_the_last_cascades(output):
    data, folds = load_data("cascade"), load_folds("cascade", load_data("cascade"))
    assert folds["fold"].value_counts().to_dict() == {-1: 40, 1: 15, 2: 15, 3: 15, 4: 15}
    part = holdout_of(parts_of(data, folds, tracks.get("cascade").split))
    start = data.items["time"].iloc[part.query].min()
    assert len(part.train) and (data.items["known"].iloc[part.train] <= start).all()
    for name in ("exp060_lgbm", "exp061_concat", "exp062_casft", "exp063_autocas", "exp069_fusion"):
        made = metrics_of(output / name)
        assert set(made["holdout"]) == {"rows", "msle", "mape", "src", "r2"} and made["holdout"]["rows"] == 15
        pred = read_table(output / name / "holdout.parquet").mean(axis=1)
        assert made["holdout"]["msle"] == pytest.approx(np.mean((pred - data.labels[part.query]) ** 2))
    assert (output / "exp061_concat" / "models" / "seed0" / "model.json").exists()


def test_the_study_answers_every_claim_and_shows_a_forecast(output):
    answers = metrics_of(output / "exp064_ingredients")["answers"]
    assert {a["answer"] for a in answers} <= {"yes", "no", "not resolved"} and len(answers) == 25
    table = pd.read_csv(output / "exp064_ingredients" / "ingredients.csv")
    assert {"ConCat without the ODE", "CasFT without a trend", "a plain GRU"} <= set(table["compared with"])
    assert (output / "exp064_ingredients" / "forecast.png").stat().st_size > 10_000


def test_no_family_holds_a_later_event(output):
    data = load_data("cascade")
    seen = data.events["delay"] < data.items["observation"].iloc[0]
    for name, family in tracks.get("cascade").families.items():
        if family.events:
            made = family.build(data.items, events=data.events[seen])
            pd.testing.assert_frame_equal(made, features.build("cascade", name, data))


def test_nearly_a_million_real_events_are_read_in_seconds(tmp_path):
    if not TOOL.exists():
        pytest.skip("the real cascades are not beside the checkout")
    call = [sys.executable, str(TOOL), "cascade", "twitter1516", str(tmp_path)]
    subprocess.run(call, check=True, capture_output=True)
    started = time.process_time()
    data, _ = read(tmp_path)
    assert time.process_time() - started < 30
    assert len(data) == 2074 and len(data.events) > 800_000
