"""The generated cascades are what their model says, and the stated best predictor cannot be passed."""

import numpy as np
import pytest

from smp.tracks.cascade import demo
from smp.tracks.cascade.events import Events
from smp.tracks.cascade.features import temporal
from smp.tracks.cascade.read import read


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cascade")
    return folder, *demo.write(folder, 300, seed=3)


def test_what_is_written_is_read_again(written):
    folder, published, events = written
    data, quirks = read(folder)
    items, labels, found = data.items, data.labels, Events.of(data.items, data.events)
    assert not quirks and len(items) == 300
    assert np.array_equal(found.time, events.time) and np.array_equal(found.parent, events.parent)
    assert np.array_equal(items["time"].astype("int64"), published)
    assert np.array_equal(labels, np.log2(1 + found.until(demo.HORIZON).count - found.until(demo.OBSERVATION).count))


def test_exposure_is_the_integral_of_the_rate():
    published, since, until = np.array([1e9]), np.array([600.0]), 5000.0
    u = np.linspace(0, until - 600, 100_001)
    rate = demo.RATE * np.exp(-demo.RATE * u) * demo.rhythm(published + since + u)
    assert demo.exposure(published, since, until)[0] == pytest.approx(np.trapezoid(rate, u), rel=1e-6)


def test_an_event_draws_as_many_children_as_its_mark_says():
    rng, n = np.random.default_rng(0), 4000
    published, r = np.full(n, 1e9), np.full(n, 0.0)
    r[:] = 0.5
    roots = demo.Trees(np.arange(n), np.zeros(n), np.full(n, 10.0), np.full(n, -1))
    trees = demo.grow(rng, published, r, roots, 0.0, 3600.0)
    wanted = 0.5 * 10 * demo.exposure(published[:1], np.zeros(1), 3600.0)[0]
    assert np.sum((trees.parent >= 0) & (trees.parent < n)) / n == pytest.approx(wanted, rel=0.03)
    assert (trees.time[n:] > trees.time[trees.parent[n:]]).all()


def test_the_best_predictor_is_unbiased_and_beats_the_count(written, monkeypatch):
    folder, published, events = written
    monkeypatch.setattr(demo, "DRAWS", 60)
    labels = read(folder)[0].labels
    best = demo.best(published, events)
    count = temporal.table_of(events, demo.OBSERVATION)["n_obs"]
    line = np.polyval(np.polyfit(count, labels, 1), count)
    assert abs(np.mean(best - labels)) < 3 * np.std(best - labels) / 300**0.5
    assert np.mean((best - labels) ** 2) < 0.7 * np.mean((line - labels) ** 2)
