"""Official files -> a track's data, kept as parquet; demo files are generated where there are none."""

import hashlib
import itertools
import json
import os
import stat
import sys
from contextlib import suppress
from pathlib import Path

import pandas as pd

from smp import paths, tracks
from smp.disk.hashes import code_hash, stat_key
from smp.disk.locks import locked
from smp.disk.store import read_note, read_table, write_table, writing
from smp.errors import DataError
from smp.tracks import demo
from smp.tracks.base import Data
from smp.tracks.official import folders


def ensure_data(track: str) -> Path:
    """The track's data folder; generates the demo data, and says so, where no official files are found.

    Raises DataError where demo data of another size than SMP_DEMO_POSTS are there.
    """
    if not paths.is_demo(track):
        if not paths.official(track).is_dir():  # SMP_INPUT is set, or this would be the demo
            remedy = "lay the official files there, run a track that is there, or unset SMP_INPUT (SMP_INPUT=demo: "
            raise DataError(f"{paths.official(track)}: no such folder; {remedy}generated data)")
        return paths.data(track)
    with locked(paths.lock(track, f"demo-{track}")):
        folder, posts = paths.data(track), paths.demo_posts()
        if not folder.is_dir():
            print(f"No official files in {paths.official(track)}: GENERATING DEMO data.", file=sys.stderr)
            with writing(folder):
                demo.generate(folder.parent, posts=posts, only=(track,))
        found = ceiling(track)["posts"]
        if found != posts:
            remedy = f"set SMP_DEMO_POSTS={found}, point SMP_OUTPUT at another folder or delete {folder.parents[1]}"
            raise DataError(f"{folder}: holds {found} demo posts, not {posts}; {remedy}")
    return folder


def load_data(track: str) -> Data:
    """A track's data (train first, then test). Nothing is shared: the caller may do with the tables what it likes."""
    return read_data(track)[0]


def read_data(track: str) -> tuple[Data, dict[str, int]]:
    """A track's data and the count of every quirk handled.

    Read from a cache where loader, source files' sizes and times are those it was made from. Raises DataError.
    """
    cache, key = _cache(track), _cache_key(track)  # which may generate the demo data: never inside the lock
    if read_note(cache).get("key") != key:
        with locked(paths.lock(track, "posts")):  # of stages started together one reads the files
            if read_note(cache).get("key") != key:
                room, folder = tracks.get(track), paths.data(track)
                data, quirks = room.read(folder)
                for name, table in {"labels": _labels_table(data), "events": data.events, "edges": data.edges}.items():
                    if table is not None and read_note(_cache(track, name)).get("key") != key:
                        write_table(_cache(track, name), table, {"key": key})
                note = {"key": key, "fingerprint": _fingerprint(track, folder), "quirks": json.dumps(quirks)}
                write_table(cache, data.items, note)  # last: where it is whole the others are
                return data, quirks
    items, labels = _read(cache), read_table(_cache(track, "labels")).to_numpy()
    ragged = {n: _read(_cache(track, n)) for n in ("events", "edges") if read_note(_cache(track, n)).get("key") == key}
    data = Data(items, labels if labels.shape[1] > 1 else labels[:, 0], **ragged)
    return data, json.loads(read_note(cache)["quirks"])


def fingerprint(track: str) -> str:
    """Hash of the bytes of the official files that are read and of the code that reads them."""
    note = read_note(_cache(track))
    if note.get("key") != _cache_key(track):
        read_data(track)
        note = read_note(_cache(track))
    return note["fingerprint"]


def media_key(track: str) -> str:
    """Short hash of the pictures or videos of the track's posts that are there: paths, sizes and times.

    They may be laid beside the metadata later, in part, or anew. It asks the system once a post.
    """
    folder, items, digest = paths.data(track), load_data(track).items, hashlib.blake2b(digest_size=8)
    for path in itertools.chain(*(items[column] for column in tracks.get(track).media_paths)):
        with suppress(OSError):
            found = os.stat(f"{folder}/{path}")
            if path and stat.S_ISREG(found.st_mode):
                digest.update(f"{path} {found.st_size} {found.st_mtime_ns}\n".encode(errors="surrogatepass"))
    return digest.hexdigest()


def data_name(track: str) -> str:
    """`official` or `GENERATED DEMO`, as every result says."""
    return "GENERATED DEMO" if paths.is_demo(track) else "official"


def ceiling(track: str) -> dict | None:
    """The best scores the demo's generating model allows, or None for official data."""
    if not paths.is_demo(track):
        return None
    return json.loads(demo.ceiling_file(paths.data(track).parent, track).read_text())


def _cache(track: str, part: str = "") -> Path:
    return paths.output(track) / "posts" / f"{track}{'.' if part else ''}{part}.parquet"


def _labels_table(data: Data) -> pd.DataFrame:
    return pd.DataFrame(data.labels.reshape(len(data), -1), index=data.ids).add_prefix("label")


def _read(path: Path) -> pd.DataFrame:
    table = read_table(path)
    for column in table.select_dtypes(["datetime", "datetimetz"]):  # parquet knows no whole seconds
        table[column] = table[column].dt.as_unit("s")
    return table


def _cache_key(track: str) -> str:
    """Changes with the name, size or time of a source file, the names of folders (pictures may come later) and code."""
    folder = ensure_data(track)
    read = stat_key(tracks.get(track).files(folder)), folders(folder), _loader(track)
    return hashlib.blake2b(repr(read).encode(), digest_size=16).hexdigest()


def _loader(track: str) -> str:
    return code_hash(f"smp.tracks.{track}.read")


def _fingerprint(track: str, folder: Path) -> str:
    digest = hashlib.blake2b(_loader(track).encode(), digest_size=16)
    for path in tracks.get(track).files(folder):
        digest.update(os.path.relpath(path, folder).encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "blake2b").digest())
    return digest.hexdigest()
