"""Training: what learns and what must not, exact resume, the same losses however the work is split."""

import os
import pickle
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from smp.clip_ft.fit import fit, kept, out_of_fold
from smp.clip_ft.model import ClipFT, ModelConfig, losses
from smp.clip_ft.towers import Towers
from smp.clip_ft.train import TrainConfig
from smp.errors import DataError
from smp.nn import parallel

sys.path.insert(0, str(Path(__file__).parents[1]))  # the server's children find it there too
import forked

EVERYONE = np.ones(120, bool)


def state(step) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in step.state_dict().items()}


def same(a: dict, b: dict) -> bool:
    return all(torch.equal(a[k], b[k]) for k in a)


def test_the_towers_do_not_move_and_get_no_gradient_while_everything_else_learns(tiny, tmp_path):
    task = tiny.make_task(tmp_path)
    towers = {k: v.clone() for k, v in task.net.state_dict().items()}
    before, after, history = fit(task, EVERYONE, tmp_path, "all")
    assert same(towers, task.net.state_dict())
    assert all(p.grad is None and not p.requires_grad for p in after.towers.parameters())
    changed = {k for k, v in before.model.named_parameters() if not torch.equal(v, after.model.get_parameter(k))}
    assert changed == {k for k, _ in before.model.named_parameters()}
    assert sum(history[-1]) < sum(history[0])


def test_a_stopped_run_ends_where_an_uninterrupted_one_does_bit_for_bit(tiny, tmp_path, monkeypatch):
    task = tiny.make_task(tmp_path, TrainConfig(learning_rate=1e-2, epochs=4, batch_size=32, workers=0))
    _, whole, history = fit(task, EVERYONE, tmp_path / "whole", "all")

    def killed_after_two_epochs(file, state):
        real_save(file, state)
        if len(state["history"]) == 2 * 4:  # steps
            raise KeyboardInterrupt

    real_save = parallel.save_checkpoint
    monkeypatch.setattr(parallel, "save_checkpoint", killed_after_two_epochs)
    with pytest.raises(KeyboardInterrupt):
        fit(task, EVERYONE, tmp_path / "stopped", "all")
    monkeypatch.undo()
    _, resumed, again = fit(task, EVERYONE, tmp_path / "stopped", "all")
    assert same(state(whole), state(resumed)) and history == again


def test_a_finished_checkpoint_is_loaded_and_one_of_another_config_refused(tiny, tmp_path):
    task = tiny.make_task(tmp_path)
    _, first, _ = fit(task, EVERYONE, tmp_path, "all")
    written = (tmp_path / "all.pt").stat().st_mtime_ns
    _, second, _ = fit(task, EVERYONE, tmp_path, "all")
    assert same(state(first), state(second)) and (tmp_path / "all.pt").stat().st_mtime_ns == written
    for other in (
        replace(task, train=replace(task.train, learning_rate=1.0)),
        replace(task, model=replace(task.model, tau_s=0.1)),
    ):
        with pytest.raises(DataError, match="another config"):
            fit(other, EVERYONE, tmp_path, "all")


def test_a_kept_model_is_the_one_that_was_trained(tiny, tmp_path):
    task = tiny.make_task(tmp_path)
    _, step, _ = fit(task, EVERYONE, tmp_path, "all")
    again = kept(Towers(tiny.tiny_clip(), tiny.tokenizer()), task.classes, task.model, tmp_path / "all.pt")
    assert same(state(step), state(again))
    batch = task.inputs.batch(np.arange(20))
    assert torch.equal(step(batch), again(batch))


def test_the_contrast_is_a_fourth_loss_that_counts_by_its_weight(tiny, tmp_path):
    model = ModelConfig(shots=8, intervals=3, context_length=4, heads=2, contrast=0.25)
    task = tiny.make_task(tmp_path, model=model)
    _, step, _ = fit(task, EVERYONE, tmp_path, "all")
    batch = task.inputs.batch(np.arange(20))
    with torch.no_grad():
        made, features = step(batch), step.towers.features(batch)
        logits, x, _ = step.model(features, *step.model.classes(step.towers.text))
    torch.testing.assert_close(made[:, :3], torch.stack(list(losses(logits, batch["label"]).values()), 1))
    z = step.towers.scale * (x / x.norm(dim=1, keepdim=True)) @ features.text.T
    there, back = (m.logsumexp(1) - m.diagonal() for m in (z, z.T))
    torch.testing.assert_close(made[:, 3], 0.25 * (there + back) / 2, rtol=1e-4, atol=1e-5)


