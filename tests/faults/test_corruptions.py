"""Corrupted official files and pictures: each is handled and counted, or refused with one line. Run as a script, prints
the table.

Every case starts from generated files of both tracks. Handled: the posts table is that of the sound files but for the
columns named, and exactly the counts named are told. Refused: one DataError line that names file, row and remedy.
"""

import json
import shutil
import struct
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from smp.disk import pictures
from smp.encoders import picture_paths
from smp.errors import DataError
from smp.tracks import demo
from smp.tracks.image import read as image
from smp.tracks.video import read as video

Change = Callable[[Path], None]
IMAGE_FILES = {
    "additional": "additional_information.json",
    "category": "category.json",
    "text": "text.json",
    "place": "temporalspatial_information.json",
    "user": "user_data.json",
    "images": "img_filepath.txt",
    "label": "label.txt",
}


def at(folder: Path, name: str, split: str = "train") -> Path:
    """An official file by its short name: those of the image track, or posts, users, videos, popularity."""
    if name in IMAGE_FILES:
        return folder / "smpd_image" / f"{split}_allmetadata_json" / f"{split}_{IMAGE_FILES[name]}"
    return folder / "smpd_video" / f"SMP-Video_anonymized_{name}_{split}.jsonl"


def data(name: str, change: Callable, split: str = "train") -> Change:
    """Change the bytes of a file."""

    def apply(folder: Path) -> None:
        path = at(folder, name, split)
        path.write_bytes(change(path.read_bytes()))

    return apply


def rows(name: str, change: Callable, split: str = "train") -> Change:
    """Change the rows of a file, in place or by returning others: objects of JSON or jsonl, or lines of text."""

    def apply(folder: Path) -> None:
        path = at(folder, name, split)
        content = path.read_text("utf-8")
        if path.suffix == ".json":
            table = json.loads(content)
            path.write_text(json.dumps(change(table) or table), "utf-8")
        else:
            read, write = (json.loads, json.dumps) if path.suffix == ".jsonl" else (str, str)
            table = [read(line) for line in content.splitlines()]
            path.write_text("\n".join(write(row) for row in change(table) or table) + "\n", "utf-8")

    return apply


def put(name: str, row: int, key: str, value: object, split: str = "train") -> Change:
    """Set one value; in the user file, a dict of columns, the row is named by its number."""

    def change(table) -> None:
        if isinstance(table, dict):
            table[key][str(row)] = value
        else:
            table[row][key] = value

    return rows(name, change, split)


def every(name: str, key: str, value: object | Callable, splits: tuple[str, ...] = ("train", "test")) -> Change:
    def change(table) -> None:
        for row in table:
            row[key] = value(row[key]) if callable(value) else value

    return both(*(rows(name, change, split) for split in splits))


def both(*changes: Change) -> Change:
    def apply(folder: Path) -> None:
        for change in changes:
            change(folder)

    return apply


def remove(name: str, split: str = "train") -> Change:
    return lambda folder: at(folder, name, split).unlink()


def replace(name: str, make: Callable[[Path], None], split: str = "train") -> Change:
    """Something else in the file's place."""

    def apply(folder: Path) -> None:
        path = at(folder, name, split)
        path.unlink()
        make(path)

    return apply


def line(name: str, row: int, value: str, split: str = "train") -> Change:
    return rows(name, lambda table: table.__setitem__(row, value), split)


def renamed(row: int, pid: object, split: str) -> Change:
    """Another Pid for one post, in every file that has it."""

    def lists(table) -> None:
        table[row] = f"{table[row].rsplit('/', 1)[0]}/{pid}.jpg"

    parts = [put(name, row, "Pid", pid, split) for name in ("additional", "category", "text", "place", "user")]
    return both(*parts, rows("images", lists, split))


def same_id(split: str) -> Change:
    """Row 4 of the split has the Pid of the train's row 2."""

    def apply(folder: Path) -> None:
        renamed(3, json.loads(at(folder, "text").read_text())[1]["Pid"], split)(folder)

    return apply


def no_split(track: str) -> Change:
    def apply(folder: Path) -> None:
        if track == "image":
            shutil.rmtree(at(folder, "text", "test").parent)
        else:
            for path in (folder / "smpd_video").glob("*_test.jsonl"):
                path.unlink()

    return apply


def no_rows(split: str) -> Change:
    def apply(folder: Path) -> None:
        for name in IMAGE_FILES:
            path = at(folder, name, split)
            if path.exists():
                path.write_text("[]" if path.suffix == ".json" else "")

    return apply


def crlf(content: bytes) -> bytes:
    return content.replace(b"\n", b"\r\n")


def bom(content: bytes) -> bytes:
    return b"\xef\xbb\xbf" + content


