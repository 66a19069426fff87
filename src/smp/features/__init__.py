"""Feature families by name: computed once per data set, cached under output/features, read as one matrix.

What is cached here never saw a popularity label. Families made from labels are computed inside the fold
(`from_labels`), under the block rule: a row sees only labels of time blocks other than its own.
"""

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from smp import paths, tracks
from smp.disk.hashes import code_hash, stat_key
from smp.disk.locks import locked
from smp.disk.store import read_embeddings, read_note, read_table, write_embeddings, write_table
from smp.errors import DataError
from smp.features import own
from smp.matrix import FeatureMatrix
from smp.tracks.base import Data, Family
from smp.tracks.load import fingerprint


def named(track: str, names: Sequence[str], of_labels: Sequence[str] = ()) -> dict[str, str]:
    """The key of each, by name. Raises DataError for one that is not there, named twice, or of the other kind."""
    every, families = [*names, *of_labels], _families(track)
    for name in every:
        if every.count(name) > 1:
            raise DataError(f"features '{name}' are named twice; leave one out")
        if (name in families and families[name].labels) != (name in of_labels):
            made = ("without labels", "features") if name in of_labels else ("from labels", "label-features")
            raise DataError(f"features '{name}' are made {made[0]}; name them as --{made[1]}")
        _laid(track, name)
    return {name: key(track, name) for name in every}


def key(track: str, name: str) -> str:
    """What a family's cached values depend on: the data and the code (or the file, when it was not made here)."""
    if family := _families(track).get(name):
        beside = "-" + stat_key(family.inputs()) if family.inputs else ""
        made_of = "".join(f"-{key(track, other)}" for other in family.reads)
        return f"{fingerprint(track)}-{code_hash(family.build.__module__)}{beside}{made_of}"
    path = _locate(track, name)
    return read_note(path).get("key") or f"{path.stat().st_size}-{path.stat().st_mtime_ns}"


def is_external(track: str, name: str) -> bool:
    """True for features from outside the official data, which a submission has to declare."""
    if family := _families(track).get(name):
        return family.external and bool(family.inputs())
    stored = [paths.features(track) / f"{name}.{kind}" for kind in ("parquet", "ids.parquet")]
    made_here = any(read_note(file).get("key") for file in stored)  # by an experiment under a prefix of its own
    return not made_here and name not in tracks.get(track).embeddings


def learn(track: str, name: str, data: Data) -> object:
    """What a family learns of the posts before it describes any (smp.tracks.base.Family.learn); None of most."""
    family = _families(track)[name]
    return family.learn(data.items, **_shards(track, name, family)) if family.learn else None


def build(
    track: str, name: str, data: Data, learnt: object = None, shards: Path | None = None
) -> pd.DataFrame | np.ndarray:
    """Compute a family that is made without labels: a frame, or an array (n, d), rows as in the items.

    learnt: what `learn` made of other posts. shards: another folder than the cache's for long work.
    """
    family = _families(track)[name]
    read = [_embedding(track, other, data.ids) for other in family.reads]
    more = {"events": data.events} if family.events else {}
    more |= {"edges": data.edges} if family.edges else {}
    more |= _shards(track, name, family, shards)
    more |= {"learnt": learnt} if family.learn else {}
    return family.build(data.items, *read, **more)


def stored(track: str, name: str, ids: pd.Index) -> pd.DataFrame | np.ndarray:
    """A family or embedding that is cached, or laid by the user: a frame, or an array (n, d) float16, rows as in ids.

    Raises DataError where it is not there or lacks a post.
    """
    path = _locate(track, name)
    if path.name.endswith(".ids.parquet"):
        return _embedding(track, name, ids)
    table = own.read(path, ids) if path.parent == paths.extra_features(track) else read_table(path)
    rows = _positions(table.index, ids, path)
    return table if np.array_equal(rows, np.arange(len(table))) else table.iloc[rows]


def make(track: str, name: str, data: Data) -> None:
    """Compute such a family and cache it, unless the cache is fresh."""
    folder, fresh = paths.features(track), key(track, name)
    table, keys = folder / f"{name}.parquet", folder / f"{name}.ids.parquet"
    with locked(paths.lock(track, f"features-{name}")):  # another process may be making it
        if fresh in (read_note(table).get("key"), read_note(keys).get("key")):
            return
        started = time.perf_counter()
        made = build(track, name, data)
        if isinstance(made, pd.DataFrame):
            write_table(table, made, {"key": fresh})
        else:
            write_embeddings(folder, name, data.ids, made, {"key": fresh})
    print(f"features {track}/{name}: {made.shape[1]} columns in {time.perf_counter() - started:.1f} s", file=sys.stderr)