def test_nothing_to_train_on_is_said(tiny, tmp_path):
    with pytest.raises(DataError, match="no post to train on"):
        fit(tiny.make_task(tmp_path), ~EVERYONE, tmp_path, "all")


def test_accumulated_parts_give_the_steps_of_whole_batches(tiny, tmp_path):
    task = tiny.make_task(tmp_path)
    _, _, whole = fit(task, EVERYONE, tmp_path / "whole", "all")
    parts = replace(task, train=replace(task.train, accumulate=3))
    _, _, accumulated = fit(parts, EVERYONE, tmp_path / "parts", "all")
    np.testing.assert_allclose(accumulated, whole, rtol=1e-5)


def test_mixed_precision_learns_the_same(tiny, tmp_path, monkeypatch):
    """The autocast of a GPU, on the CPU: what it reads, and that float32 is kept where it matters."""
    train = TrainConfig(epochs=2, batch_size=32, workers=0, unfreeze_text=1, unfreeze_image=1)
    task = pixel_task(tiny, tmp_path, train)
    _, _, exact = fit(task, EVERYONE, tmp_path / "exact", "all")
    mixed = lambda *_: torch.autocast("cpu", dtype=torch.bfloat16)  # noqa: E731
    monkeypatch.setattr("smp.nn.loop.autocast", mixed)
    monkeypatch.setattr("smp.clip_ft.fit.autocast", mixed)
    _, step, rounded = fit(task, EVERYONE, tmp_path / "mixed", "all")
    np.testing.assert_allclose(rounded, exact, rtol=0.05)
    assert all(p.dtype == torch.float32 for p in step.parameters())


def test_half_precision_is_accepted_on_the_cpu_and_changes_nothing_there(tiny, tmp_path):
    task = tiny.make_task(tmp_path)
    half = replace(task, train=replace(task.train, precision="fp16"))
    (_, a, exact), (_, b, rounded) = (fit(t, EVERYONE, tmp_path / t.train.precision, "all") for t in (task, half))
    assert same(state(a), state(b)) and exact == rounded


def test_a_constant_schedule_keeps_the_rate_and_cosine_ends_near_zero(tiny, tmp_path, monkeypatch):
    rates = {}
    for schedule in ("constant", "cosine"):
        said = rates[schedule] = []
        monkeypatch.setattr(
            torch.optim.AdamW, "step", lambda self, *_, said=said, **__: said.append(self.param_groups[0]["lr"])
        )
        train = TrainConfig(learning_rate=1e-2, epochs=2, batch_size=32, workers=0, schedule=schedule)
        fit(tiny.make_task(tmp_path, train), EVERYONE, tmp_path / schedule, "all")
    assert rates["constant"] == [1e-2] * 8
    np.testing.assert_allclose(rates["cosine"], [5e-3 * (1 + np.cos(np.pi * k / 8)) for k in range(8)])


def test_each_temperature_scales_the_logits_of_its_branches(tiny, tmp_path):
    """eq. 4, 5 and 7: the similarity divided by tau; None is the temperature the towers were pretrained with."""

    def logits(**taus):
        model = ModelConfig(shots=8, intervals=3, context_length=4, heads=2, **taus)
        task = tiny.make_task(tmp_path, TrainConfig(epochs=0, workers=0, batch_size=32), model)
        towers = Towers(task.net, task.tokenizer)
        torch.manual_seed(0)
        V, T = torch.nn.functional.normalize(torch.randn(2, 4, tiny.DIM), dim=-1)
        made = ClipFT(towers.text, towers.scale, task.classes, V, T, model)
        batch = task.inputs.batch(np.arange(6), seed=0)
        with torch.no_grad():
            said, *_ = made(towers.features(batch), *made.classes(towers.text))
        return said, towers.scale

    plain, scale = logits()
    for option, branches in (
        ("tau_v", {"visual"}),
        ("tau_t", {"textual"}),
        ("tau_text", {"global_text", "local_text"}),
    ):
        said, _ = logits(**{option: 0.5})
        for name, z in said._asdict().items():
            factor = 1 / 0.5 / scale if name in branches else 1
            torch.testing.assert_close(z, getattr(plain, name) * factor, rtol=1e-5, atol=1e-6)


