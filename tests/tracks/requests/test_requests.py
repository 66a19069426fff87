"""The room from raw requests to the fusion: every count, ranking and policy against one written out."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from smp import features, tracks
from smp.errors import DataError
from smp.folds import load_folds
from smp.models.cachemamba import CacheMamba, CacheTransformer, Ranker
from smp.nn.loop import Training
from smp.oof import holdout_of, parts_of
from smp.tracks.load import load_data
from smp.tracks.requests import demo, networks
from smp.tracks.requests.features import counts
from smp.tracks.requests.history import REACH, History
from smp.tracks.requests.ranking import BESIDE, BEST, OF_WINDOWS, best_of
from smp.tracks.requests.reactive import hit_rate
from smp.tracks.requests.read import read

TINY = {
    "exp090_last": (),
    "exp090_lfu": (),
    "exp090_decay": (),
    "exp090_lgbm": ("--seeds", "0", "--learner.rounds", "30"),
    "exp091_cachemamba": ("--steps", "4", "--objects", "16", "--length", "6"),
    "exp092_transformer": ("--steps", "4", "--objects", "16", "--length", "6"),
    "exp094_fusion": ("--trials", "5"),
    "exp093_rankings": ("--longer", "8", "--lengths", "16", "64"),
}


def write_few(folder):
    demo.write(folder, 24, seed=3)
    (folder / "window.json").write_text('{"requests": 200}')


@pytest.fixture(scope="module")
def output(run_room):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "REQUESTS", 200)
        yield run_room("requests", write_few, TINY)


def trace(folder, objects, length=5, **more):
    """A trace of one request a second in the room's layout."""
    folder.mkdir(exist_ok=True)
    table = pd.DataFrame({"time": range(len(objects)), "object": objects, **more})
    table.to_csv(folder / "trace.csv", index=False)
    (folder / "window.json").write_text(json.dumps({"requests": length}))
    return table


@pytest.fixture
def random_trace(tmp_path):
    rng = np.random.default_rng(0)
    objects = (rng.pareto(0.7, 400) * 3).astype(int).clip(max=60)
    return trace(tmp_path / "one", objects, 20, size=rng.integers(1, 99, 400)), tmp_path / "one"


def test_windows_candidates_and_labels_are_those_counted_by_hand(random_trace):
    table, folder = random_trace
    data, quirks = read(folder)
    assert not quirks
    windows = [table["object"][i : i + 20].tolist() for i in range(0, 400, 20)]
    items = data.items.assign(label=data.labels)
    for w, rows in items.groupby("window"):
        past = table["object"][: 20 * w + 20].tolist()
        assert (rows["catalogue"] == len(set(past))).all()
        found = {int(o): row for o, row in zip(rows["user_id"], rows.to_dict("records"))}
        assert set(windows[w]) <= set(found) <= set(past)
        often = sorted(set(past), key=past.count)[-int(np.ceil(0.1 * len(set(past)))) :]
        assert {o for o in set(past) if past.count(o) > past.count(often[0])} <= set(found)
        for o, row in found.items():
            assert row["count"] == windows[w].count(o) and row["total"] == past.count(o)
            assert row["first"] == past.index(o) // 20
            last = len(past) - 1 - past[::-1].index(o)
            assert row["size"] == table["size"][last]
            if w < 19:
                assert row["label"] == pytest.approx(np.log2(1 + windows[w + 1].count(o)))
            else:
                assert np.isnan(row["label"]) and row["split"] == "test"
    ends = items.groupby("window")["time"].first()
    assert (ends.dt.tz_localize(None) == pd.to_datetime(np.arange(19, 400, 20), unit="s")).all()
    assert (items.groupby("window")["known"].first()[:-1].to_numpy() == ends[1:].to_numpy()).all()


def test_odd_lines_are_counted_and_a_tail_is_left_out(tmp_path):
    rows = ["time,object"] + [f"{t},{t % 7}" for t in range(52)] + ["x,1", "60,", "3,99"]
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "trace.csv").write_text("\ufeff" + "\n".join(rows))
    (tmp_path / "window.json").write_text('{"requests": 5}')
    data, quirks = read(tmp_path)
    assert quirks == {
        "requests without a time or an object dropped": 2,
        "requests before an earlier one put in the order of time": 1,
        "requests after the last whole window left out": 3,
    }
    assert "0/99" in data.ids and len(set(data.items["window"])) == 10


def test_windows_of_one_second_are_moments_of_their_own(tmp_path):
    trace(tmp_path, list(range(10)) * 5, 5)
    table = pd.read_csv(tmp_path / "trace.csv").assign(time=7)
    table.to_csv(tmp_path / "trace.csv", index=False)
    assert read(tmp_path)[0].items["time"].nunique() == 10


