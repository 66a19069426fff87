"""The training loop against plain torch: what it minimises, how it stops, and that it goes on exactly."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from smp.errors import DataError
from smp.nn import Training, parallel
from smp.nn.blocks import Regression
from smp.nn.loop import epoch_batches, in_memory, train

N = 50
ROWS = np.arange(N)


class Line(nn.Module):
    """A linear map of x, with a share of it dropped in training; `penalty` where it is asked for."""

    def __init__(self, dropout: float = 0.0, penalty: float = 0.0):
        super().__init__()
        with parallel.seeded(1):
            self.map = nn.Sequential(nn.Dropout(dropout), nn.Linear(3, 1), nn.Flatten(0))
        self.factor = penalty

    def forward(self, batch: dict) -> torch.Tensor:
        self.penalty = self.factor * (self.map[1].weight ** 2).sum()
        return self.map(batch["x"])


def data() -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    x = torch.randn(N, 3, generator=g)
    return {"x": x, "target": x @ torch.tensor([1.0, -2, 0.5]) + 1, "weight": torch.rand(N, generator=g)}


def run(config: Training, line: Line | None = None, seed: int = 0, **options):
    line = line or Line()
    return line, train(Regression(line, "l2"), partial(in_memory, data()), ROWS, config, seed, **options)


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


def test_it_takes_the_steps_of_plain_torch_with_weights_penalty_and_clipping():
    config = Training(epochs=3, batch_size=8, learning_rate=0.05, schedule="cosine", clip=0.5)
    line, (losses, _) = run(config, Line(penalty=0.1), seed=4)
    plain, tensors, said = Line(penalty=0.1), data(), []
    optimizer = torch.optim.AdamW(plain.parameters(), lr=0.05, weight_decay=config.weight_decay)
    for epoch in range(3):
        for rows in epoch_batches(ROWS, config, 4, epoch):
            optimizer.param_groups[0]["lr"] = 0.05 * (1 + np.cos(np.pi * len(said) / 21)) / 2
            batch = {k: v[rows] for k, v in tensors.items()}
            loss = ((plain(batch) - batch["target"]) ** 2 * batch["weight"]).mean()
            loss = loss + 0.1 * (plain.map[1].weight ** 2).sum()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(plain.parameters(), 0.5)
            optimizer.step()
            said.append(loss.item())
    np.testing.assert_allclose(losses[:, 0], said, rtol=1e-5)
    for a, b in zip(line.parameters(), plain.parameters()):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_every_epoch_sees_every_row_once_in_another_order_and_drops_what_fills_no_batch():
    config = Training(batch_size=8)
    first, second = (epoch_batches(ROWS, config, 0, epoch) for epoch in (0, 1))
    assert sorted(np.concatenate(first)) == sorted(np.concatenate(second)) == list(ROWS)
    assert not np.array_equal(first[0], second[0])
    assert [len(b) for b in epoch_batches(ROWS, Training(batch_size=8, drop_last=True), 0, 0)] == [8] * 6


@pytest.mark.parametrize("schedule", ["constant", "cosine", "one-cycle"])
def test_a_stopped_training_goes_on_exactly_dropout_and_validation_included(tmp_path, monkeypatch, schedule):
    config = Training(epochs=6, batch_size=8, learning_rate=0.03, schedule=schedule)

    def trained(file):
        line = Line(dropout=0.3)
        validate = lambda: float(line.map[1].weight[0, 0] ** 2)  # noqa: E731
        return run(config, line, checkpoint=file, card={"a": 1}, validate=validate, patience=9)

    whole, expected = trained(tmp_path / "whole.pt")
    real_save = parallel.save_checkpoint

    def killed(file, state):
        real_save(file, state)
        if len(state["validation"]) == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(parallel, "save_checkpoint", killed)
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path / "stopped.pt")
    resumed, again = trained(tmp_path / "stopped.pt")
    assert same(whole, resumed) and torch.equal(expected.losses, again.losses)
    assert expected.validation == again.validation
    assert (tmp_path / "whole.pt").read_bytes() == (tmp_path / "stopped.pt").read_bytes()
    with pytest.raises(DataError, match="another config"):
        run(config, Line(), checkpoint=tmp_path / "stopped.pt", card={"a": 2})


def test_it_stops_when_the_validation_loss_no_longer_sinks_and_keeps_the_best_epoch(tmp_path):
    said, seen, line = [5.0, 3.0, 4.0, 3.5, 1.0], [], Line()

    def validate() -> float:
        assert not line.training
        seen.append(line.map[1].weight.detach().clone())
        return said[len(seen) - 1]

    config = Training(epochs=5, batch_size=8)
    options = {"checkpoint": tmp_path / "all.pt", "validate": validate, "patience": 2}
    _, trained = run(config, line, **options)
    assert trained.validation == said[:4] and len(trained.losses) == 4 * 7
    assert torch.equal(line.map[1].weight, seen[1])
    again, resumed = run(config, Line(), **options)
    assert same(line, again) and resumed.validation == said[:4] and len(seen) == 4  # nothing was trained


def test_what_is_drawn_depends_on_the_seed_and_leaves_the_generator_alone():
    config = Training(epochs=2, batch_size=8)
    before = torch.get_rng_state()
    made = [run(config, Line(dropout=0.3), seed=s)[0] for s in (0, 0, 1)]
    assert same(made[0], made[1]) and not same(made[0], made[2])
    assert torch.equal(torch.get_rng_state(), before)


def test_frozen_parameters_stay_and_are_in_no_checkpoint(tmp_path):
    line = Line()
    line.map[1].bias.requires_grad_(False)
    run(Training(epochs=1), line, checkpoint=tmp_path / "a.pt")
    assert torch.equal(line.map[1].bias, Line().map[1].bias) and not same(line, Line())
    assert list(parallel.load_checkpoint(tmp_path / "a.pt")["learned"]) == ["network.map.1.weight"]


@pytest.mark.parametrize("warmup", [0.1, 0.3, 0.5])
def test_one_cycle_of_any_length_ends_near_zero(warmup, monkeypatch):
    for steps in (1, 2, 3, 4, 10):
        config, rates = Training(epochs=steps, batch_size=N, warmup=warmup), []
        with monkeypatch.context() as patch:
            patch.setattr(torch.optim.AdamW, "step", lambda self, *_: rates.append(self.param_groups[0]["lr"]))  # noqa: B023
            run(config)
        assert len(rates) == steps and max(rates) <= 1e-3 and (steps < 3 or rates[-1] < 1e-7)
