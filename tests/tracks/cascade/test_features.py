"""Events as arrays, and what the feature families make of a tree whose values are known."""

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from scipy.linalg import expm

from smp.tracks.cascade.events import Events
from smp.tracks.cascade.features import publish, structural, temporal


@pytest.fixture
def events():
    """40 random trees of 10 to 60 events within 200 s."""
    rng = np.random.default_rng(0)
    count = rng.integers(10, 60, 40)
    parent = np.concatenate([[-1, *(rng.integers(0, i) for i in range(1, k))] for k in count])
    time = np.concatenate([[0.0, *np.sort(rng.integers(0, 200, k - 1))] for k in count])
    user = np.concatenate([rng.integers(0, 50, k) for k in count])
    return Events(np.concatenate([[0], np.cumsum(count)]), time, parent.astype(np.int32), user.astype(np.int32))


def graphs(events):
    for c in range(len(events)):
        parent = events.parent[events.start[c] : events.start[c + 1]]
        yield nx.DiGraph([(p, i) for i, p in enumerate(parent) if p >= 0])


def test_trees_agree_with_networkx(events):
    table = structural.table_of(events, 1000.0)
    for c, graph in enumerate(graphs(events)):
        depth = nx.single_source_shortest_path_length(graph, 0)
        span = slice(events.start[c], events.start[c + 1])
        assert list(events.depth[span]) == [depth[i] for i in range(len(graph))]
        assert list(events.children[span]) == [graph.out_degree(i) for i in range(len(graph))]
        n = len(graph)
        distance = nx.average_shortest_path_length(graph.to_undirected())
        assert table["virality"][c] == pytest.approx(distance, rel=1e-5)
        assert table["depth_mean"][c] == pytest.approx(sum(depth.values()) / (n - 1), rel=1e-5)
        assert table["leaves"][c] == pytest.approx(sum(graph.out_degree(i) == 0 for i in graph) / (n - 1), rel=1e-5)
        assert table["users"][c] == pytest.approx(len(set(events.user[span])) / n, rel=1e-5)


def test_taking_cascades_and_counting_in_bins_keep_every_event(events):
    rows = np.array([7, 3, 3])
    some = events.take(rows)
    assert [list(some.time[some.start[i] : some.start[i + 1]]) for i in range(3)] == [
        list(events.time[events.start[c] : events.start[c + 1]]) for c in rows
    ]
    counts = events.histogram(np.array([0.0, 10, 50, 200]))
    assert (counts.sum(axis=1) == events.count).all()
    assert (counts[:, 0] == events.until(10.0).count).all()


@pytest.mark.parametrize("build", [temporal.size, temporal.counts, temporal.build, structural.build, structural.waves])
def test_later_events_change_no_family(events, build):
    time = pd.Series(pd.date_range("2024-01-01", periods=len(events), tz="UTC").as_unit("s"))
    items = pd.DataFrame({"time": time, "observation": 80.0}).set_axis(pd.Index([f"c{i}" for i in range(40)]))
    whole, cut = build(items, events.to_table(items)), build(items, events.until(80.0).to_table(items))
    pd.testing.assert_frame_equal(whole, cut)
    assert np.isfinite(whole).all(axis=None) and whole.index.equals(items.index)
    some = items.iloc[[9, 4]]
    pd.testing.assert_frame_equal(build(some, events.to_table(items)), whole.iloc[[9, 4]])


def test_heat_spreads_as_the_matrix_exponential_says(events):
    table = structural.waves_of(events, 1000.0)
    for c, graph in zip(range(5), graphs(events)):
        tree = graph.to_undirected()
        walk = nx.to_numpy_array(tree, nodelist=range(len(tree)))
        walk /= walk.sum(axis=1, keepdims=True)
        heat = expm(2.0 * (walk.T - np.eye(len(tree))))[:, 0] * len(tree)
        assert table["wave_2_0.5_cos"][c] == pytest.approx(np.cos(0.5 * heat).mean(), abs=1e-5)


def test_publish_time_is_a_circle():
    time = pd.Series(pd.DatetimeIndex(["2024-01-01T00:00:00", "2024-01-01T23:59:59"], tz="UTC").as_unit("s"))
    items = pd.DataFrame({"time": time, "observation": 3600.0})
    table, circle = publish.build(items), publish.circle(items)
    assert np.allclose(circle["publish_cos"], 1) and np.allclose(circle["publish_sin"], 0, atol=1e-3)
    assert list(table["publish_weekday"]) == [0, 0] and list(table["asked_weekday"]) == [0, 1]
