"""What lies below a folder: each thing once, links followed, never in a circle; and what is not what its name says."""

import os

import pytest

from smp.disk import pictures
from smp.disk.walk import below, mistaken, walk


def names(folder, widest=None):
    return {
        (str(place.relative_to(folder)), *sorted((*folders, *files))) for place, folders, files in walk(folder, widest)
    }


def test_links_are_followed_and_never_in_a_circle(tmp_path):
    root, other = tmp_path / "root", tmp_path / "other"
    (root / "a").mkdir(parents=True)
    other.mkdir()
    (other / "x.json").touch()
    (root / "a" / "up").symlink_to(root, True)
    (root / "b").symlink_to(other, True)
    (root / "c").symlink_to(other, True)
    (root / "loop").symlink_to("loop")
    (root / ".hidden").mkdir()
    (root / "__MACOSX").mkdir()
    assert names(root) == {(".", "a", "b", "c"), ("a", "up"), ("b", "x.json")}
    assert list(walk(tmp_path / "none")) == []


def test_of_many_folders_side_by_side_none_is_entered(tmp_path):
    for i in range(4):
        (tmp_path / "train" / f"user{i}").mkdir(parents=True)
    (tmp_path / "train" / "a.jsonl").touch()
    users = tuple(f"user{i}" for i in range(4))
    assert names(tmp_path, widest=3) == {(".", "train"), ("train", "a.jsonl", *users)}
    assert len(names(tmp_path, widest=4)) == 6


def test_what_changes_is_seen_at_once(tmp_path):
    os.utime(tmp_path, (1, 1))  # settled long ago
    assert names(tmp_path) == {(".",)}
    (tmp_path / "a").touch()
    assert names(tmp_path) == {(".", "a")}
    (tmp_path / "b").touch()
    assert names(tmp_path) == {(".", "a", "b")}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_no_file_and_nobody_waits_for_it(tmp_path):
    os.mkfifo(tmp_path / "a.jpg")
    assert list(below(tmp_path, (".jpg",))) == []
    assert pictures.load_rgb(tmp_path / "a.jpg") is None
    assert pictures.scan(tmp_path, ["a.jpg"])["status"].tolist() == ["unreadable"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "pointer of Git LFS"),
        (b"\xef\xbb\xbf\n<!DOCTYPE html>", "web page"),
        (b"<html>", "web page"),
        (b"{}", ""),
        (b"", ""),
    ],
)
def test_what_is_not_what_its_name_says(tmp_path, content, told):
    (tmp_path / "f").write_bytes(content)
    assert told in mistaken(tmp_path / "f") and bool(told) == bool(mistaken(tmp_path / "f"))
    assert mistaken(tmp_path / "none") == ""