def load(track: str, names: Sequence[str], data: Data) -> FeatureMatrix:
    """The named families side by side, rows as in the data. Raises DataError when one is missing, lacks a post, or has
    a column of another.
    """
    matrices, of_column = [], {}
    for name in names:
        if name in _families(track):
            make(track, name, data)
        matrices.append(_read(track, name, data.ids))
        if twice := [column for column in matrices[-1].names if column in of_column]:
            file, other = (_locate(track, n) for n in (name, of_column[twice[0]]))
            where = f"{file}: has the column '{twice[0]}' of {other} too"
            raise DataError(f"{where}; leave one out, or rename the column of a file of your own")
        of_column |= dict.fromkeys(matrices[-1].names, name)
    if not matrices:
        raise ValueError("no features named")
    return matrices[0].join(*matrices[1:])


def from_labels(
    track: str, names: Sequence[str], data: Data, y: np.ndarray, block: np.ndarray, seed: int
) -> FeatureMatrix:
    """The label families of one fit side by side: y (n,) or (n, k) NaN where hidden, block (n,) of every item in time.

    Of several labels each has columns of its own, `<name>_<j>`.
    """
    tables = []
    for name in names:
        family = _families(track)[name]
        more = {"events": data.events} if family.events else {}
        if y.ndim == 1:
            tables.append(family.build(data.items, y, block, seed, **more))
        else:
            made = [family.build(data.items, column, block, seed, **more) for column in y.T]
            tables += [table.add_suffix(f"_{j}") for j, table in enumerate(made)]
    return FeatureMatrix.from_table(pd.concat(tables, axis=1))


def _shards(track: str, name: str, family: Family, folder: Path | None = None) -> dict[str, Path]:
    return {"shards": folder or paths.features(track) / f"{name}.shards"} if family.shards else {}


def _families(track: str) -> Mapping[str, Family]:
    return tracks.get(track).families


def laid(track: str) -> list[str]:
    """The names of the user's own feature files; of what is none, and not read, why."""
    folder, found = paths.extra_features(track), []
    for file in sorted(folder.iterdir()) if folder.is_dir() else ():
        remark = "" if file.suffix == ".parquet" else " (not read: no .parquet)"
        if not remark and file.stem in _names(track) and not _reads(track, file.stem, file):
            remark = " (refused: named like features that are made here)"
        found += [file.name + remark] if file.name[0] != "." else []
    return found


def _laid(track: str, name: str) -> Path:
    """Where a user's own features of that name lie. Raises DataError where others have the name."""
    path, folder = paths.extra_features(track) / f"{name}.parquet", paths.features(track)
    cached = any((folder / f"{name}{ending}").is_file() for ending in (".parquet", ".ids.parquet"))
    if path.is_file() and (name in _names(track) or cached) and not _reads(track, name, path):
        raise DataError(f"{path}: features of that name are made here; give the file another name")
    return path


def _names(track: str) -> set[str]:
    return {*_families(track), *tracks.get(track).embeddings}


def _reads(track: str, name: str, path: Path) -> bool:
    """Whether the family is made from that file, or of items whose official files it is one of."""
    family = _families(track).get(name)
    if family is None:
        return False
    return path in (family.inputs() if family.inputs else tracks.get(track).files(paths.data(track)))


def _locate(track: str, name: str) -> Path:
    """The file of a family: made here, made by an experiment, or laid beside the official data by the user."""
    folder = paths.features(track)
    laid = _laid(track, name)
    candidates = (folder / f"{name}.parquet", folder / f"{name}.ids.parquet", laid)
    for path in candidates:
        if path.is_file():
            return path
    made_by = tracks.get(track).embeddings
    if name in made_by:
        raise DataError(f"features '{name}' are not there yet; make them with: python exp/{made_by[name]}/train.py")
    known = ", ".join([*(n for n, family in _families(track).items() if not family.labels), *made_by])
    raise DataError(f"{laid}: no such features; lay the file there or use one of: {known}")


def _embedding(track: str, name: str, ids: pd.Index) -> np.ndarray:
    """A stored embedding (n, d) float16, rows as in `ids`: the memory map itself where it has this order."""
    path = _locate(track, name)
    keys, array = read_embeddings(path.parent, name)
    return array if keys.equals(ids) else array[_positions(keys, ids, path)]


def _read(track: str, name: str, ids: pd.Index) -> FeatureMatrix:
    path = _locate(track, name)
    if path.name.endswith(".ids.parquet"):
        keys, array = read_embeddings(path.parent, name)
        rows = _positions(keys, ids, path)
        return FeatureMatrix.from_array(array, [f"{name}_{j}" for j in range(array.shape[1])], rows)
    return FeatureMatrix.from_table(stored(track, name, ids))


def _positions(keys: pd.Index, ids: pd.Index, path: Path) -> np.ndarray:
    if not keys.is_unique:
        raise DataError(f"{path}: post {keys[keys.duplicated()][0]} is there twice; keep one row a post")
    rows = keys.get_indexer(ids)
    if (rows < 0).any():
        lacking = ids[rows < 0]
        raise DataError(
            f"{path}: no row for {len(lacking)} posts, the first is {lacking[0]}; delete it and make it again"
        )
    return rows
