"""The representation's experiments end to end on generated posts with pictures: the real entry points, briefly."""

import json
import os
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import save_file

from smp import features, paths
from smp.disk.pictures import load_rgb
from smp.disk.store import read_embeddings, read_table, write_embeddings, write_json
from smp.paths import ROOT
from smp.tracks import demo
from smp.tracks.load import load_data

sys.path.insert(0, str(Path(__file__).parents[1]))  # the server's children find it there too
import forked

POSTS = 200
BUDGET = ("3", "3", "0", "0", "2", "0", "0")


@pytest.fixture(scope="module")
def pictured(tmp_path_factory):
    """Folder of generated posts with pictures."""
    folder = tmp_path_factory.mktemp("pictured") / "input"
    demo.generate(folder, posts=POSTS, seed=3, only=("image",))
    return folder


@pytest.fixture
def run(pictured, tmp_path, monkeypatch):
    """exp name, arguments -> metrics.json, in a project of generated posts."""
    monkeypatch.setenv("SMP_INPUT", str(pictured))
    for name in ("output", "submissions"):
        monkeypatch.setenv(f"SMP_{name.upper()}", str(tmp_path / name))
    monkeypatch.setenv("SMP_PROFILE", "small")
    monkeypatch.setattr("smp.evidence.DRAWS", 16)

    def experiment(name: str, *arguments: str) -> dict:
        script = str(ROOT / "exp" / name / "train.py")
        monkeypatch.setattr(sys, "argv", [script, *arguments])
        runpy.run_path(script, run_name="__main__")
        return json.loads((paths.output("image") / name / "metrics.json").read_text())

    yield experiment


def test_from_pictures_to_clip_ft_features(run):
    pretraining = run("exp000_small_clip", "--clip.pairs-seen", "380", "--clip.batch-size", "32", "--workers", "0")
    assert pretraining["loss"][-1] < pretraining["loss"][0]
    run("exp002_clip", "--loading.workers", "0")
    metrics = run("exp001_clip_ft", "--train.epochs", "2", "--pca", *BUDGET)
    data, folder = load_data("image"), paths.output("image") / "exp001_clip_ft"
    made = features.load("image", ["clip_image", "clip_text", "clip_ft", "clip_ft_pca", "clip_ft_stats"], data)
    assert made.shape == (POSTS, 128 + 128 + 7 * 128 + 8 + 11)
    losses = read_table(folder / "losses.parquet")
    assert losses.index.equals(data.ids[data.labelled])
    assert metrics["accuracy"]["after"]["rows"] == np.isfinite(losses["cross"]).sum() > 60
    assert metrics["loss"][-1] < metrics["loss"][0]
    assert (folder / "all_prototypes.png").exists()
    parent = paths.output("image") / "exp005_resnet_bert"  # which has a test of its own
    write_json(parent / "metrics.json", {"track": "image"})
    for name in ("resnet_image_pca", "bert_text_pca"):
        write_embeddings(paths.features("image"), name, data.ids, np.random.default_rng(0).normal(size=(POSTS, 64)))
    brief = ("--learner.rounds", "10", "--seeds", "0", "1")
    assert run("exp015_clip_ft", *brief)["holdout"]["rows"] > 20
    metrics = run("exp035_representations", *brief)
    study, answers = metrics["representations"], metrics["answers"]
    assert [a["claim"] for a in answers] == [
        "frozen CLIP beats no pixels (SRC and MAE)",
        "CLIP_FT beats frozen CLIP (SRC and MAE)",
    ]
    assert f"{study['CLIP_FT']['forward mae over frozen CLIP']:+.4f}" in answers[1]["numbers"]
    assert study["frozen CLIP"]["columns"] == study["CNN + BERT"]["columns"] == study["no pixels"]["columns"] + 128
    assert study["CLIP_FT, F whole"]["columns"] == study["no pixels"]["columns"] + 7 * 128 + 11
    assert study["no pixels"]["holdout src over no pixels"] == 0
    assert study["CLIP_FT"]["forward mae over frozen CLIP, se"] > 0
    assert (paths.output("image") / "exp035_representations" / "representations.png").exists()
    name, places = "exp036_clip_ft_options", {"log": paths.output("image") / "logs", "environment": dict(os.environ)}
    for rank in forked.start_ranks(2, ROOT / "exp" / name / "train.py", *brief, **places):
        assert rank.end().returncode == 0, rank.stderr
    options = json.loads((paths.output("image") / name / "metrics.json").read_text())["answers"]
    assert len(options) == 5 and all(a["answer"] in ("yes", "no", "not resolved") for a in options)
    written = {p: p.stat().st_mtime_ns for p in folder.iterdir()}
    run("exp001_clip_ft", "--train.epochs", "2", "--pca", *BUDGET)  # finished: nothing is done again
    assert {p: p.stat().st_mtime_ns for p in folder.iterdir()} == written
    run("exp006_clip_title_tags", "--loading.workers", "0")
    run("exp002_clip", "--loading.workers", "0", "--description", "title", "--force")
    (folder / "metrics.json").unlink()  # nor may a broken-off run go on from models of the old features
    refused = pytest.raises(SystemExit, match="made with other parents; keep both with --variant NAME or start again")
    with refused:
        run("exp001_clip_ft", "--train.epochs", "2", "--pca", *BUDGET)
    with refused:
        run("exp006_clip_title_tags", "--loading.workers", "0")
    run("exp000_small_clip", "--clip.pairs-seen", "48", "--clip.batch-size", "48", "--workers", "0", "--force")
    with refused:
        run("exp002_clip", "--loading.workers", "0", "--description", "title")


