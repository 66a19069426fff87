"""Sharded computation: nothing whole is done twice, and the store holds what was computed, in the posts' order."""

import numpy as np
import pandas as pd
import pytest

from smp.disk.store import read_embeddings
from smp.encoders import shards
from smp.encoders.shards import Ragged, into_store

IDS = pd.Index([f"p{i}" for i in range(23)], name="post_id")
LENGTHS = np.arange(23) % 4


def dense(rows):
    return np.stack([rows, rows**2], 1).astype(np.float32)


def ragged(rows):
    owner = np.repeat(rows, LENGTHS[rows])
    return Ragged(np.stack([owner, -owner], 1).astype(np.float32), LENGTHS[rows])


class Computer:
    """Counts the posts it is asked for; stops, as if killed, after so many batches."""

    def __init__(self, stop_after: int = 99):
        self.seen, self.left = [], stop_after

    def __call__(self, batches):
        for rows in batches:
            if self.left == 0:
                raise KeyboardInterrupt
            self.left -= 1
            self.seen += rows.tolist()
            yield {"a": dense(rows), "b": ragged(rows)}


def run(folder, computer, key="k", order=None):
    into_store(folder, ["a", "b"], IDS, computer, key=key, batch_size=3, shard_size=6, order=order)


@pytest.mark.parametrize("order", [None, np.arange(23)[::-1] % 5])
def test_the_store_holds_every_post_in_order(tmp_path, order):
    run(tmp_path, Computer(), order=order)
    ids, a = read_embeddings(tmp_path, "a")
    assert ids.equals(IDS) and a.dtype == np.float16
    np.testing.assert_array_equal(a, dense(np.arange(23)))
    ids, b = read_embeddings(tmp_path, "b")
    assert ids.tolist() == IDS.repeat(LENGTHS).tolist()
    np.testing.assert_array_equal(b, ragged(np.arange(23)).values)


def test_a_batch_holds_like_with_like_inside_its_shard(tmp_path):
    computer, order = Computer(), np.arange(23) % 2
    run(tmp_path, computer, order=order)
    assert computer.seen[:6] == [0, 2, 4, 1, 3, 5]


def test_a_killed_run_goes_on_at_the_last_whole_shard(tmp_path):
    first, second, third = Computer(stop_after=5), Computer(), Computer()
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, first)
    run(tmp_path, second)
    assert second.seen == list(range(12, 23))  # two shards of six were whole
    run(tmp_path, third)
    assert third.seen == []
    np.testing.assert_array_equal(read_embeddings(tmp_path, "a")[1], dense(np.arange(23)))
    assert not list(tmp_path.glob(".*"))


def test_a_run_killed_between_two_names_does_not_write_the_first_again(tmp_path, monkeypatch):
    def join(folder, name, *others):
        if name == "b":
            raise KeyboardInterrupt
        plain(folder, name, *others)

    plain = shards._join
    with monkeypatch.context() as patch:
        patch.setattr(shards, "_join", join)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, Computer())
    files = [tmp_path / name for name in ("a.npy", "a.ids.parquet")]
    before, again = [(f.stat().st_ino, f.stat().st_mtime_ns) for f in files], Computer()
    run(tmp_path, again)
    assert again.seen == [] and [(f.stat().st_ino, f.stat().st_mtime_ns) for f in files] == before
    assert read_embeddings(tmp_path, "b")[0].tolist() == IDS.repeat(LENGTHS).tolist()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("at", range(10))
def test_joining_goes_on_where_it_was_killed_and_the_disk_holds_each_array_once(tmp_path, monkeypatch, at):
    """Killed after each of the eight shards was appended, before it is deleted; and before each array is named."""
    largest, sizes = [], []

    def size():
        return sum(f.stat().st_size for f in tmp_path.glob(".*/*") if f.name.endswith((".npy", ".whole")))

    def stop(*_):
        largest.append(size())
        if len(largest) == at + 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        plain = shards.adopt_embeddings
        patch.setattr(shards.os, "fsync", stop)
        patch.setattr(shards, "adopt_embeddings", lambda *a: (stop(), plain(*a)))
        patch.setattr(shards, "_join", lambda *a, join=shards._join: (sizes.append(size()), join(*a)))
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, Computer())
    assert max(largest) <= max(sizes) + 6 * 12 + 128, "the largest shard and a header more"
    again = Computer()
    run(tmp_path, again)
    assert again.seen == [] and not list(tmp_path.glob(".*"))
    np.testing.assert_array_equal(read_embeddings(tmp_path, "a")[1], dense(np.arange(23)))
    ids, b = read_embeddings(tmp_path, "b")
    assert ids.tolist() == IDS.repeat(LENGTHS).tolist() and (b == ragged(np.arange(23)).values).all()


def test_another_key_is_computed_anew(tmp_path):
    run(tmp_path, Computer())
    again = Computer()
    run(tmp_path, again, key="other")
    assert len(again.seen) == 23


def test_ragged_rows_move_with_their_posts():
    order = np.array([4, 0, 3, 3])
    moved = ragged(np.arange(6)).take(order)
    np.testing.assert_array_equal(moved.values, ragged(order).values)
    np.testing.assert_array_equal(moved.lengths, LENGTHS[order])
