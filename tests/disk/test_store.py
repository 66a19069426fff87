"""Tables and embeddings come back as written, and nothing half written is taken for whole."""

import errno
import os
from multiprocessing import get_context

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from smp.disk import store
from smp.disk.store import read_embeddings, read_note, read_table, replacing, write_embeddings, write_table
from smp.errors import DataError


def test_a_posts_like_table_comes_back(tmp_path):
    ids = pd.Index(["1", "2"], name="post_id")
    table = pd.DataFrame(
        {
            "time": pd.DatetimeIndex(["2015-03-01", "2016-01-01"], tz="UTC"),
            "category": pd.Categorical(["Food", None]),
            "title": ["", "è ☃"],
            "tags": pd.Series([["a", "b"], []], dtype=pd.ArrowDtype(pa.list_(pa.string())), index=ids),
            "label": [1.0, np.nan],
        },
        index=ids,
    )
    write_table(tmp_path / "deep" / "t.parquet", table, {"key": "v1"})
    read = read_table(tmp_path / "deep" / "t.parquet")
    pd.testing.assert_frame_equal(
        read.drop(columns="tags"), table.drop(columns="tags").astype({"time": read["time"].dtype})
    )
    assert [list(t) for t in read["tags"]] == [["a", "b"], []]
    assert read_note(tmp_path / "deep" / "t.parquet") == {"key": "v1"}
    assert read_note(tmp_path / "none.parquet") == {}


def test_categories_of_numbers_stay_categories(tmp_path):
    """Parquet keeps those of texts alone: a table from the cache would not be the one that was read."""
    table = pd.DataFrame({"user": pd.Categorical([7, 3, 7, 5]), "n": [1, 2, 3, 4]})
    write_table(tmp_path / "t.parquet", table)
    pd.testing.assert_frame_equal(read_table(tmp_path / "t.parquet"), table)


def test_a_truncated_table_is_refused_by_name(tmp_path):
    write_table(tmp_path / "t.parquet", pd.DataFrame({"a": range(100)}))
    (tmp_path / "t.parquet").write_bytes((tmp_path / "t.parquet").read_bytes()[:200])
    with pytest.raises(DataError, match=r"t\.parquet: not a readable parquet file"):
        read_table(tmp_path / "t.parquet")


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "f.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), replacing(path) as aside:
        aside.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["f.txt"]


def test_embeddings_are_float16_memory_maps_keyed_by_post(tmp_path):
    ids, values = pd.Index(["b", "a"]), np.array([[1.5, 2], [3, 4]])
    write_embeddings(tmp_path, "clip", ids, values, {"key": "k"})
    found, array = read_embeddings(tmp_path, "clip")
    assert list(found) == ["b", "a"] and isinstance(array, np.memmap) and array.dtype == np.float16
    np.testing.assert_array_equal(array, values)


def test_a_new_array_never_meets_the_ids_of_the_old(tmp_path, monkeypatch):
    write_embeddings(tmp_path, "e", pd.Index(["1", "2"]), np.zeros((2, 3)))

    def stop(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(store, "write_table", stop)  # killed between the two files
    with pytest.raises(KeyboardInterrupt):
        write_embeddings(tmp_path, "e", pd.Index(["2", "1"]), np.ones((2, 3)))
    with pytest.raises(DataError, match="no such embeddings"):
        read_embeddings(tmp_path, "e")


def test_an_array_without_its_ids_does_not_count(tmp_path):
    write_embeddings(tmp_path, "clip", pd.Index(["a"]), np.ones((1, 2)))
    (tmp_path / "clip.ids.parquet").unlink()
    with pytest.raises(DataError, match="no such embeddings"):
        read_embeddings(tmp_path, "clip")
    with pytest.raises(ValueError, match="2 ids for 1 rows"):
        write_embeddings(tmp_path, "clip", pd.Index(["a", "b"]), np.ones((1, 2)))


@pytest.mark.parametrize("system", ["Linux", "macOS"])
def test_a_new_array_has_its_room_before_it_is_written(tmp_path, monkeypatch, system):
    if system == "macOS":
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
    made = store.new_array(tmp_path / "x.npy", (2**20 + 3, 9))  # more than one piece of zeros
    made[-1] = 1
    made.flush()
    found, size = np.load(tmp_path / "x.npy"), (tmp_path / "x.npy").stat()
    assert (
        found.shape == (2**20 + 3, 9) and found.dtype == np.float16 and (found[-1] == 1).all() and not found[:-1].any()
    )
    assert size.st_blocks * 512 >= size.st_size


def test_what_a_killed_process_left_of_a_file_goes_and_what_another_is_writing_stays(tmp_path):
    child = get_context("fork").Process(target=int)
    child.start()
    child.join()
    host = os.uname().nodename
    dead, living = (tmp_path / f".f.txt.{host}.{process}.partial" for process in (child.pid, os.getppid()))
    elsewhere = tmp_path / f".f.txt.{host}2.{child.pid}.partial"
    for left in (dead, living, elsewhere):
        left.touch()
    with replacing(tmp_path / "f.txt") as aside:
        aside.write_text("whole")
        assert not (tmp_path / "f.txt").exists()
    assert {p.name for p in tmp_path.iterdir()} == {"f.txt", living.name, elsewhere.name}


def test_a_folder_that_cannot_be_written_is_said_before_and_nothing_is_left_in_one_that_can(tmp_path):
    store.check_writable(tmp_path / "not" / "yet")
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"file/below: cannot be written \(Not a directory\)"):
        store.check_writable(tmp_path / "file" / "below")


@pytest.mark.parametrize(
    ("error", "refused"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (OSError(errno.EROFS, "Read-only", "{path}"), True),
        (OSError(errno.EROFS, "Read-only", "{path}.partial"), True),
        (OSError(errno.EACCES, "Permission denied", "{path.parent.parent}"), True),
        (FileNotFoundError(errno.ENOENT, "No such file", "/elsewhere/input.csv"), False),
        (ValueError("a fault of the code"), False),
        (DataError("a fault of the data"), False),
    ],
    ids=str,
)
def test_want_of_room_or_right_is_told_from_other_faults(tmp_path, error, refused):
    path = tmp_path / "deep" / "file"
    path.parent.mkdir()
    if getattr(error, "filename", None):
        error.filename = error.filename.format(path=path)
    with pytest.raises(DataError if refused else type(error)) as caught, store.writing(path):
        raise error
    assert (caught.value is not error) == refused
    assert not refused or str(caught.value).startswith(f"{path}: cannot be written ({error.strerror}); make room")


def test_an_array_of_other_length_than_its_ids_is_refused(tmp_path):
    write_embeddings(tmp_path, "clip", pd.Index(["a", "b"]), np.ones((2, 2)))
    np.save(tmp_path / "clip.npy", np.ones((3, 2), np.float16))
    with pytest.raises(DataError, match=r"clip\.npy: 3 rows for 2 ids"):
        read_embeddings(tmp_path, "clip")
