"""Feature families by name: computed once per data set, cached under output/features, read as one matrix.

What is cached here never saw a popularity label. Families made from labels are computed inside the fold
(`from_labels`), under the block rule: a row sees only labels of time blocks other than its own.
"""

import importlib
import inspect
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd

from smp import paths
from smp.disk.hashes import source_hash
from smp.disk.locks import locked
from smp.disk.store import read_embeddings, read_note, read_table, write_embeddings, write_table
from smp.errors import DataError
from smp.matrix import FeatureMatrix
from smp.tracks.load import fingerprint

# family -> "module:function"; the function takes the posts table and returns a frame, or an array (n, d) stored as
# float16. The module is imported only when the family has to be made.
FAMILIES: dict[str, dict[str, str]] = {
    "image": {
        "post_stats": "smp.features.post_stats:build",
        "picture_stats": "smp.tracks.image.features.picture_stats:build",
        "time_place": "smp.features.time_place:build",
        "season": "smp.features.time_place:season",
        "user_behaviour": "smp.features.user_behaviour:build",  # the account's columns are among them
        "account": "smp.features.user_behaviour:account",
        "user_id": "smp.features.user_behaviour:identity",
        "minilm": "smp.features.text:sentences",
        "common_words": "smp.features.text:common_words",
        "text_words": "smp.features.text:words",
        "text_characters": "smp.features.text:characters",
        "text_descriptions": "smp.features.text:descriptions",
        "title_tags": "smp.features.text:title_tags",
        "tags_post": "smp.features.tags:post_embedding",
        "tags_user": "smp.features.tags:user_embedding",
        "similarity": "smp.tracks.image.features.similarity:build",
        "clusters": "smp.tracks.image.features.clusters:build",
    },
    "video": {
        "video_stats": "smp.tracks.video.features.video_stats:build",
        "video_users": "smp.tracks.video.features.video_stats:users",
        "video_ratios": "smp.tracks.video.features.video_stats:ratios",
        "video_words": "smp.tracks.video.features.video_stats:words",
        "time_place": "smp.features.time_place:build",
        "face_audio": "smp.tracks.video.features.face_audio:build",
        "text_words": "smp.features.text:words",
        "minilm_content": "smp.features.text:content_sentences",
        "minilm_suggested": "smp.features.text:tag_sentences",
        "minilm_music": "smp.features.text:music_sentences",
        "tags_post": "smp.features.tags:post_embedding",
        "mvp": "smp.tracks.video.features.mvp:build",
        "mvp_text": "smp.tracks.video.features.mvp:text",
    },
}
# Families made from labels: `build(posts, y, block, seed)`, where y (n,) is NaN where hidden and block (n,) the
# time block of every post. Never cached: what they hold depends on the labels of one fold.
LABEL_FAMILIES: dict[str, str] = {
    "account_counters": "smp.tracks.image.features.account_counters:masked",
    "user_labels": "smp.features.user_labels:build",
    "target_encoding": "smp.features.target_encoding:build",
    "retrieval": "smp.features.retrieval:build",
}
# Families made from embeddings that an experiment stores: family -> those the function takes after the posts, (n, d).
READS: dict[str, tuple[str, ...]] = {
    "similarity": ("clip_image", "clip_text", "clip_title_text", "clip_tags_text"),
    "clusters": ("clip_image", "clip_text"),
}
VECTORS = "text_words"  # the space in which label families that take `vectors` look for like posts
# Families that read an optional external input.
EXTERNAL = {"account_counters", "face_audio"}
# Embeddings that an experiment makes -> the experiment.
MADE_BY: dict[str, str] = {
    **dict.fromkeys(("clip_title_text", "clip_tags_text"), "exp006_clip_title_tags"),
    **dict.fromkeys(("clip_image", "clip_text", "clip_image_pca", "clip_text_pca"), "exp002_clip"),
    **dict.fromkeys(("clip_ft", "clip_ft_probabilities", "clip_ft_pca", "clip_ft_stats"), "exp001_clip_ft"),
    **dict.fromkeys(("blip_image", "blip_text", "blip_image_pca", "blip_text_pca"), "exp003_blip"),
    **dict.fromkeys(("vit_image", "vit_image_pca"), "exp004_vit_bert"),
    **dict.fromkeys(("resnet_image", "resnet_image_pca", "bert_text", "bert_text_pca"), "exp005_resnet_bert"),
    **dict.fromkeys(("frames_image", "video_frames"), "exp055_frames"),
}


def key(track: str, name: str) -> str:
    """What a family's cached values depend on: the data and the code (or the file, when it was not made here)."""
    if name in FAMILIES[track] or name in LABEL_FAMILIES:
        module = _module(track, name)
        inputs = module.input_key() if hasattr(module, "input_key") else ""  # files beside the official metadata
        read = (*READS.get(name, ()), *((VECTORS,) if _takes(_function(track, name), "vectors") else ()))
        made_of = "".join(f"-{key(track, other)}" for other in read)
        return f"{fingerprint(track)}-{source_hash(*_sources(module))}{inputs}{made_of}"
    path = _locate(track, name)
    return read_note(path).get("key") or f"{path.stat().st_size}-{path.stat().st_mtime_ns}"


def is_external(track: str, name: str) -> bool:
    """True for features from outside the official data, which a submission has to declare."""
    if name in EXTERNAL:
        return _module(track, name).available()
    return name not in {*FAMILIES[track], *LABEL_FAMILIES, *MADE_BY}


