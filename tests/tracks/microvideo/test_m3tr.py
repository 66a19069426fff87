"""M3TR: processes whose parameters are known, retrieval against brute force, and what may change a prediction."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from smp.models.m3tr import M3TR, Hawkes, Keys, MambaHawkes, log_likelihood, nearest, poisson
from smp.nn.loop import Training, in_memory, train
from smp.nn.parallel import seeded
from smp.oof import Part
from smp.tracks.base import Data
from smp.tracks.cascade import demo as cascades
from smp.tracks.cascade.sequences import seconds
from smp.tracks.microvideo import demo, networks
from smp.tracks.microvideo.networks import Fitted, Network
from smp.tracks.microvideo.read import read
from smp.tracks.microvideo.snapshots import Snapshots

BASE, DECAY = np.array([0.6, 0.3]), 1.5
JUMP, BIRTH = np.array([[0.5, 0.0], [0.4, 0.2]]), np.array([2.0, 1.0])  # jump[k, l]: children of kind k that an l draws
END, BINS = 6.0, 120


def branching(n: int, seed: int) -> np.ndarray:
    """(n, BINS, 2) counts of a Hawkes process, drawn generation by generation: no intensity is ever computed."""
    rng, counts = np.random.default_rng(seed), np.zeros((n, BINS, 2))
    who, kind, time = [], [], []
    for k in (0, 1):
        many = rng.poisson(BASE[k] * END, n)
        who.append(np.repeat(np.arange(n), many))
        time.append(rng.uniform(0, END, many.sum()))
        first = rng.poisson(BIRTH[k], n)
        who.append(np.repeat(np.arange(n), first))
        time.append(rng.exponential(1 / DECAY, first.sum()))
        kind.append(np.full(many.sum() + first.sum(), k))
    who, kind, time = map(np.concatenate, (who, kind, time))
    while len(who):
        inside = time < END
        who, kind, time = who[inside], kind[inside], time[inside]
        np.add.at(counts, (who, (time / END * BINS).astype(int), kind), 1)
        born = [(np.repeat(who, c), np.full(c.sum(), k), np.repeat(time, c) + rng.exponential(1 / DECAY, c.sum()))
                for k in (0, 1) for c in [rng.poisson(JUMP[k, kind])]]  # fmt: skip
        who, kind, time = map(np.concatenate, zip(*born))
    return counts


@pytest.fixture(scope="module")
def process():
    counts = torch.tensor(branching(300, 0), dtype=torch.float32)
    gap = torch.full(counts.shape[:2], END / BINS)
    return gap, counts, Hawkes.fit(gap, counts)


def test_the_parameters_of_a_generated_process_are_recovered(process):
    made = {name: value.exp().detach().numpy() for name, value in process[2].named_parameters()}
    for name, value in {"base": BASE, "birth": BIRTH, "decay": DECAY}.items():
        np.testing.assert_allclose(made[name], value, rtol=0.2)
    np.testing.assert_allclose(made["jump"], JUMP, atol=0.08)


def learnt(gap, counts, steps, seed=0):
    """A Mamba-Hawkes process that learns from counts in gaps, and its integrals of other gaps and counts."""
    tensors = {"gap": gap, "counts": counts}

    class Learns(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.process = MambaHawkes(M3TR(width=16, layers=1), counts.shape[2] + 1, counts.shape[2], 1)

        def integrals(self, gap, counts):
            marks = torch.cat([counts, gap[..., None]], 2)
            _, before = self.process(marks, torch.ones_like(gap, dtype=torch.bool), gap[:, :1])
            return self.process.integral(before, gap)

        def forward(self, batch):
            return -log_likelihood(self.integrals(**batch), batch["counts"]) / counts.shape[1]

    with seeded(seed):
        module = Learns()
        config = Training(batch_size=64, learning_rate=2e-2, epochs=-(-steps * 64 // len(gap)), clip=1.0)
        train(module, lambda parts, s: in_memory(tensors, parts, s), np.arange(len(gap)), config, seed)
    return lambda *rows: module.eval().integrals(*rows).detach()


def test_mamba_hawkes_finds_the_intensity_of_a_generated_process(process):
    gap, counts, _ = process
    coarse = counts.reshape(len(counts), 30, 4, 2).sum(2)
    gap = torch.full(coarse.shape[:2], END / 30)
    made = learnt(gap[:200], coarse[:200], steps=70)(gap[200:], coarse[200:])
    with torch.no_grad():
        true = Hawkes(2)
        for name, value in {"base": BASE, "birth": BIRTH, "jump": JUMP + 1e-9, "decay": DECAY}.items():
            getattr(true, name).copy_(torch.tensor(np.log(value)))
        exact = true(gap[200:], coarse[200:])
    ours, best, flat = (
        float(log_likelihood(m, coarse[200:]).mean())
        for m in (made, exact, poisson(gap[200:], coarse[200:], (gap, coarse)))
    )
    assert flat < ours and ours - flat > 0.7 * (best - flat)
    for k in (0, 1):
        assert np.corrcoef(made[..., k].flatten(), exact[..., k].flatten())[0, 1] > 0.85


def test_mamba_hawkes_explains_the_events_of_cascades_better_than_a_constant_rate():
    _, events, _ = cascades.sample(240, seed=4)
    edges = np.append(seconds(np.arange(24) / 24, cascades.OBSERVATION), cascades.OBSERVATION)
    counts = torch.tensor(events.histogram(edges), dtype=torch.float32)[..., None]
    gap = torch.tensor(np.diff(edges) / 600, dtype=torch.float32).expand(len(counts), -1)
    made = learnt(gap[:180], counts[:180], steps=60)(gap[180:], counts[180:])
    flat = poisson(gap[180:], counts[180:], (gap[:180], counts[:180]))
    ours, theirs = (log_likelihood(m, counts[180:]).numpy() for m in (made, flat))
    assert (ours - theirs).mean() > 3 * (ours - theirs).std() / 60**0.5


def test_retrieval_is_that_of_brute_force_and_knows_no_later_label(monkeypatch):
    rng = np.random.default_rng(0)
    vectors = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in rng.standard_normal((2, 60, 5)).astype(np.float32)]
    asked = rng.integers(0, 1000, 60)
    keys = Keys(*vectors, asked, asked + rng.integers(-50, 300, 60))  # some are known before they are asked: still not
    bank, rows, model = np.arange(10, 60), rng.permutation(60)[:40], M3TR(retrieved=6, beta=0.3)
    monkeypatch.setattr("smp.models.m3tr.CHUNK", 400)
    found, content, trajectory = nearest(model, keys, rows, bank, seed=0)
    for i, row in enumerate(rows):
        may = [b for b in bank if keys.known[b] < asked[row] and b != row]
        score = {b: 0.3 * vectors[0][row] @ vectors[0][b] + 0.7 * vectors[1][row] @ vectors[1][b] for b in may}
        wanted = sorted(may, key=lambda b: -score[b])[:6]
        assert list(found[i]) == wanted + [-1] * (6 - len(wanted))
        np.testing.assert_allclose(
            content[i, : len(wanted)], vectors[0][wanted] @ vectors[0][row], rtol=1e-5, atol=1e-6
        )
        assert (trajectory[i, len(wanted) :] == 0).all()
    drawn = nearest(replace(model, random=True), keys, rows, bank, seed=1)[0]
    for row, some in zip(rows, drawn):
        some = some[some >= 0]
        assert row not in some and (keys.known[some] < asked[row]).all() and len(set(some)) == len(some)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    demo.write(folder, 400, seed=5)
    return read(folder)[0]


def inputs_of(data: Data, monkeypatch, config: Network):
    """As `prepare` makes them, without a project folder around."""
    from smp.matrix import FeatureMatrix
    from smp.tracks.microvideo.track import TRACK

    def load(track, names, data):
        made = [TRACK.families[n] for n in names]
        made = [f.build(data.items, **({"events": data.events} if f.events else {})) for f in made]
        return FeatureMatrix.from_table(made[0] if len(made) == 1 else made[0].join(made[1:]))

    monkeypatch.setattr(networks.features, "load", load)
    return networks.prepare(config, data, "microvideo")


MODELS = {
    "whole": M3TR(width=16, layers=1, head=16, retrieved=8),
    "no retrieval": M3TR(width=16, layers=1, head=16, retrieved=0),
    "no process": M3TR(width=16, layers=1, head=16, retrieved=8, likelihood=0.0, random=True),
}


@pytest.mark.parametrize("name", MODELS)
def test_it_learns_is_kept_and_sees_nothing_later(videos, name, monkeypatch, tmp_path):
    config = Network(MODELS[name], Training(batch_size=64, learning_rate=1e-2, clip=1.0), steps=40, length=4)
    order = np.argsort(videos.items["time"].to_numpy())
    order = order[videos.labelled[order]]
    rows, later = order[:200], order[200:]
    inputs = inputs_of(videos, monkeypatch, config)
    fitted = networks.fit(config, inputs, videos.labels, rows, seed=1)
    made = fitted.predict(inputs, later)
    y = videos.labels[later]
    assert np.mean((made - y) ** 2) < 0.75 * y.var()
    assert np.allclose(made[[5, 3]], fitted.predict(inputs, later[[5, 3]]), atol=1e-4) or MODELS[name].random

    hidden = np.where(np.isin(np.arange(len(videos)), rows), videos.labels, np.nan)
    again = networks.fit(config, inputs, hidden, rows, seed=1)
    assert np.array_equal(made, again.predict(inputs, later))  # the same seed, no label of the rows predicted

    longer = videos.events.assign(age_h=videos.events["age_h"] + 48.0, views=1e9)
    more = replace(videos, events=pd.concat([videos.events, longer]))
    assert np.array_equal(made, fitted.predict(inputs_of(more, monkeypatch, config), later))

    fitted.save(tmp_path)
    assert np.allclose(made, Fitted.load(tmp_path).predict(inputs, later), atol=1e-5)


def test_a_label_that_was_not_known_yet_changes_no_prediction(videos, monkeypatch):
    config = Network(MODELS["whole"], Training(batch_size=64, learning_rate=1e-2), steps=5)
    inputs = inputs_of(videos, monkeypatch, config)
    rows = np.flatnonzero(videos.labelled)
    fitted = networks.fit(config, inputs, videos.labels, rows, seed=0)
    moment = np.median(inputs.asked)
    early = np.flatnonzero(inputs.asked <= moment)
    bank = fitted.memory
    of_later = inputs.known[bank["rows"]] >= moment
    other = replace(fitted, memory=bank | {"growth": np.where(of_later, -9.0, bank["growth"])})
    assert np.array_equal(fitted.predict(inputs, early), other.predict(inputs, early))
    assert not np.allclose(fitted.predict(inputs, rows), other.predict(inputs, rows))


def test_steps_are_those_of_a_calculation_by_hand_and_stand_at_the_end():
    start, age = np.array([0, 3, 4]), np.array([10.0, 34, 46, 20])
    logs = np.array([[7.0, 3, np.nan, 1], [8, 3, 2, 1], [7.5, 4, 2, 1], [6, np.nan, 1, 0]])
    steps = Snapshots(start, age, logs).steps(2)
    assert steps.mask.tolist() == [[True, True], [False, True]]
    np.testing.assert_allclose(2**steps.gap, [[11, 47 / 11], [1, 21]], rtol=1e-6)
    np.testing.assert_array_equal(steps.counts[0], [[7, 3, np.nan], [0.5, 1, np.nan]])
    np.testing.assert_array_equal(steps.counts[1], [[np.nan] * 3, [6, np.nan, 1]])
    assert Snapshots(start, age, logs).steps(4).mask.sum() == 4


def test_a_part_learns_channels_from_its_own_labels_alone(videos):
    """What `from_labels` joins moves with no label outside the part's training rows."""
    from smp.tracks.microvideo.features.channel import channel

    labelled = np.flatnonzero(videos.labelled)
    part = Part("forward", "1", labelled[:150], labelled[150:])
    a = channel(videos.items, videos.shown(part.train), part.label_blocks(videos, 5), 0)
    moved = Data(
        videos.items, np.where(np.isin(np.arange(len(videos)), part.train), videos.labels, 99.0), videos.events
    )
    assert a.equals(channel(moved.items, moved.shown(part.train), part.label_blocks(moved, 5), 0))
