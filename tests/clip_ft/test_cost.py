"""The measurements of speed run on a tiny model, and count what they say they count."""

import numpy as np
import pytest
import torch

from smp.bench.tabular import project
from smp.clip_ft import cost
from smp.disk.store import read_embeddings
from smp.encoders import Loading
from smp.encoders.clip import Clip


@pytest.fixture
def tiny_model(tiny, monkeypatch):
    from open_clip.transform import PreprocessCfg, image_transform_v2

    transform = image_transform_v2(PreprocessCfg(size=32), is_train=False)
    monkeypatch.setattr(cost, "random_clip", lambda _: Clip(tiny.tiny_clip(), transform, tiny.tokenizer(), "tiny"))


def test_a_linear_layer_costs_two_flops_a_weight():
    assert cost.counted(lambda: torch.nn.Linear(30, 20)(torch.zeros(7, 30))) == 2 * 7 * 30 * 20


def test_extraction_and_both_kinds_of_epoch_are_measured(tiny, tiny_model, tmp_path):
    posts = tiny.make_posts(12)
    paths = cost.draw_pictures(tmp_path / "pictures", 12)
    made = cost.extraction("tiny", posts, paths, tmp_path, Loading(batch_size=5, workers=0, precision="fp32"))
    assert {f"{kind}_{way}" for kind in ("image", "text") for way in ("bare", "loader", "store")} < {*made}
    assert np.isnan(made.pop("device_gb")) and all(v > 0 for v in made.values())
    assert len(read_embeddings(tmp_path, "clip_image")[1]) == 12
    for from_store in (True, False):
        assert cost.epoch("tiny", posts, paths, tmp_path, from_store, workers=0)["epoch_seconds"] > 0


def test_a_step_is_the_prompts_pass_and_every_posts_share(tiny, tiny_model):
    one, two = (cost.flops("tiny", ["dog", "cat"], length=5, batch_size=b) for b in (1, 64))
    assert one["prompts"] == two["prompts"] > 0
    assert 0 < two["heads"] < one["heads"]  # what the prototypes cost among themselves is shared
    layer = 2 * 32 * (4 + 8) * 32  # FLOPs a token of each of two layers, beside its attention
    assert 2 * 7 * layer < two["text"] < 2 * 2 * 7 * layer
    reached = {"decode": 0.01, "tflops": 100, "launch": 10}
    costs = [project("tiny", two | {"operations": 100}, 20.0, 1e5, gpus, **reached) for gpus in (1, 8)]
    assert costs[0]["encode_hours"] == pytest.approx(8 * costs[1]["encode_hours"])
    assert costs[1]["train_hours"] < costs[0]["train_hours"] < 8 * costs[1]["train_hours"]
    folds = 305_495 * 4 // 5  # posts of SMPD's training set that a fold's model learns from, within .1 %
    for made, turns in zip(costs, (5, 1)):  # five trainings, one GPU after another or eight at once; a step is 1 ms
        steps = 4 * (486_000 + turns * folds) / 128
        assert made["launch_hours"] == pytest.approx(steps * 1e-3 / 3600, rel=1e-3)


def test_launches_are_operations_without_views_and_a_step_is_measured(tiny, tiny_model, monkeypatch):
    x = torch.ones(3, 4, requires_grad=True)
    with cost.Launches() as counter:
        (x.T.reshape(-1)[:5] * 2).sum().backward()
    # reshape of the transpose copies; a product, a sum; backward: a one to start from, the product, and what the
    # slice and the reshape are made of again: zeros with a part copied in
    assert 6 <= counter.count <= 10
    with cost.Launches() as counter:
        x.detach().T[1:].unsqueeze(0).expand(5, 3, 3)
    assert counter.count == 0
    monkeypatch.setattr(cost, "seconds", lambda run: run() or 0.5)
    made = cost.stepping("tiny", ["dog", "cat"], length=5, batch_size=8, repeats=2)
    more = cost.stepping("tiny", ["dog", "cat"], length=9, batch_size=16, repeats=2)
    assert made["operations"] == more["operations"] > 100, "whatever the batch"
    assert made["steps_per_second"] == 4 and made["launching"] != made["launching"] and made["device"] == "CPU"