def test_two_ranks_give_the_losses_of_one_process(tiny, tmp_path):
    tiny.write_store(tmp_path, tiny.make_posts())
    worker, places = Path(__file__).with_name("worker.py"), {"log": tmp_path / "logs", "environment": dict(os.environ)}
    one = forked.start(worker, str(tmp_path), "one", **places)
    for run in (one, *forked.start_ranks(2, worker, str(tmp_path), "two", **places)):
        assert run.end().returncode == 0, run.stderr
    one, two = (torch.load(tmp_path / f"{name}.out", weights_only=True) for name in ("one", "two"))
    torch.testing.assert_close(two["history"], one["history"], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(two["features"], one["features"], rtol=2**-9, atol=2e-4)  # float16
    assert two["steps"] == one["steps"] == 16
    # a fold's model is one rank's alone
    torch.testing.assert_close(two["losses"], one["losses"], rtol=1e-4, atol=1e-5, equal_nan=True)
    assert [two["accuracy"][when]["rows"] for when in ("before", "after")] == [120, 120]


@pytest.mark.parametrize("shared", ["accumulate", "ranks"])
def test_contrast_is_refused_where_no_process_sees_a_batch_whole(tiny, tmp_path, monkeypatch, shared):
    config = TrainConfig(epochs=1, workers=0, batch_size=32, accumulate=2 if shared == "accumulate" else 1)
    model = ModelConfig(shots=8, intervals=3, context_length=4, heads=2, contrast=0.5)
    if shared == "ranks":
        monkeypatch.setattr("smp.clip_ft.fit.ranks", lambda: (0, 2))
    with pytest.raises(DataError, match=r"all: contrast tells .*; use accumulate 1 and one process.*, or contrast 0$"):
        fit(tiny.make_task(tmp_path, config, model), EVERYONE, tmp_path, "all")


def test_classes_without_posts_get_no_probability_and_cost_nothing(tiny, tmp_path):
    task = tiny.make_task(tmp_path)
    allowed = task.inputs.label != 3
    _, step, history = fit(task, allowed, tmp_path, "all")
    assert step.model.known.tolist() == [True, True, True, False]
    assert np.isfinite(history).all() and max(history[0]) < 20


@pytest.mark.parametrize(("image", "text"), [(1, 0), (0, 1), (2, 2)])
def test_unfrozen_blocks_are_trained_from_pixels_and_the_rest_stays(tiny, tmp_path, image, text):
    train = TrainConfig(
        epochs=1,
        batch_size=64,
        workers=0,
        unfreeze_image=image,
        unfreeze_text=text,
        tower_learning_rate=1e-3,
        checkpoint_gradients=text > 0,
    )
    task = pixel_task(tiny, tmp_path, train)
    pretrained = {k: v.clone() for k, v in task.net.state_dict().items()}
    before, after, _ = fit(task, EVERYONE, tmp_path, "all")
    assert same(pretrained, task.net.state_dict())  # each fit starts from the pretrained towers
    moved = {k for k, v in after.towers.net.state_dict().items() if not torch.equal(v, pretrained[k])}
    last = [f"visual.transformer.resblocks.{2 - i}." for i in range(1, image + 1)]
    last += ["visual.ln_post", "visual.proj"] if image else []
    last += [f"transformer.resblocks.{2 - i}." for i in range(1, text + 1)]
    last += ["ln_final", "text_projection"] if text else []
    assert {next((prefix for prefix in last if k.startswith(prefix)), k) for k in moved} == set(last)
    assert torch.equal(before.model.V, after.model.V) != (image > 0)  # prototypes follow their tower
    assert torch.equal(before.model.T, after.model.T) != (text > 0)


def test_lower_blocks_learn_more_slowly(tiny):
    groups = Towers(tiny.tiny_clip(), tiny.tokenizer()).unfreeze(2, 1, rate=1e-3, decay=0.5)
    assert [group["lr"] for group in groups] == [1e-3, 5e-4, 1e-3]
    with pytest.raises(DataError, match="2 blocks"):
        Towers(tiny.tiny_clip(), tiny.tokenizer()).unfreeze(3, 0, rate=1e-3, decay=0.5)


def test_pixels_are_augmented_by_post_and_epoch_alone(tiny, tmp_path):
    inputs = pixel_task(tiny, tmp_path, TrainConfig(unfreeze_image=1)).inputs
    a, b = inputs.batch(np.array([3, 5]), seed=1), inputs.batch(np.array([5, 7]), seed=1)
    assert torch.equal(a["pixels"][1], b["pixels"][0])
    assert not torch.equal(a["pixels"][1], inputs.batch(np.array([5]), seed=2)["pixels"][0])


def test_out_of_fold_losses_are_of_models_that_did_not_see_the_post(tiny, tmp_path):
    task = tiny.make_task(tmp_path)
    fold = np.where(np.arange(120) < 100, np.arange(120) % 2, -1)
    table, accuracy = out_of_fold(task, fold, tmp_path)
    assert table.index.equals(task.posts.index[:100]) and np.isfinite(table["loss_cross"]).all()
    said = task.inputs.store.tokens(np.arange(100))[1].any(1)
    assert np.isfinite(table["loss"]).tolist() == said.tolist()
    assert accuracy["after"]["rows"] == 100 and accuracy["after"]["loss"] < accuracy["before"]["loss"]
    np.testing.assert_allclose(
        table["loss"], table[["loss_global", "loss_local", "loss_cross"]].sum(axis=1, skipna=False), rtol=1e-5
    )
    other = task.inputs.label.copy()
    other[np.flatnonzero(fold == 0)[0]] = (other[np.flatnonzero(fold == 0)[0]] + 1) % 4
    changed = replace(task, inputs=replace(task.inputs, label=other))
    again, _ = out_of_fold(changed, fold, tmp_path / "again")
    rows = np.flatnonzero(fold == 0)[1:]  # fold 0's own labels never reach the model that judges it
    np.testing.assert_array_equal(table["loss"].iloc[rows], again["loss"].iloc[rows])


def test_a_fold_without_a_picture_is_left_out(tiny, tmp_path):
    fold = np.arange(120) // 40
    lacking = (fold == 1) | (np.arange(120) == 5)
    tiny.write_store(tmp_path, tiny.make_posts(), missing=tuple(np.flatnonzero(lacking)))
    table, accuracy = out_of_fold(tiny.make_task(tmp_path), fold, tmp_path)
    assert np.isfinite(table["loss_cross"]).tolist() == (~lacking).tolist() and accuracy["after"]["rows"] == 79
    assert not (tmp_path / "fold1.pt").exists()
    with pytest.raises(DataError, match="no training post has a class and a readable picture"):
        out_of_fold(tiny.make_task(tmp_path), np.where(fold == 1, 0, -1), tmp_path)


@pytest.mark.parametrize("unfrozen", [0, 1])
def test_what_a_worker_is_sent_is_small_and_makes_the_same_batches(tiny, tmp_path, unfrozen):
    inputs = pixel_task(tiny, tmp_path, TrainConfig(unfreeze_image=unfrozen)).inputs
    sent = pickle.dumps(inputs)
    plain, opened = (i.batch(np.array([3, 5]), seed=1) for i in (inputs, pickle.loads(sent)))
    assert same(plain, opened)
    assert all(array.tobytes()[:64] not in sent for array in inputs.store._maps.values()), "names of maps alone"
    assert not unfrozen or plain["pixels"].dtype == torch.uint8


def pixel_task(tiny, folder, train):
    rng = np.random.default_rng(0)
    paths = [str(folder / f"{i}.png") for i in range(120)]
    for path in paths:
        Image.fromarray(rng.integers(0, 255, (40, 48, 3), dtype=np.uint8)).save(path)
    from open_clip.transform import PreprocessCfg, image_transform_v2

    card = PreprocessCfg(size=32)
    pixels = {
        "paths": paths,
        "transform": image_transform_v2(card, is_train=False),
        "augment": image_transform_v2(card, is_train=True, aug_cfg={"scale": (0.5, 1.0)}),
    }
    texts = {"texts": [f"a photo of thing {i % 4}" for i in range(120)], "tokenize": tiny.tokenizer()}
    return tiny.make_task(
        folder, train, **(pixels if train.unfreeze_image else {}), **(texts if train.unfreeze_text else {})
    )
