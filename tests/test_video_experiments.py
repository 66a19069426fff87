"""The experiments of the video track through their own command lines, on generated posts and clips written here."""

import json
import runpy
import shutil
import sys

import av
import numpy as np
import pandas as pd
import pytest

from smp import features, paths
from smp.disk.store import read_table
from smp.metrics import mape
from smp.paths import ROOT
from smp.tracks.load import load_data

TREES = ["--learner.rounds", "10", "--seeds", "0", "--features", "video_stats", "--label-features", "user_labels"]
ARGUMENTS = {
    "exp050_mvp": ["--rounds", "8", "--patience", "8", "--depth", "3", "--inner-folds", "2"],
    "exp051_lgbm": TREES,
    "exp052_catboost": [*TREES, "--learner.depth", "3"],
    "exp053_mlp": ["--learner.epochs", "2", "--seeds", "0", "--features", "video_stats"],
    "exp056_forest": ["--learner.trees", "8", "--features", "video_stats"],
    "exp057_gaussian": ["--features", "video_stats", "video_users", "--learner.sample", "100", "--learner.steps", "5"],
    "exp059_fusion": ["--trials", "5"],
    "exp058_video_months": [],
}


@pytest.fixture
def run(monkeypatch):
    def call(name, *arguments):
        monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
        runpy.run_path(str(ROOT / "exp" / name / "train.py"), run_name="__main__")
        return paths.output("video") / name

    return call


def test_from_the_recipe_to_the_table_of_months(demo_run, run, capsys):
    folders = {name: run(name, *arguments) for name, arguments in ARGUMENTS.items()}
    data = load_data("video")
    steps = pd.read_csv(folders["exp050_mvp"] / "steps.csv", index_col="step")
    recipe = read_table(folders["exp050_mvp"] / "forward.parquet")
    label = pd.Series(data.labels, data.ids)[recipe.index]
    assert steps.loc["the recipe", "mape"] == pytest.approx(mape(label, recipe["pred"]), abs=1e-4)
    plain = mape(label, recipe["pred"] / 1.05)  # turning the factor off is dividing by it
    assert steps.loc["factor 1.05", "mape"] == pytest.approx(plain, abs=1e-4)
    given = steps["mape"] - steps.loc["the recipe", "mape"]
    np.testing.assert_allclose(steps["given_mean"].dropna(), given.drop("the recipe"), atol=2e-4)
    assert set(steps.index) >= {"log transforms", "outlier rule", "TF-IDF + SVD", "tag dates", "Huber loss"}

    table = pd.read_csv(folders["exp058_video_months"] / "months.csv", index_col="model")
    assert set(ARGUMENTS) - set(table.index) == {"exp058_video_months"} and (table["rows"] == len(label)).all()
    assert table.loc["exp050_mvp", "posts"] == pytest.approx(mape(label, recipe["pred"]), abs=1e-4)
    last = recipe["part"].isin(sorted(recipe["part"].unique())[-2:])
    fusion = read_table(folders["exp059_fusion"] / "forward.parquet")["pred"][recipe.index]
    assert table.loc["exp059_fusion", "last_two"] == pytest.approx(mape(label[last], fusion[last]), abs=1e-4)
    assert table.loc["exp059_fusion", "posts"] < table.loc["best constant", "posts"]
    assert (folders["exp058_video_months"] / "months.md").read_text().count("\n") == len(table) + 2


def test_frames_become_a_family_and_missing_videos_are_zero_and_flagged(
    demo_folder, demo_run, run, tmp_path, monkeypatch
):
    shutil.copytree(demo_folder / "smpd_video", tmp_path / "input" / "smpd_video")
    monkeypatch.setenv("SMP_INPUT", str(tmp_path / "input"))
    data = load_data("video")
    posts = data.items
    for i, path in enumerate(posts["video_path"].iloc[:4]):
        file = paths.data("video") / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if i == 2:
            file.write_text("not a video")
            continue
        with av.open(str(file), "w") as container:
            stream = container.add_stream("mpeg4", rate=5)
            stream.width = stream.height = 64
            stream.pix_fmt = "yuv420p"
            for level in range(0, 250, 50):
                pixels = np.full((64, 64, 3), (level, 60 * i, 200), np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            container.mux(stream.encode())
    folder = run(
        "exp055_frames", "--frames", "2", "--dims", "2", "--loading.batch-size", "64", "--loading.workers", "0"
    )
    metrics = json.loads((folder / "metrics.json").read_text())
    assert (metrics["posts"], metrics["files"], metrics["readable"]) == (len(posts), 4, 3)
    X = features.load("video", ["video_frames"], data)
    assert X.names == ("frame_0", "frame_1", "frames_readable")
    values = X.dense()
    assert np.flatnonzero(values[:, 2]).tolist() == [0, 1, 3] and not values[2].any() and not values[4:].any()
    assert len({tuple(row) for row in values[[0, 1, 3], :2]}) == 3