def inside(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    """Replace the first occurrence, which must be there."""

    def change(content: bytes) -> bytes:
        assert old in content
        return content.replace(old, new, 1)

    return change


def loop(path: Path) -> None:
    path.symlink_to(path.name)


def title(value: object) -> Change:
    return put("text", 0, "Title", value)


def one_user(folder: Path) -> None:
    for split in image.SPLITS:
        for name in ("additional", "category", "text", "place"):
            rows(name, lambda table: [row | {"Uid": "1@N01"} for row in table], split)(folder)
        rows("user", lambda table: table | {"Uid": dict.fromkeys(table["Uid"], "1@N01")}, split)(folder)
        home = f"{split}/1@N01/"
        rows("images", lambda table, home=home: [home + line.rsplit("/", 1)[1] for line in table], split)(folder)


def user_rows(folder: Path) -> None:
    rows("user", lambda table: [dict(zip(table, row)) for row in zip(*(c.values() for c in table.values()))])(folder)


def mixed_ids(table: list[dict]) -> None:
    table[0]["Pid"], table[1]["Pid"] = int(table[0]["Pid"]), float(table[1]["Pid"])


def one_class(folder: Path) -> None:
    for key in ("Category", "Subcategory", "Concept"):
        every("category", key, key)(folder)


def sound(folder: Path) -> None:
    """200 generated posts of both tracks; train's first post and first video user have known values."""
    demo.generate(folder, posts=200, images=False, seed=5, only=("image", "video"))
    place = {"Latitude": "10.5", "Longitude": "20.5", "Geoaccuracy": "16"}
    for key, value in place.items():
        put("place", 0, key, value)(folder)
    account = {"photo_count": 12, "user_description": "light"}
    both(*(put("user", 0, key, value) for key, value in account.items()))(folder)
    both(title("caf!"), put("category", 0, "Concept", "ski"))(folder)
    put("videos", 0, "music_title", "caf!")(folder)


def scattered(folder: Path) -> None:
    """Every file of the image track in a folder of its own, behind links."""
    root = folder / "smpd_image"
    for i, path in enumerate(sorted(root.rglob("*_*.*"))):
        home = folder / "elsewhere" / str(i)
        home.mkdir(parents=True)
        path.rename(home / path.name)
        (root / f"part{i}").symlink_to(home, True)


def capitals(folder: Path) -> None:
    for path in sorted((folder / "smpd_image").rglob("*_*.*")):
        path.rename(path.with_name(path.name.upper()))


def by_split(folder: Path) -> None:
    for path in sorted((folder / "smpd_video").glob("*.jsonl")):
        home = path.parent / path.stem.rsplit("_", 1)[1]
        home.mkdir(exist_ok=True)
        path.rename(home / path.name)


def beside_list(folder: Path, ending: str) -> None:
    """The first picture of train, in its place with another ending."""
    listed = folder / "smpd_image" / at(folder, "images").read_text().split("\n")[0]
    listed.parent.mkdir(parents=True)
    listed.with_suffix(ending).touch()


FIRST = {"photo_firstdate"}
MARKED = {"files with a byte order mark": 1}
# name -> change, the counts it adds to those of sound files (None: some), the columns that then differ from theirs
HANDLED: dict[str, tuple[Change, dict[str, int | None], set[str]]] = {
    **{f"image: byte order mark in {n}": (data(n, bom), MARKED, set()) for n in IMAGE_FILES},
    "image: CRLF": (both(data("label", crlf), data("images", crlf)), {"files with CRLF line ends": 2}, set()),
    "image: byte that is not UTF-8 after a path": (
        data("images", inside(b"\n", b" \xe9\n")),
        {"files with bytes that are not UTF-8": 1},
        {"image_path"},
    ),
    "image: Latin-1 byte in a title": (
        data("text", inside(b"caf!", b"caf\xe9")),
        {"files with bytes that are not UTF-8": 1},
        {"title"},
    ),
    "image: NUL in a title": (title("a\0b"), {"Title with a NUL": 1}, {"title"}),
    "image: NUL in the tags": (put("text", 0, "Alltags", "a\0b"), {"Alltags with a NUL": 1}, {"tags"}),
    "image: NaN": (put("user", 0, "photo_count", float("nan")), {"photo_count missing": 1}, {"photo_count"}),
    "image: Infinity": (put("user", 0, "photo_count", float("inf")), {"photo_count missing": 1}, {"photo_count"}),
    "image: huge number": (put("user", 0, "photo_count", 1e300), {"photo_count missing": 1}, {"photo_count"}),
    "image: 400 digits": (put("user", 0, "photo_count", 10**400), {"photo_count missing": 1}, {"photo_count"}),
    "image: negative count": (put("user", 0, "photo_count", -5), {"photo_count missing": 1}, {"photo_count"}),
    "image: extra keys": (rows("text", lambda t: [r | {"Extra": {"a": []}} for r in t]), {}, set()),
    "image: keys in another order": (rows("user", lambda t: dict(reversed(t.items()))), {}, set()),
    "image: ids as int, float and text": (
        rows("place", mixed_ids),
        {"Pid given as int": 1, "Pid given as float": 1},
        set(),
    ),
    "image: user file as rows": (user_rows, {}, set()),
    "image: no title anywhere": (every("text", "Title", ""), {"titles empty": None}, {"title"}),
    "image: null title": (title(None), {"titles empty": 1}, {"title"}),
    "image: no tag anywhere": (every("text", "Alltags", ""), {"tags empty": None}, {"tags"}),
    "image: title of 100,000 characters": (
        title("long " * 20_000),
        {"titles over 10,000 characters": 1},
        {"title"},
    ),
    "image: emoji and right-to-left text": (title("👩‍👩‍👧 שלום \u202eمرحبا"), {}, {"title"}),
    "image: 10,000 tags": (put("text", 0, "Alltags", " ".join(f"t{i}" for i in range(10_000))), {}, {"tags"}),
    "image: date in the future": (put("place", 0, "Postdate", "4070908800"), {"Postdate in the future": 1}, {"time"}),
    "image: coordinates out of range": (
        put("place", 0, "Latitude", "95"),
        {"coordinates missing": 1},
        {"latitude", "longitude"},
    ),
    "image: accuracy out of range": (put("place", 0, "Geoaccuracy", 99), {"Geoaccuracy outside 0..16": 1}, set()),
    "image: one user": (one_user, {}, {"user_id", "image_path"}),
    "image: one class": (
        one_class,
        dict.fromkeys(("Category spelt Whether&Season", "Subcategory unseen in train", "Concept unseen in train")),
        {"category", "subcategory", "concept"},
    ),
    "image: class with one post": (put("category", 0, "Subcategory", "alone"), {}, {"subcategory"}),
    "image: class only in the test": (
        put("category", 0, "Subcategory", "new", "test"),
        {"Subcategory unseen in train": 1},
        {"subcategory"},
    ),
    "image: labels under a header": (
        data("label", lambda b: b"label\n" + b),
        {"header line above the labels": 1},
        set(),
    ),
    "image: paths under a header": (
        data("images", lambda b: b"path\n" + b),
        {"header line above image paths": 1},
        set(),
    ),
    "image: paths in quotes": (
        rows("images", lambda t: [f'"{path}"' for path in t]),
        {"paths in quotes or with backslashes": None},
        set(),
    ),
    "image: paths of Windows": (
        rows("images", lambda t: [path.replace("/", "\\") for path in t]),
        {"paths in quotes or with backslashes": None},
        set(),
    ),
    "image: paths in capitals": (
        rows("images", lambda t: [path.replace("train", "TRAIN", 1) for path in t]),
        {"zip prefix stripped from image path": None},
        set(),
    ),
    "image: a lone surrogate": (
        data("text", inside(b"caf!", rb"caf\ud83d")),
        {"texts with half a character (a lone surrogate)": 1},
        {"title"},
    ),
    "image: a truth value for a count": (
        put("user", 0, "photo_count", True),
        {"photo_count given as true or false": 1, "photo_count missing": 1},
        {"photo_count"},
    ),
    "image: a truth value for a flag": (put("user", 0, "ispro", True), {}, {"ispro"}),
    "image: truth values in words": (
        rows("additional", lambda t: [r | {"Ispublic": " True" if r["Ispublic"] in (1, "1") else "FALSE"} for r in t]),
        {},
        set(),
    ),
    "image: first picture in 1900": (
        put("user", 1, "photo_firstdate", "1900-01-01 00:00:00"),
        {"photo_firstdate missing": 1, "photo_firstdate before the first web page": 1},
        FIRST,
    ),
    "image: a count of -1": (put("user", 0, "photo_count", -1), {"photo_count missing": 1}, {"photo_count"}),
    "image: first picture at 0 seconds": (
        put("user", 1, "photo_firstdate", "0"),
        {"photo_firstdate missing": 1},
        FIRST,
    ),
    "image: first picture at -1 seconds": (
        put("user", 1, "photo_firstdate", -1),
        {"photo_firstdate missing": 1},
        FIRST,
    ),
    "image: first picture taken in 2030": (
        put("user", 1, "photo_firstdatetaken", "1905091330"),
        {"photo_firstdatetaken missing": 1, "photo_firstdatetaken after the last post": 1},
        {"photo_firstdatetaken"},
    ),
    "image: a description of the old layout": (
        put("user", 0, "user_description", ",".join(["0.25"] * 399)),
        {"user_description given as a vector": 1, "user_description missing": 1},
        {"user_description"},
    ),
    "image: words for nothing": (put("category", 0, "Concept", "nan"), {"Concept missing": 1}, {"concept"}),
    "image: files in other places": (scattered, {}, set()),
    "image: files in capitals": (capitals, {}, set()),
    "image: a loop of folders": (lambda f: (f / "smpd_image" / "again").symlink_to("..", True), {}, set()),
    "image: a copy beside": (
        lambda f: shutil.copytree(at(f, "text").parent, f / "smpd_image" / "copy") and None,
        {},
        set(),
    ),
    **{
        f"image: pictures with the ending {ending!r}": (
            lambda f, ending=ending: beside_list(f, ending),
            {"pictures found elsewhere than listed": None},
            {"image_path"},
        )
        for ending in ("", ".jfif", ".PNG")
    },
    "image: another label file that differs": (
        lambda f: (f / "smpd_image" / "train_label.txt").write_text("1"),
        {"copies of a file that differ and are not read": 1},
        set(),
    ),
    "image: blank class": (put("category", 0, "Concept", " "), {"Concept missing": 1}, {"concept"}),
    **{f"video: byte order mark in {n}": (data(n, bom), MARKED, set()) for n in video.KEYS},
    "video: CRLF": (data("videos", crlf), {"files with CRLF line ends": 1}, set()),
    "video: Latin-1 byte": (
        data("videos", inside(b"caf!", b"caf\xe9")),
        {"files with bytes that are not UTF-8": 1},
        {"music_title"},
    ),
    "video: rows in another order": (rows("users", lambda t: t[::-1]), {}, set()),
    "video: extra keys": (rows("posts", lambda t: [r | {"more": 1} for r in t]), {}, set()),
    "video: user twice": (rows("users", lambda t: [*t, t[0]]), {"duplicate user rows dropped": 1}, set()),
    "video: user missing": (rows("users", lambda t: t[1:]), {"posts without user row": None}, set(video.COUNTS)),
    "video: negative length": (
        put("videos", 0, "video_duration", -3),
        {"video_duration missing": 1},
        {"video_duration"},
    ),
    "video: huge length": (
        put("videos", 0, "video_duration", 1e200),
        {"video_duration missing": 1},
        {"video_duration"},
    ),
    "video: length a word": (
        put("videos", 0, "video_duration", "long"),
        {"video_duration missing": 1},
        {"video_duration"},
    ),
    "video: huge count": (
        put("users", 0, "user_heart_count", 1e300),
        {"user_heart_count missing": 1},
        {"user_heart_count"},
    ),
    "video: date in the future": (
        put("posts", 0, "post_time", "2099-01-01 00:00"),
        {"post_time in the future": 1},
        {"time"},
    ),
    "video: a lone surrogate": (
        data("videos", inside(b"caf!", rb"caf\ud83d")),
        {"texts with half a character (a lone surrogate)": 1},
        {"music_title"},
    ),
    "video: NaN": (
        put("videos", 0, "video_duration", float("nan")),
        {"video_duration missing": 1},
        {"video_duration"},
    ),
    "video: 400 digits": (
        put("videos", 0, "video_duration", 10**400),
        {"video_duration missing": 1},
        {"video_duration"},
    ),
    "video: no length": (put("videos", 0, "video_duration", 0), {"video_duration missing": 1}, {"video_duration"}),
    "video: a truth value for a length": (
        put("videos", 0, "video_duration", True),
        {"video_duration missing": 1},
        {"video_duration"},
    ),
    "video: a count of -1": (
        put("users", 0, "user_digg_count", -1),
        {"user_digg_count missing": 1},
        {"user_digg_count"},
    ),
    "video: NUL in a text": (
        put("posts", 0, "post_content", "a\0b"),
        {"post_content with a NUL": 1},
        {"title", "post_content"},
    ),
    "video: NUL in a word": (
        put("posts", 0, "post_suggested_words", ["a\0b"]),
        {"post_suggested_words with a NUL": 1},
        {"tags"},
    ),
    "video: time in seconds": (put("posts", 0, "post_time", 1690654860), {}, {"time"}),
    "video: paths of Windows": (
        every("posts", "video_path", lambda path: path.replace("/", "\\")),
        {"paths in quotes or with backslashes": None},
        set(),
    ),
    "video: files in train/ and test/": (by_split, {}, set()),
    "video: a loop of folders": (lambda f: (f / "smpd_video" / "again").symlink_to("..", True), {}, set()),
    "video: no words anywhere": (
        both(every("posts", "post_content", ""), every("posts", "post_suggested_words", [])),
        {"post_content empty": None, "suggested words empty": None},
        {"title", "tags", "post_content"},
    ),
    "video: text of 100,000 characters": (
        put("posts", 0, "post_content", "long " * 20_000),
        {"post_content over 10,000 characters": 1},
        {"title", "post_content"},
    ),
    "video: emoji and right-to-left text": (
        put("posts", 0, "post_content", "😀,שלום"),
        {},
        {"title", "post_content"},
    ),
}


def half(content: bytes) -> bytes:
    """Cut in the middle of a row, wherever the middle of the file lies."""
    return content[: len(content) // 2].rstrip(b"\n}")


def broken(track: str, split: str) -> Iterator[tuple[str, tuple[Change, list[str]]]]:
    """Each file of a split missing, empty and truncated."""
    for name in IMAGE_FILES if track == "image" else video.KEYS:
        if split == "train" or name not in ("label", "popularity"):
            file = at(Path(), name, split).name
            yield f"{name} missing", (remove(name, split), ["missing", file])
            yield f"{name} empty", (data(name, lambda b: b"", split), [file])
            yield f"{name} truncated", (data(name, half, split), [file])


def first_pids(folder: Path) -> list[str]:
    return [json.loads(row)["pid"] for row in at(folder, "posts").read_text("utf-8").splitlines()[:2]]


# name -> change, words of the one line beside the remedy
REFUSED: dict[str, tuple[Change, list[str]]] = {
    **{f"image: {what} of {split}": case for split in image.SPLITS for what, case in broken("image", split)},
    "image: a web page for a file": (
        data("text", lambda b: b"<!DOCTYPE html><p>Log in"),
        ["train_text.json", "a web page"],
    ),
    "image: a pointer for a file": (
        data("label", lambda b: b"version https://git-lfs.github.com/spec/v1\noid sha256:0"),
        ["train_label.txt", "pointer of Git LFS"],
    ),
    "image: two files that differ": (
        lambda f: (f / "smpd_image" / "TRAIN_TEXT.json").write_text("[]") and scattered(f),
        ["there is another, and they differ", "TRAIN_TEXT.json"],
    ),
    "image: a zip for a file": (
        replace("category", lambda path: (path.parent / "metadata.zip").touch()),
        ["missing train_category.json", "unpack train_allmetadata_json/metadata.zip"],
    ),
    "image: a truth value for an id": (put("text", 1, "Pid", True), ["train_text.json: row 2: Pid True"]),
    "image: an id that lost digits": (put("text", 1, "Pid", 1e20), ["train_text.json: row 2: Pid 1e+20"]),
    "image: date in another notation": (put("place", 1, "Postdate", "20150228"), ["row 2", "'20150228' is no date"]),
    "image: date -1": (put("place", 1, "Postdate", -1), ["row 2", "'-1' is no date"]),
    "image: date that is none": (put("place", 1, "Postdate", "2015-02-30 10:00:00"), ["row 2", "is no date"]),
    "image: pictures of another kind": (
        lambda f: beside_list(f, ".heic"),
        [".heic: lies in the place of a listed file, and is none of .jpg"],
    ),
    "image: pictures at other paths": (
        lambda f: (f / "smpd_image" / "all").mkdir() or (f / "smpd_image" / "all" / "1.jpg").touch(),
        ["holds pictures, such as all/1.jpg, but none where"],
    ),
    "video: a truth value for a label": (
        put("popularity", 1, "popularity", True),
        ["popularity_train.jsonl", "line 2"],
    ),
    "video: a truth value for an id": (put("videos", 1, "pid", False), ["videos_train.jsonl: line 2: pid False"]),
    **{
        f"video: {key} {value!r}": (put("posts", 1, key, value), ["posts_train.jsonl: line 2", key, "list of texts"])
        for key in video.LISTS
        for value in (5, True, {"a": "b"}, ["a", ["b"]], ["a", 1], "[1]")
    },
    **{
        f"video: another user in {name}": (put(name, 1, "uid", "USER0"), [f"{name}_train.jsonl: line 2", "'USER0'"])
        for name in ("popularity", "videos")
    },
    "image: NUL in an id": (put("text", 1, "Pid", "1\0"), ["train_text.json: row 2: Pid '1\\x00' is no name"]),
    "image: escapes in an id": (put("text", 1, "Uid", "\x1b[2J"), ["row 2: Uid '\\x1b[2J'"]),
    "video: date that is none": (put("posts", 1, "post_time", "2023-02-30 10:00"), ["line 2", "is no date"]),
    "image: a folder for a file": (replace("category", Path.mkdir), ["missing", "train_category.json"]),
    "image: a loop of links for a file": (replace("category", loop), ["missing", "train_category.json"]),
    "image: a word for a table": (data("text", lambda b: b'"no"'), ["train_text.json", "no posts"]),
    "image: UTF-16": (data("text", lambda b: b.decode().encode("utf-16")), ["train_text.json", "byte 0"]),
    "image: raw NUL bytes": (data("text", inside(b"caf!", b"caf\0")), ["train_text.json", "invalid JSON at byte"]),
    "image: NUL bytes in labels": (line("label", 2, "\0\0"), ["train_label.txt", "row 3"]),
    "image: a million brackets": (data("text", lambda b: b"[" * 10**6), ["train_text.json"]),
    "image: missing key": (rows("category", lambda t: t[4].pop("Concept") and None), ["row 5", "'Concept'"]),
    "image: row lost": (rows("text", lambda t: t[:-1]), ["train_text.json", "posts"]),
    "image: rows in another order": (rows("text", lambda t: t[::-1]), ["train_text.json", "row 1", "one order"]),
    "image: post twice": (same_id("train"), ["train_additional_information.json", "row 4", "twice (row 2)"]),
    "image: post in both splits": (same_id("test"), ["test_additional_information.json", "row 4", "train too (row 2)"]),
    "image: no test split": (no_split("image"), ["missing", "test_additional_information.json"]),
    "image: empty test split": (no_rows("test"), ["test_additional_information.json", "no posts"]),
    "image: empty train split": (no_rows("train"), ["train_additional_information.json", "no posts"]),
    "image: date zero": (put("place", 1, "Postdate", "0"), ["temporalspatial", "row 2", "'0'"]),
    "image: date a word": (put("place", 1, "Postdate", "soon"), ["temporalspatial", "row 2", "'soon'"]),
    "image: huge date": (put("place", 1, "Postdate", 1e300), ["temporalspatial", "row 2"]),
    "image: a list for a title": (put("text", 1, "Title", ["a"]), ["train_text.json", "row 2", "Title"]),
    "image: label NaN": (line("label", 1, "nan"), ["train_label.txt", "row 2", "'nan'"]),
    "image: label infinite": (line("label", 1, "-Infinity"), ["train_label.txt", "row 2"]),
    "image: label huge": (line("label", 1, "1e30"), ["train_label.txt", "row 2", "outside 0..64"]),
    "image: label negative": (line("label", 1, "-1"), ["train_label.txt", "row 2", "outside 0..64"]),
    "image: label a word": (line("label", 1, "high"), ["train_label.txt", "row 2", "'high'"]),
    "image: label lost": (rows("label", lambda t: t[:-1]), ["train_label.txt", "labels for"]),
    "image: a label too many": (rows("label", lambda t: [*t, t[0]]), ["train_label.txt", "labels for"]),
    "video: a label too many": (
        rows("popularity", lambda t: [*t, t[0] | {"pid": "POST0"}]),
        ["popularity_train.jsonl", "label for post POST0"],
    ),
    "image: path that climbs": (line("images", 1, "../../etc/passwd"), ["img_filepath.txt", "row 2", "no path inside"]),
    "image: absolute path": (line("images", 1, "/etc/passwd"), ["img_filepath.txt", "row 2", "no path inside"]),
    "video: no test split": (no_split("video"), ["missing", "posts_test.jsonl"]),
    **{f"video: {what} of {split}": case for split in video.SPLITS for what, case in broken("video", split)},
    "video: an array for a line": (data("posts", lambda b: b"[1]\n" + b), ["posts_train.jsonl", "line 1"]),
    "video: NUL bytes": (data("posts", lambda b: b"\0" + b), ["posts_train.jsonl", "line 1"]),
    "video: not a number": (
        data("videos", inside(b'"video_duration": ', b'"video_duration": NaN')),
        ["videos_train.jsonl", "line 1"],
    ),
    "video: missing key": (rows("users", lambda t: t[2].pop("user_heart_count") and None), ["line 3", "heart"]),
    "video: post twice": (rows("posts", lambda t: [*t, t[1]]), ["posts_train.jsonl", "twice (line 2)"]),
    "video: post in both splits": (
        lambda folder: put("posts", 3, "pid", first_pids(folder)[1], "test")(folder),
        ["posts_test.jsonl", "line 4", "train too (line 2)"],
    ),
    "video: date zero": (put("posts", 1, "post_time", 0), ["posts_train.jsonl", "line 2", "0 is no date"]),
    "video: date of the epoch": (put("posts", 1, "post_time", "1970-01-01 00:00"), ["line 2", "'1970-01-01 00:00'"]),
    "video: date a word": (put("posts", 1, "post_time", "soon"), ["posts_train.jsonl", "line 2", "'soon'"]),
    "video: label 0": (put("popularity", 1, "popularity", 0), ["popularity_train.jsonl", "line 2"]),
    "video: label huge": (put("popularity", 1, "popularity", 1e30), ["popularity_train.jsonl", "line 2"]),
    "video: label lost": (rows("popularity", lambda t: t[1:]), ["popularity_train.jsonl", "no label"]),
    "video: path that climbs": (put("posts", 1, "video_path", "a/../../b"), ["line 2", "no path inside"]),
}


def read(folder: Path, track: str) -> tuple[pd.DataFrame, dict[str, int]]:
    data, quirks = {"image": image, "video": video}[track].read(folder / f"smpd_{track}")
    return data.items.assign(label=data.labels), quirks


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """Folder of the sound files, and what is read of either track."""
    folder = tmp_path_factory.mktemp("sound") / "input"
    sound(folder)
    return folder, {track: read(folder, track) for track in ("image", "video")}


@pytest.fixture
def copy(good, tmp_path):
    return Path(shutil.copytree(good[0], tmp_path / "input"))


def differing(posts: pd.DataFrame, clean: pd.DataFrame) -> set[str]:
    """Columns whose values are not those of the sound files, row by row; categories may be coded otherwise."""
    assert posts.index.tolist() == clean.index.tolist() and list(posts) == list(clean)
    plain = [t.astype({c: "str" for c in t.select_dtypes("category")}) for t in (posts, clean)]
    return {c for c in posts if plain[0][c].tolist() != plain[1][c].tolist() and not plain[0][c].equals(plain[1][c])}


@pytest.mark.parametrize("name", HANDLED)
def test_handled_and_counted(good, copy, name):
    change, counts, columns = HANDLED[name]
    change(copy)
    track = name.split(":")[0]
    posts, quirks = read(copy, track)
    clean, before = good[1][track]
    told = {k: quirks.get(k, 0) - before.get(k, 0) for k in {*quirks, *before}}
    told = {k: n for k, n in told.items() if n}
    assert told == {k: told.get(k) if n is None else n for k, n in counts.items()}
    assert differing(posts, clean) == columns
    check_sound(posts)


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_one_line(copy, name):
    change, words = REFUSED[name]
    change(copy)
    with pytest.raises(DataError) as caught:
        read(copy, name.split(":")[0])
    message = str(caught.value)
    for word in (str(copy), "smp-challenge.com", *words):
        assert word in message, message
    assert "\n" not in message


def check_sound(posts: pd.DataFrame) -> None:
    """What every reader of a posts table may rely on."""
    train = posts["split"] == "train"
    assert posts.index.is_unique and train.any() and not train.all()
    assert np.isfinite(posts["label"][train]).all() and posts["label"][~train].isna().all()
    assert posts["time"].notna().all() and posts["user_id"].notna().all()
    assert not np.isinf(posts.select_dtypes("float").to_numpy()).any()


CHANGES = {name: case[0] for name, case in {**HANDLED, **REFUSED}.items()}
CANNOT = (OSError, ValueError, LookupError, TypeError, AttributeError, AssertionError, RecursionError)
UNDOES = {  # all other refused changes last, whatever else is done to the file
    "image: a list for a title": "image: no title anywhere",
    "image: missing key": "image: one class",
    "image: escapes in an id": "image: one user",
    **{name: "video: no words anywhere" for name in REFUSED if "post_content" in name or "suggested_words" in name},
}
COPIES = {"image: another label file that differs", "image: a copy beside"}  # it differs once the other is changed
ALONE = {n for n in CHANGES if "pictures" in n} | COPIES  # undo each other


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(st.sampled_from(sorted(CHANGES.keys() - ALONE)), min_size=2, max_size=5, unique=True))
def test_any_combination_is_read_or_refused_with_one_line(good, names):
    """Refused if, and only if, it holds a refused change that nothing later undoes."""
    with tempfile.TemporaryDirectory() as temporary:
        folder, made = good[0], []
        for name in names:
            changed = Path(shutil.copytree(folder, Path(temporary) / str(len(made)) / "input", symlinks=True))
            try:
                CHANGES[name](changed)
            except CANNOT:  # what it would change is broken already: taken back, as it may have changed a part
                shutil.rmtree(changed)
            else:
                folder, made = changed, [*made, name]
        assert made
        for track in ("image", "video"):
            bad = {n for i, n in enumerate(made) if n in REFUSED and UNDOES.get(n) not in made[i:] and n[:5] == track}
            try:
                check_sound(read(folder, track)[0])
                refused = ""
            except DataError as error:
                refused = str(error)
            assert bool(refused) == bool(bad), f"{made}: {refused}"
            assert not refused or ("\n" not in refused and str(folder) in refused)


# --- pictures ---


def photo() -> Image.Image:
    x, y = np.meshgrid(np.linspace(0, 255, 64), np.linspace(0, 255, 48))
    return Image.fromarray(np.stack([x, y, 255 - x], axis=2).astype("uint8"))


def saved(mode: str, kind: str, **more: object) -> Callable[[Path], object]:
    return lambda path: photo().convert(mode).save(path, kind, **more)


def deep_grey(path: Path) -> None:
    Image.fromarray(np.linspace(0, 65535, 256).reshape(16, 16).astype("uint16")).save(path, "PNG")


def animated(path: Path) -> None:
    photo().save(path, "GIF", save_all=True, append_images=[photo().rotate(90)])


def truncated(path: Path) -> None:
    photo().save(path, "JPEG", quality=95)
    path.write_bytes(path.read_bytes()[:-300])


def giant(path: Path) -> None:
    """A PNG of a hundred bytes whose header claims 100,000 x 100,000 pixels."""
    head = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    body = struct.pack(">I", len(head)) + b"IHDR" + head + struct.pack(">I", zlib.crc32(b"IHDR" + head))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body + b"\x00\x00\x00\x10IDAT" + b"\x00" * 20)


