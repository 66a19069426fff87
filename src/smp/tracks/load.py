"""Official files -> one posts table per track, cached as parquet; demo files are generated where there are none."""

import hashlib
import json
import os
import sys
from functools import lru_cache
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd

from smp import paths, tracks
from smp.disk import pictures
from smp.disk.hashes import source_hash
from smp.disk.locks import locked
from smp.disk.store import read_note, read_table, write_table, writing
from smp.errors import DataError
from smp.tracks import official

_NOT_METADATA = {"train", "test", "external", "features"}  # folders of pictures, videos and optional inputs


def ensure_data(track: str) -> Path:
    """The track's data folder; generates the demo data, and says so, where no official files are found.

    Raises DataError where demo data of another size than SMP_DEMO_POSTS are there.
    """
    if not paths.is_demo(track):
        return paths.data(track)
    with locked(paths.lock(track, "demo_data")):
        folder, posts = paths.demo_data(), paths.demo_posts()
        if not folder.is_dir():
            from smp.tracks import demo

            print(f"No official files in {paths.official(track)}: GENERATING DEMO data.", file=sys.stderr)
            with writing(folder):
                demo.generate(folder, posts=posts)
        found = json.loads((folder / "ceiling.json").read_text())["posts"]
        if found != posts:
            remedy = f"set SMP_DEMO_POSTS={found}, point SMP_OUTPUT at another folder or delete {folder.parent}"
            raise DataError(f"{folder}: holds {found} demo posts, not {posts}; {remedy}")
    return paths.data(track)


def read_posts(track: str) -> tuple[pd.DataFrame, dict[str, int]]:
    """The posts table of a track (train first, then test) and the count of every quirk handled.

    Read from a parquet cache where the source files' sizes and times are those it was made from. Raises DataError.
    """
    cache, key = _cache(track), _cache_key(track)  # which may generate the demo data: never inside the lock
    if read_note(cache).get("key") != key:
        with locked(paths.lock(track, "posts")):  # of stages started together one reads the files
            if read_note(cache).get("key") != key:
                folder = paths.data(track)
                posts, quirks = tracks.get(track).read(folder)
                note = {"key": key, "fingerprint": _content_hash(folder), "quirks": json.dumps(quirks)}
                write_table(cache, posts, note)
                return posts, quirks
    posts = read_table(cache)
    for column in posts.select_dtypes(["datetime", "datetimetz"]):  # parquet knows no whole seconds
        posts[column] = posts[column].dt.as_unit("s")
    return posts, json.loads(read_note(cache)["quirks"])


@lru_cache(maxsize=2)
def load_posts(track: str) -> pd.DataFrame:
    """The posts table of a track, loaded once a process; shared: treat it as read-only."""
    return read_posts(track)[0]


def fingerprint(track: str) -> str:
    """Hash of the bytes of the track's official metadata files (loads the posts where their cache is stale)."""
    note = read_note(_cache(track))
    if note.get("key") != _cache_key(track):
        load_posts(track)
        note = read_note(_cache(track))
    return note["fingerprint"]


def ceiling(track: str) -> dict | None:
    """The best scores the demo's generating model allows, or None for official data."""
    if not paths.is_demo(track):
        return None
    return json.loads((paths.demo_data() / "ceiling.json").read_text())[track]


def train_mask(posts: pd.DataFrame) -> np.ndarray:
    """(n,) bool: the labelled posts."""
    return (posts["split"] == "train").to_numpy()


def _cache(track: str) -> Path:
    return paths.output(track) / "posts" / f"{track}.parquet"


def _cache_key(track: str) -> str:
    """Changes with the name, size or time of a source file, the names of folders (pictures may come later) and code."""
    folder = ensure_data(track)
    files, folders = _metadata(folder)
    stats = [(str(f.relative_to(folder)), f.stat().st_size, f.stat().st_mtime_ns) for f in files]
    loader = source_hash(import_module(f"smp.tracks.{track}.read").__file__, official.__file__, pictures.__file__)
    return hashlib.blake2b(repr((loader, stats, folders)).encode(), digest_size=16).hexdigest()


def _metadata(folder: Path) -> tuple[list[Path], list[str]]:
    """Metadata files below the folder, and the folders' names; picture folders, with 70,000 users, are not entered."""
    files, names = [], []
    for parent, inner, found in os.walk(folder):
        names += sorted(inner)
        inner[:] = sorted(f for f in inner if f not in _NOT_METADATA and f[0] != ".")
        files += [Path(parent, n) for n in sorted(found) if n.endswith((".json", ".jsonl", ".txt"))]
    return files, names


def _content_hash(folder: Path) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for path in _metadata(folder)[0]:
        digest.update(str(path.relative_to(folder)).encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "blake2b").digest())
    return digest.hexdigest()
