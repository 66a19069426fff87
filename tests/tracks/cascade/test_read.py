"""The reader against one that reads a path at a time, and what it does with files that are not as they should be."""

import json

import numpy as np
import pandas as pd
import pytest

from smp.errors import DataError
from smp.tracks.cascade import read as reading
from smp.tracks.cascade.events import Events
from smp.tracks.cascade.read import read as read_data


def write(folder, *lines, observation=100, horizon=1000, min_events=2):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset.txt").write_text("".join(f"{line}\n" for line in lines))
    window = {"observation": observation, "horizon": horizon, "min_events": min_events}
    (folder / "window.json").write_text(json.dumps(window))
    return folder


def read(folder):
    data, quirks = read_data(folder)
    late = data.events["time"] - data.items["time"].loc[data.events.index]
    assert (late.dt.total_seconds() == data.events["delay"] // 1).all()
    return data.items, data.labels, Events.of(data.items, data.events), quirks


def one_at_a_time(line):
    """(delay, depth, place of the parent) of every event in the order of time, as plainly as can be."""
    steps = []
    for step in line.split("\t")[4].split():
        path, delay = step.rsplit(":", 1)
        steps.append((max(float(delay), 0.0), path.split("/")))
    steps.sort(key=lambda s: (s[0], len(s[1]) > 1))  # Python's sort is stable
    out, latest = [], {}
    for place, (delay, path) in enumerate(steps):
        parent = latest.get(path[-2], 0) if len(path) > 1 else (-1 if place == 0 else 0)
        out.append((delay, out[parent][1] + 1 if parent >= 0 else 0, parent))
        latest[path[-1]] = place
    return out


def test_it_reads_what_one_path_at_a_time_gives(tmp_path, monkeypatch):
    rng, lines = np.random.default_rng(0), []
    for c in range(60):
        paths, steps = [f"r{c}"], [f"r{c}:0"]
        for _ in range(rng.integers(3, 80)):
            parent = paths[rng.integers(len(paths))]
            paths.append(f"{parent}/u{rng.integers(30)}")  # users come back
            steps.append(f"{paths[-1]}:{rng.integers(-3, 2000)}")
        order = np.concatenate([[0], 1 + rng.permutation(len(steps) - 1)])
        lines.append(f"{c}\tr{c}\t{1000 + c}\t{len(steps) - 1}\t" + " ".join(steps[i] for i in order))
    monkeypatch.setattr(reading, "CHUNK", 5_000)  # several chunks
    items, labels, events, quirks = read(write(tmp_path, *lines))
    assert len(items) == len(labels) == len(events) > 40
    for row, post in enumerate(items.index):
        wanted = one_at_a_time(lines[int(post)])
        span = slice(events.start[row], events.start[row + 1])
        got = list(zip(events.time[span], events.depth[span], events.parent[span]))
        assert got == wanted
        assert labels[row] == np.log2(1 + sum(100 <= t < 1000 for t, _, _ in wanted))
    assert quirks["negative delays set to 0"] and quirks["paths before an earlier one put in the order of time"]


def test_every_quirk_is_counted_and_none_stops_the_reading(tmp_path):
    lines = (
        "a\t1\t1000\t5\t1:0 1/2:30 1/2/3:20 1/9/4:50 5:60 1/6:x 1/2:30",  # 3 before its parent, 9 is nowhere, 5 alone
        "b\t1\t1000.0\t1\t1/2:1 1/3:2",  # no root
        "a\t1\t1000\t1\t1:0 1/2:3",
        "c\t1\tnever\t1\t1:0 1/2:3",
        "d\t1",
        "",
        "e\t1\t2019-05-01\t2\t1:7 1/2:-4 1/3:99.5",
        "f\t1\t1000\t0\t1:0",
        "g\t7\t1000\t2\t3:5 7:0 7/3/4:6",  # the root is not the first that stands alone
    )
    items, labels, events, quirks = read(write(tmp_path, *lines))
    assert list(items.index) == ["a", "b", "e", "g"]
    assert items["time"].iloc[2].isoformat() == "2019-05-01T00:00:00+00:00"
    assert quirks == {
        "lines that are no cascade dropped": 2,
        "cascades with an id met before dropped": 1,
        "paths that cannot be read dropped": 1,
        "negative delays set to 0": 1,
        "cascades without a root path given one": 1,
        "paths without a parent hung on the root": 2,
        "root paths not at 0 moved there": 1,
        "paths before an earlier one put in the order of time": 3,
        "repeated paths kept, as others count them": 1,
        "parents that are not there replaced by the root": 2,
        "repost counts that are not the paths'": 1,
        "cascades with fewer than 2 events inside the observation left out": 1,
    }
    assert (labels == 0).all()
    assert list(events.take(np.array([0])).parent) == [-1, 0, 0, 0, 0, 0]
    assert list(events.take(np.array([3])).time) == [0, 5, 6]
    assert list(events.take(np.array([3])).parent) == [-1, 0, 1]


def test_a_line_of_any_length_and_old_times_are_read(tmp_path):
    steps = " ".join(f"0/{i}:{i // 3}" for i in range(1, 50_000))
    items, labels, events, _ = read(write(tmp_path, f"x\t0\t-2000000000\t49999\t0:0 {steps}", observation=10))
    assert len(events.time) == 50_000 and items["time"].iloc[0].year == 1906
    assert labels[0] == np.log2(1 + 2_970)


@pytest.mark.parametrize("text", [("1985", "198503", "19850301"), ("1985-01", "1985-03", "1985-03-01")])
def test_publish_times_that_are_all_dates_are_read_so(tmp_path, text):
    items, *_ = read(write(tmp_path, *(f"{i}\t1\t{t}\t1\t1:0 1/2:3" for i, t in enumerate(text))))
    assert [f"{t:%Y-%m-%d}" for t in items["time"]] == ["1985-01-01", "1985-03-01", "1985-03-01"]
    assert len(set(items["known"] - items["time"])) == 1


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda f: (f / "dataset.txt").unlink(), "missing dataset.txt; get them from"),
        (lambda f: (f / "dataset.txt").write_text("one two three\n"), "no cascade in it but line 1: 'one two"),
        (lambda f: (f / "window.json").unlink(), "not readable"),
        (lambda f: (f / "window.json").write_text('{"observation": 9, "horizon": 9}'), "0 < observation < horizon"),
        (lambda f: (f / "window.json").write_text('{"observation": 1e-9, "horizon": 9}'), "no cascade has 10 events"),
        (
            lambda f: (f / "window.json").write_text('{"observation": 9, "horizon": 99, "min_events": Infinity}'),
            "infinity",
        ),
        (
            lambda f: (f / "window.json").write_text('{"observation": 9, "horizon": 99, "min_events": 1e400}'),
            "infinity",
        ),
        (lambda f: write(f, "a\t1\t9\t1\t1:0 1/2:1e2 1/3:2e2"), "no cascade has 2 .* line 1: '1/2:1e2' is no path"),
        (lambda f: write(f, "x", "a\t1\t9\t1\t1:0,1/2:3,1/3:4", min_events=3), "line 2: '1:0,1/2:3,1/3:4' is no path"),
        (
            lambda f: write(f, "a\t1\t9000\t1\t1:0 1/2:1", "b\t1\t198503\t1\t1:0 1/2:1"),
            r"publish time 198503 \(line 2\) is a date, 9000 \(line 1\) is none",
        ),
    ],
)
def test_what_cannot_be_read_is_said_in_one_line(tmp_path, break_it, said):
    folder = write(tmp_path, "a\t1\t1000\t1\t1:0 1/2:30")
    break_it(folder)
    with pytest.raises(DataError, match=said) as raised:
        read(folder)
    assert "\n" not in str(raised.value)


def test_the_files_are_found_wherever_the_unpacking_put_them(tmp_path):
    line = "a\t1\t1000\t1\t1:0 1/2:30"
    wanted = read_data(write(tmp_path / "flat", line))[0]
    deep = write(tmp_path / "deep" / "Weibo-master" / "data", line)
    (deep / "dataset.txt").rename(deep / "DATASET.TXT")
    (deep / "window.json").rename(tmp_path / "deep" / "window.json")
    made = read_data(tmp_path / "deep")[0]
    pd.testing.assert_frame_equal(made.items, wanted.items)
    pd.testing.assert_frame_equal(made.events, wanted.events)