def outside(path: Path) -> None:
    target = path.parents[4] / "secret.jpg"
    photo().save(target, "JPEG")
    path.symlink_to(target)


def outer_folder(path: Path) -> None:
    target = path.parents[4] / "elsewhere"
    target.mkdir()
    path.parent.rmdir()
    path.parent.symlink_to(target)


# name -> what lies in the picture's place, its status in the census, whether there are pixels to look at
PICTURES: dict[str, tuple[Callable[[Path], object], str, bool]] = {
    "JPEG": (saved("RGB", "JPEG"), "ok", True),
    "CMYK": (saved("CMYK", "JPEG"), "ok", True),
    "grey": (saved("L", "JPEG"), "ok", True),
    "palette": (saved("P", "PNG"), "ok", True),
    "grey with transparency": (saved("LA", "PNG"), "ok", True),
    "one bit": (saved("1", "PNG"), "ok", True),
    "16 bits": (deep_grey, "ok", True),
    "animation": (animated, "ok", True),
    "truncated": (truncated, "ok", True),
    "another format than its name": (saved("RGB", "WEBP"), "ok", True),
    "nothing there": (lambda path: None, "missing", False),
    "0 bytes": (Path.touch, "unreadable", False),
    "text": (lambda path: path.write_text("<html>not found</html>"), "unreadable", False),
    "PostScript": (lambda path: path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n"), "unreadable", False),
    "giant dimensions": (giant, "unreadable", False),
    "a folder": (Path.mkdir, "unreadable", False),
    "a loop of links": (loop, "missing", False),
    "a link to nothing": (lambda path: path.symlink_to("nowhere.jpg"), "missing", False),
}
LEAVING = {"a link out of the folder": outside, "a folder that is a link out": outer_folder}


def in_place(folder: Path, make: Callable[[Path], object]) -> tuple[pd.DataFrame, Path]:
    """The posts, of which the first has what `make` makes for its picture."""
    root = folder / "smpd_image"
    path = root / image.read(root)[0].items["image_path"].iloc[0]
    path.parent.mkdir(parents=True, exist_ok=True)
    make(path)
    return image.read(root)[0].items, root


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_counted_for_what_it_is(copy, name):
    make, status, has_pixels = PICTURES[name]
    posts, root = in_place(copy, make)
    assert pictures.scan(root, posts["image_path"][:1])["status"].tolist() == [status]
    (path,) = picture_paths(posts[:1], root)
    picture = pictures.load_rgb(path)
    assert (picture is not None) is has_pixels
    assert picture is None or picture.mode == "RGB"


@pytest.mark.parametrize("name", LEAVING)
def test_a_picture_outside_the_folder_is_refused(copy, name):
    posts, root = in_place(copy, LEAVING[name])
    for reader in (lambda: pictures.scan(root, posts["image_path"]), lambda: picture_paths(posts, root)):
        with pytest.raises(DataError, match="leads out of the data folder; move the files into it"):
            reader()


# --- the table ---


def table() -> str:
    """Markdown: every case, what became of it, and the totals."""
    lines, totals = ["| case | outcome |", "| --- | --- |"], {"handled": 0, "refused": 0}
    with tempfile.TemporaryDirectory() as temporary:
        base = Path(temporary) / "base" / "input"
        sound(base)
        clean = {track: read(base, track)[1] for track in ("image", "video")}
        for i, (name, change) in enumerate(CHANGES.items()):
            folder, track = Path(temporary) / str(i) / "input", name.split(":")[0]
            shutil.copytree(base, folder)
            change(folder)
            try:
                quirks = read(folder, track)[1]
                told = {k: n - clean[track].get(k, 0) for k, n in quirks.items() if n != clean[track].get(k, 0)}
                outcome = "handled" + "".join(f"; {k}: {n:+}" for k, n in told.items())
            except DataError as error:
                outcome = "refused: " + str(error).replace(f"{folder}/", "")
            totals[outcome[:7]] += 1
            lines.append(f"| {name} | {outcome} |")
        for i, (name, (make, *_)) in enumerate(PICTURES.items()):
            posts, root = in_place(Path(shutil.copytree(base, Path(temporary) / f"p{i}" / "input")), make)
            status = pictures.scan(root, posts["image_path"][:1])["status"].iloc[0]
            lines.append(f"| picture: {name} | handled; {status} |")
            totals["handled"] += 1
        totals["refused"] += len(LEAVING)
        lines += [f"| picture: {name} | refused: leads out of the data folder |" for name in LEAVING]
    return "\n".join([*lines, "", ", ".join(f"{n} {what}" for what, n in totals.items())])


if __name__ == "__main__":
    sys.stdout.write(table() + "\n")