def test_two_machines_store_the_embeddings_of_one_process(run, tiny, tmp_path, monkeypatch):
    """The real scripts in two ranks that meet over TCP, as two machines on one file system would."""
    card = {"embed_dim": tiny.DIM, "vision_cfg": tiny.VISION, "text_cfg": tiny.TEXT}
    (tmp_path / "clip").mkdir()
    (tmp_path / "clip" / "open_clip_config.json").write_text(json.dumps({"model_cfg": card, "preprocess_cfg": {}}))
    save_file(tiny.tiny_clip().state_dict(), tmp_path / "clip" / "open_clip_model.safetensors")
    loading = ("--loading.workers", "0", "--loading.shard-size", "64")
    steps = (
        ("exp002_clip", "--model", f"local-dir:{tmp_path / 'clip'}", "--pca", "8", *loading),
        ("exp001_clip_ft", "--train.epochs", "1", "--pca", *"0000000", "--loading.shard-size", "64"),
    )
    places = {"log": tmp_path / "logs", "environment": os.environ | {"SMP_OUTPUT": str(tmp_path / "two")}}
    for name, *arguments in steps:
        ranks = forked.start_ranks(2, ROOT / "exp" / name / "train.py", *arguments, **places)
        run(name, *arguments)
        for rank in ranks:
            assert rank.end().returncode == 0, rank.stderr
    names = ("clip_image", "clip_text", "clip_tokens", "clip_ft", "clip_ft_probabilities")
    stored = [[read_embeddings(paths.features("image"), name) for name in names]]
    monkeypatch.setenv("SMP_OUTPUT", str(tmp_path / "two"))
    stored.append([read_embeddings(paths.features("image"), name) for name in names])
    for name, (ids, one), (other_ids, two) in zip(names, *stored):
        assert ids.equals(other_ids)
        # a step of float16 is at most 2^-10 of a value; what Adam learns moves with the order gradients are summed in
        np.testing.assert_allclose(
            np.float32(two), np.float32(one), rtol=2**-10, atol=1e-3 if "_ft" in name else 1e-6, err_msg=name
        )


def test_a_missing_parent_is_named(run, capfd):
    with pytest.raises(SystemExit) as stopped:
        run("exp001_clip_ft")
    assert "python exp/exp002_clip/train.py" in str(stopped.value)


def test_the_baselines_run_with_what_packages_carry(run):
    pictures = [paths.data("image") / path for path in load_data("image").items["image_path"]]
    broken = sum(load_rgb(str(path)) is None for path in pictures)
    blip = run("exp003_blip", "--loading.workers", "0")
    assert "RANDOM" in blip["blip_image"]["source"] and blip["blip_image"]["unreadable"] == broken > 0
    assert "unreadable" not in blip["blip_text"]
    assert "RANDOM" in run("exp004_vit_bert", "--loading.workers", "0")["vit_image"]["source"]
    made = run("exp005_resnet_bert", "--loading.workers", "0", "--image-size", "64")
    assert "minilm" in made["bert_text"]["source"] and 0.3 < made["resnet_image"]["pca_variance"] <= 1
    names = ["blip_image", "blip_text", "vit_image", "bert_text", "resnet_image"]
    data = load_data("image")
    assert features.load("image", names, data).shape == (POSTS, 64 + 64 + 64 + 384 + 1280)
    assert features.load("image", [f"{name}_pca" for name in names], data).shape == (POSTS, 5 * 64)