def build(track: str, name: str, posts: pd.DataFrame) -> pd.DataFrame | np.ndarray:
    """Compute a family of FAMILIES: a frame, or an array (n, d), rows as in `posts`."""
    function = _function(track, name)
    stored = [_embedding(track, other, posts.index) for other in READS.get(name, ())]
    if _takes(function, "shards"):  # long work that goes on where it stopped
        return function(posts, shards=paths.features(track) / f"{name}.shards")
    return function(posts, *stored)


def make(track: str, name: str, posts: pd.DataFrame) -> None:
    """Compute a family of FAMILIES and cache it, unless the cache is fresh."""
    folder, fresh = paths.features(track), key(track, name)
    table, keys = folder / f"{name}.parquet", folder / f"{name}.ids.parquet"
    with locked(paths.lock(track, f"features-{name}")):  # another process may be making it
        if fresh in (read_note(table).get("key"), read_note(keys).get("key")):
            return
        started = time.perf_counter()
        made = build(track, name, posts)
        if isinstance(made, pd.DataFrame):
            write_table(table, made, {"key": fresh})
        else:
            write_embeddings(folder, name, posts.index, made, {"key": fresh})
    print(f"features {track}/{name}: {made.shape[1]} columns in {time.perf_counter() - started:.1f} s", file=sys.stderr)


def load(track: str, names: Sequence[str], posts: pd.DataFrame) -> FeatureMatrix:
    """The named families side by side, rows as in `posts`. Raises DataError when one is missing or lacks a post."""
    matrices = []
    for name in names:
        if name in FAMILIES[track]:
            make(track, name, posts)
        matrices.append(_read(_locate(track, name), name, posts.index))
    if not matrices:
        raise ValueError("no features named")
    return matrices[0].join(*matrices[1:])


def from_labels(
    track: str, names: Sequence[str], posts: pd.DataFrame, y: np.ndarray, block: np.ndarray, seed: int
) -> FeatureMatrix:
    """The label families of one fold side by side: y (n,) NaN where hidden, block (n,) the time block of a post."""
    tables = []
    for name in names:
        function = _function(track, name)
        more = {"vectors": load(track, [VECTORS], posts).dense()} if _takes(function, "vectors") else {}
        tables.append(function(posts, y, block, seed, **more))
    return FeatureMatrix.from_table(pd.concat(tables, axis=1))


def _locate(track: str, name: str) -> Path:
    """The file of a family: made here, made by an experiment, or laid beside the official data by the user."""
    folder = paths.features(track)
    own = paths.extra_features(track) / f"{name}.parquet"
    candidates = (folder / f"{name}.parquet", folder / f"{name}.ids.parquet", own)
    for path in candidates:
        if path.exists():
            return path
    if name in MADE_BY:
        raise DataError(f"features '{name}' are not there yet; make them with: python exp/{MADE_BY[name]}/train.py")
    known = ", ".join([*FAMILIES[track], *MADE_BY])
    raise DataError(f"{own}: no such features; lay the file there or use one of: {known}")


def _embedding(track: str, name: str, ids: pd.Index) -> np.ndarray:
    """A stored embedding (n, d) float16, rows as in `ids`: the memory map itself where it has this order."""
    path = _locate(track, name)
    keys, array = read_embeddings(path.parent, name)
    return array if keys.equals(ids) else array[_positions(keys, ids, path)]


def _takes(function: Callable, parameter: str) -> bool:
    return parameter in inspect.signature(function).parameters


def _place(track: str, name: str) -> list[str]:
    return (FAMILIES[track].get(name) or LABEL_FAMILIES[name]).split(":")


def _module(track: str, name: str) -> ModuleType:
    return importlib.import_module(_place(track, name)[0])


def _function(track: str, name: str) -> Callable:
    return getattr(_module(track, name), _place(track, name)[1])


def _read(path: Path, name: str, ids: pd.Index) -> FeatureMatrix:
    if path.name.endswith(".ids.parquet"):
        keys, array = read_embeddings(path.parent, name)
        rows = _positions(keys, ids, path)
        return FeatureMatrix.from_array(array, [f"{name}_{j}" for j in range(array.shape[1])], rows)
    table = read_table(path)
    if table.index.name != "post_id":
        table = _own_file(table, ids, path)
    rows = _positions(table.index, ids, path)
    return FeatureMatrix.from_table(table if np.array_equal(rows, np.arange(len(table))) else table.iloc[rows])


def _own_file(table: pd.DataFrame, ids: pd.Index, path: Path) -> pd.DataFrame:
    """A user's own feature file: keyed by a column `post_id` or `pid`; posts it lacks become NaN and are counted."""
    key = next((c for c in ("post_id", "pid") if c in table.columns), None)
    if key is None:
        raise DataError(f"{path}: no column post_id or pid; add one that names the post of every row")
    table = table.set_index(table[key].astype(str).rename("post_id")).drop(columns=key)
    if not table.index.is_unique:
        raise DataError(f"{path}: post {table.index[table.index.duplicated()][0]} is there twice; keep one row a post")
    print(f"{path}: {(~ids.isin(table.index)).sum()} of {len(ids)} posts without a row, left missing", file=sys.stderr)
    return table.reindex(ids)


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


def _sources(module: ModuleType, seen: set[str] | None = None) -> list[str]:
    """The family's source file and those of the feature and track modules it uses."""
    seen = set() if seen is None else seen
    seen.add(module.__file__)
    for value in vars(module).values():
        name = getattr(value, "__module__", None) or getattr(value, "__name__", "")
        used = sys.modules.get(name) if str(name).startswith(("smp.features.", "smp.tracks.")) else None
        if used is not None and used.__file__ not in seen:
            _sources(used, seen)
    return sorted(seen)