@pytest.mark.parametrize(
    "files, said",
    [
        ({}, "trace.csv"),
        ({"trace.csv": "when,object\n1,2\n"}, "no column time"),
        ({"trace.csv": "time,object\n1,2\n"}, "too few"),
        ({"trace.csv": "time,object\n"}, "no request in it"),
        ({"trace.csv": "time,object\nx,2\n"}, "line 2: time 'x', object '2'.*; a line needs seconds since 1970"),
        ({"trace.csv": 'time,object\n1,a\n2,"b\n3,c\n4,"d\n'}, "trace.csv: line 3: '2,\"b' opens a quote"),
        ({"ratings.csv": 'userId,movieId,timestamp\n1,2,3\n"1,2,3\n1,2,3\n"1,2,3'}, "ratings.csv: line 3: .* a quote"),
        ({"trace.csv": "time,object\n1,2\n", "ratings.csv": "movieId,timestamp\n1,2\n"}, "keep one"),
        ({"trace.csv": "time,object\n1,2\n", "window.json": "{}"}, "window.json: not readable"),
        ({"trace.csv": "time,object\n1,2\n", "window.json": '{"requests": 0}'}, "at least one request"),
        ({"trace.csv": "time,object\n1,2\n", "window.json": '{"requests": Infinity}'}, "window.json: not readable"),
        ({"trace.csv": "time,object\n1,2\n", "window.json": '{"requests": 1e400}'}, "window.json: not readable"),
    ],
)
def test_what_cannot_be_read_says_why(tmp_path, files, said):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=said):
        read(tmp_path)


OBJECTS = ["NA", "null", "None", "nan", 'a "quoted", one', '12" disc']


@pytest.mark.parametrize("name", ["Ratings.csv", "TRACE.CSV"])
@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns", "date"])
def test_times_of_any_unit_and_objects_of_any_name_are_read(tmp_path, name, unit):
    seconds = pd.Series(pd.date_range("2024-03-01", periods=60, freq="90min"))
    time = seconds.astype("str") if unit == "date" else seconds.dt.as_unit(unit).astype("int64")
    columns = ("timestamp", "movieId") if name == "Ratings.csv" else ("time", "object")
    pd.DataFrame(dict(zip(columns, (time, OBJECTS * 10)))).to_csv(tmp_path / name, index=False)
    (tmp_path / "window.json").write_text('{"requests": 6}')
    data, quirks = read(tmp_path)
    assert set(data.items["user_id"]) == set(OBJECTS)
    assert (data.items["time"].dt.tz_localize(None).unique() == seconds[5::6].to_numpy()).all()
    read_so = {"s": {}, "date": {"times given as dates": 60}}
    smaller = {"times in milliseconds, or in smaller parts, read so": 60}
    assert quirks == read_so.get(unit, smaller)


def test_no_feature_sees_a_later_window(random_trace, tmp_path):
    table, folder = random_trace
    changed = table["object"].to_numpy().copy()
    changed[300:] = np.random.default_rng(1).integers(0, 60, 100)
    trace(tmp_path / "later", changed, 20, size=table["size"])
    (one, _), (other, _) = read(folder), read(tmp_path / "later")
    early = one.items["window"] <= 13
    same = other.items["window"] <= 13
    assert (one.ids[early] == other.ids[same]).all()
    np.testing.assert_array_equal(one.labels[early], other.labels[same])
    for build in (counts.decays, counts.lags, counts.thing):
        np.testing.assert_array_equal(build(one.items)[early], build(other.items)[same])
    for a, b in zip(
        History.of(one.items).series(one.items[early], 9), History.of(other.items).series(other.items[same], 9)
    ):
        np.testing.assert_array_equal(a, b)


