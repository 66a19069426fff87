"""exp040 through its own script on stored embeddings: steps, nesting, and features that follow their embeddings."""

import json
import runpy
import shutil
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from smp import features, paths, runner
from smp.disk.store import read_table, write_embeddings
from smp.folds import load_folds
from smp.paths import ROOT
from smp.tracks.load import load_data

FAST = "--catboost.rounds 6 --catboost.depth 3 --tabnet.epochs 1 --mlp.epochs 1 --pseudo.rounds 1 --trials 5"
FAST += " --text clip_text_pca --metadata post_stats"


@pytest.fixture
def run(demo_run, monkeypatch):
    data = load_data("image")
    rng = np.random.default_rng(0)
    for name in ("clip_image", "clip_text", "clip_image_pca", "clip_text_pca", "clip_title_text", "clip_tags_text"):
        array = rng.normal(size=(len(data), 16))
        write_embeddings(paths.features("image"), name, data.ids, array, {"key": name})

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["train.py", *FAST.split(), *arguments])
        runpy.run_path(str(ROOT / "exp" / "exp040_hyperfusion" / "train.py"), run_name="__main__")

    return call


def test_steps_are_measured_on_the_same_rows_and_choices_see_no_label_of_the_rows_to_predict(
    run, demo_run, monkeypatch
):
    run("--label-features", "label_means")
    folder = demo_run / "exp040_hyperfusion"
    metrics, table = json.loads((folder / "metrics.json").read_text()), pd.read_csv(folder / "steps.csv", index_col=0)
    assert table.loc["with pseudo-labels", "holdout_mae"] == pytest.approx(metrics["holdout"]["mae"], abs=1e-4)
    assert table["holdout_rows"].eq(metrics["holdout"]["rows"]).all()
    assert {"catboost", "tabnet", "mlp", "mean", "blend", "catboost: visual", "catboost: all three"} <= set(table.index)

    data = load_data("image")
    rows = data.ids.isin(load_folds("image", data).query("fold == 1").index)
    flipped = replace(data, labels=np.where(rows, 14 - data.labels, data.labels))
    monkeypatch.setattr(runner, "load_data", lambda track: flipped)
    again = demo_run / "exp040_hyperfusion@flipped"
    for name in ("steps", "tiers"):  # of the other parts, which are not fitted again
        shutil.copytree(folder / name, again / name, ignore=shutil.ignore_patterns("fold[01].*"))
    run("--label-features", "label_means", "--variant", "flipped")
    pd.testing.assert_frame_equal(read_table(again / "fold1.parquet"), read_table(folder / "fold1.parquet"))
    note = [json.loads((f / "steps" / "fold1.json").read_text()) for f in (folder, again)]
    assert note[0] == note[1] and sum(note[0]["weights"].values()) == pytest.approx(1)
    assert not read_table(again / "fold0.parquet").equals(read_table(folder / "fold0.parquet"))


def test_features_made_of_an_embedding_follow_it(run):
    data = load_data("image")
    before = {name: features.key("image", name) for name in ("clusters", "similarity", "post_stats")}
    first = features.load("image", ["clusters", "similarity"], data).dense()
    rows = data.ids[::-1]  # rows are matched by id: the same embedding in another order changes nothing
    image = features.load("image", ["clip_image"], data).dense()
    write_embeddings(paths.features("image"), "clip_image", rows, image[::-1], {"key": "another"})
    assert {n for n, key in before.items() if features.key("image", n) != key} == {"clusters", "similarity"}
    np.testing.assert_allclose(features.load("image", ["clusters", "similarity"], data).dense(), first, atol=1e-3)
    write_embeddings(paths.features("image"), "clip_image", rows, image, {"key": "a third"})
    third = features.load("image", ["similarity"], data).dense()
    assert np.nanmax(np.abs(third - first[:, -5:])) > 0.1