def test_decays_lags_and_series_are_the_recurrences_written_out(random_trace):
    table, folder = random_trace
    items = read(folder)[0].items
    of = np.stack([np.bincount(table["object"][i : i + 20], minlength=61) for i in range(0, 400, 20)])
    state, decays = np.zeros((len(counts.HALF_LIVES), 61)), []
    for row in of:
        keep = 0.5 ** (1 / np.array(counts.HALF_LIVES))[:, None]
        state = keep * state + (1 - keep) * row
        decays.append(state)
    o, w = items["user_id"].astype(int).to_numpy(), items["window"].to_numpy()
    made, lags = counts.decays(items), counts.lags(items)
    np.testing.assert_allclose(made.iloc[:, :-1], np.log2(1 + np.stack(decays)[w, :, o]), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(made["decays_ever"], np.log2(1 + items["total"] / (w + 1)), rtol=1e-5)
    for k in range(counts.LAGS):
        np.testing.assert_allclose(lags[f"lags_{k}"], np.log2(1 + np.where(w >= k, of[w - k, o], 0)), rtol=1e-5)
    marks, there = History.of(items).series(items, 4)
    assert REACH >= 20  # so that the whole past is in it
    for step in range(4):
        at = w - 3 + step
        first = items["first"].to_numpy()
        np.testing.assert_array_equal(there[:, step], at >= first)
        seen = there[:, step]
        np.testing.assert_allclose(marks[seen, step, 0], np.log2(1 + of[at, o])[seen], rtol=1e-5)
        for j, h in ((1, 1), (2, 3)):
            np.testing.assert_allclose(marks[seen, step, j], np.log2(1 + np.stack(decays)[at, h, o])[seen], rtol=1e-4)
        assert (marks[~seen, step] == 0).all()
    since = [a - max(v for v in range(a + 1) if of[v, i]) for a, i in zip(w, o)]
    np.testing.assert_allclose(marks[:, -1, 4], np.log2(1.0 + np.array(since)), rtol=1e-5)


def test_metrics_are_those_of_every_window_written_out():
    rng = np.random.default_rng(0)
    window, n = np.repeat([3, 4, 9], (120, 70, 200)), 390
    came = rng.poisson(rng.gamma(0.5, 3, n))
    y, p = np.log2(1.0 + came), rng.normal(size=n)
    catalogue, requests = 100 * (window + 1), np.full(n, 1000)
    order = rng.permutation(n)
    other = {3: [900, 40], 4: [], 9: [5] * 60}  # requests of objects seen that are no candidates
    best_of_all = {w: sorted([*came[window == w], *more], reverse=True)[:50] for w, more in other.items()}
    best = np.array([best_of(np.append(came[window == w], more)) for w, more in other.items()])[window // 4]
    beside = window, catalogue, requests, *best.T
    made = {k: f(y[order], p[order], *(v[order] for v in beside)) for k, f in OF_WINDOWS.items()}
    for j, w in enumerate((3, 4, 9)):
        mine = sorted(zip(p[window == w], came[window == w]), reverse=True)
        came_first = [c for _, c in mine]
        for share in (1, 5, 10):  # of 400 seen when the first window is ranked
            assert made[f"hit_{share}"][j] == pytest.approx(sum(came_first[: 4 * share]) / 1000)
        discount = 1 / np.log2(np.arange(50) + 2)
        best = best_of_all[w]
        assert made["ndcg_50"][j] == pytest.approx(came_first[:50] @ discount / (best @ discount))
        is_right = [c >= max(best[-1], 1) for c in came_first]
        precise = [sum(is_right[: i + 1]) / (i + 1) for i in range(50) if is_right[i]]
        assert made["map_50"][j] == pytest.approx(sum(precise) / sum(c > 0 for c in best))


def test_a_ranking_is_judged_over_all_objects_seen_and_no_feature_knows_of_it(tmp_path):
    objects = (np.random.default_rng(0).pareto(0.4, 2000) * 9).astype(int).clip(max=400)
    trace(tmp_path, objects, 100)
    data, _ = read(tmp_path)
    items, y = data.items[data.labelled], data.labels[data.labelled]
    made = {name: of(y, y, *(items[c].to_numpy() for c in BESIDE)) for name, of in OF_WINDOWS.items()}
    outside = 0
    for w, rows in items.groupby("window"):
        past, coming = objects[: 100 * w + 100], objects[100 * w + 100 : 100 * w + 200]
        came = {o: (coming == o).sum() for o in set(past)}
        best, reached = (sorted(v, reverse=True)[:50] for v in (came.values(), [came[int(o)] for o in rows["user_id"]]))
        gained, ideal = (sum(c / np.log2(i + 2) for i, c in enumerate(v)) for v in (reached, best))
        assert made["ndcg_50"][w] == pytest.approx(gained / ideal)
        least = max(best[-1], 1) if len(best) == 50 else 1
        relevant = sum(c >= least for c in came.values())
        assert made["map_50"][w] == pytest.approx(sum(c >= least for c in reached) / min(relevant, 50))
        outside += gained < ideal
    assert outside > 10  # of 19 windows
    blind = data.items.drop(columns=[*BEST])
    for build in (counts.decays, counts.lags, counts.thing):
        pd.testing.assert_frame_equal(build(blind), build(data.items))
    for one, other in zip(History.of(blind).series(blind, 4), History.of(data.items).series(data.items, 4)):
        np.testing.assert_array_equal(one, other)


def test_lru_meets_what_came_again_before_as_many_others():
    objects = (np.random.default_rng(0).pareto(0.6, 3000) * 4).astype(int).clip(max=300).tolist()
    last, met = {}, []
    for i, o in enumerate(objects):
        met.append(o in last and len(set(objects[last[o] + 1 : i])) < 20)
        last[o] = i
    assert hit_rate("LRU", objects, 20, 1000) == np.mean(met[1000:])


def test_lfu_keeps_what_was_asked_for_most():
    assert hit_rate("LFU", [1, 1, 1, 2, 2, 3, 4, 5, 1, 2], 3, 8) == 1.0
    assert hit_rate("LRU", [1, 1, 1, 2, 2, 3, 4, 5, 1, 2], 3, 8) == 0.0


def test_the_last_three_of_ten_windows_are_judged_and_none_learnt_from_after(output):
    data, room = load_data("requests"), tracks.get("requests")
    parts = parts_of(data, load_folds("requests", data), room.split)
    window = data.items["window"].to_numpy()
    last = holdout_of(parts)
    assert sorted(set(window[last.query])) == list(range(16, 23))  # 23 windows have a label
    for part in parts:
        if part.kind in ("holdout", "forward"):
            assert set(window[part.train]) == set(range(window[part.query].min()))
            assert not set(window[part.train]) & set(window[part.query])


def test_every_experiment_reports_the_rankings(output):
    names = ["hit_5", "ndcg_50", "hit_1", "hit_10", "map_50", "msle"]
    scores = {name: json.loads((output / name / "metrics.json").read_text()) for name in TINY}
    for name, made in scores.items():
        if name != "exp093_rankings":
            assert [k for k in made["holdout"] if k != "rows"] == names
    assert scores["exp090_decay"]["holdout"]["hit_5"] > scores["exp090_lfu"]["holdout"]["hit_5"]
    study = output / "exp093_rankings"
    rankings, costs = pd.read_csv(study / "rankings.csv"), pd.read_csv(study / "lengths.csv")
    assert len(rankings) == 2 * 7 and set(rankings["better"]) <= {"yes", "no", "not resolved"}
    by = costs.set_index(["system", "length"])["gigaflops per 1,000 objects"]
    assert by["CacheMamba", 64] == pytest.approx(4 * by["CacheMamba", 16], rel=1e-3)  # linear in the length
    assert by["CacheTransformer", 64] > 5 * by["CacheTransformer", 16]
    reactive = pd.read_csv(study / "reactive.csv").set_index("policy")
    assert (reactive["hit_10"] > reactive["hit_1"]).all()


def test_the_transformer_knows_the_order_of_windows_and_is_of_mambas_size_at_any_length():
    for length in (16, 1024):
        mamba, transformer = (Ranker(m, length, 5, 17) for m in (CacheMamba(), CacheTransformer()))
        sizes = [sum(p.numel() for p in network.parameters()) for network in (mamba, transformer)]
        assert sizes[1] == pytest.approx(sizes[0], rel=0.02)
    seeded = torch.Generator().manual_seed(0)
    x, there = torch.randn(3, 1024, 32, generator=seeded), torch.ones(3, 1024, dtype=torch.bool)
    other = x.clone()
    other[:, [1, 1000]] = x[:, [1000, 1]]
    with torch.no_grad():
        made, moved = (transformer.trunk(series, there)[0][:, -1] for series in (x, other))
    assert (made - moved).abs().max() > 1e-4
    steps = transformer.trunk.position
    assert (torch.cdist(steps[-1:], steps[:-1]) > 0.5).all() and steps.abs().max() <= 1


@pytest.mark.parametrize("model", [CacheMamba(width=8, layers=1, state=2), CacheTransformer(width=8, layers=1)])
def test_a_network_begins_at_the_decayed_counts_learns_and_is_kept(output, tmp_path, model):
    data = load_data("requests")
    few = Training(batch_size=4, learning_rate=3e-3)
    config = networks.Network(model, length=5, objects=24, training=few, steps=1)
    inputs = networks.Inputs.of(config, "requests", data)
    train = np.flatnonzero(data.items["window"].to_numpy() < 12)
    later = np.flatnonzero(data.items["window"].to_numpy() == 14)
    untrained = networks.fit(config, inputs, train, 0)
    with torch.no_grad():
        untrained.network.head[-1].weight.zero_()
    base = features.load("requests", ("decays",), data)
    decay = base.dense()[later, base.names.index("decays_8")]
    score = untrained.scores(inputs, later)
    order = np.argsort(decay)
    assert (np.diff(score[order]) >= -1e-5).all()
    fitted = networks.fit(networks.replace(config, steps=60), inputs, train, 0)

    came = np.exp2(data.labels[train]) - 1
    fit, flat = (came @ np.log(np.exp2(one.predict(inputs, train)) - 1 + 1e-9) for one in (fitted, untrained))
    assert fit > flat
    pred = fitted.predict(inputs, later)
    fitted.save(tmp_path)
    np.testing.assert_allclose(networks.Fitted.load(tmp_path).predict(inputs, later), pred, rtol=1e-6)
    asked = data.items["requests"].iloc[0] * fitted.shape["met"]
    assert (np.exp2(pred) - 1).sum() == pytest.approx(asked, rel=1e-6)
