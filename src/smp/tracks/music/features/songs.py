"""What a track itself holds: its sound, its words, its release and its genres."""

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from smp import paths
from smp.errors import DataError
from smp.tracks import official
from smp.tracks.music import read

GENRES = 60  # the most frequent ones


def sound(items: pd.DataFrame) -> pd.DataFrame:
    """The family `sound`: Spotify's descriptors, duration as a logarithm, the key as a point on a circle."""
    table = items[[name for name in read.SOUND if name not in ("key", "duration_ms")]].copy()
    table["duration"] = np.log(items["duration_ms"].clip(lower=1.0))
    angle = 2 * np.pi * items["key"].where(items["key"] >= 0) / 12
    return table.assign(key_sin=np.sin(angle), key_cos=np.cos(angle)).astype(np.float32)


def low_level(items: pd.DataFrame) -> pd.DataFrame:
    """The family `low_level`: the numbers of low_level_audio_features.csv, and whether a track has any."""
    return _beside(items, "low_level")


def lyric_counts(items: pd.DataFrame) -> pd.DataFrame:
    """The family `lyric_counts`: the numbers of lyrics_features.csv, and whether a track has any."""
    return _beside(items, "lyric_counts")


def lyrics(items: pd.DataFrame) -> pd.DataFrame:
    """The family `lyrics`: vectors of the words from features/lyrics.parquet, and whether a track has one."""
    files = lyrics_file()
    table = pd.DataFrame(index=items.index)
    if files:
        try:
            table = pd.read_parquet(files[0])
            table = table if isinstance(table.index, pd.RangeIndex) else table.reset_index()
        except (ValueError, OSError) as error:
            raise DataError(f"{files[0]}: not a readable parquet file ({str(error).splitlines()[0]})") from None
    return _by_track(items, table, "lyrics", files)


def release(items: pd.DataFrame) -> pd.DataFrame:
    """The family `release`: when a track came out and where on its album it stands."""
    time = items["time"]
    angle = 2 * np.pi * time.dt.day_of_year / 365.25
    table = {"year": time.dt.year + time.dt.day_of_year / 366, "season_sin": np.sin(angle), "season_cos": np.cos(angle)}
    table |= {"weekday": time.dt.day_of_week, "of_album": items["track_number"] / items["total_tracks"]}
    table |= {name: np.log1p(items[name]) for name in read.RELEASE}
    on_album = items["album"].cat.codes
    table["songs_known"] = np.log1p(on_album.map(on_album.value_counts()))
    return pd.DataFrame(table, index=items.index).astype(np.float32)


def genres(items: pd.DataFrame) -> pd.DataFrame:
    """The family `genres`: 0 or 1 for the most frequent, and how many the artists have."""
    codes, different = pd.factorize(items["genres"])
    lists = [set(text.split("|")) - {""} for text in different]
    size = np.bincount(codes, minlength=len(lists))
    common = Counter()
    for names, n in zip(lists, size):
        common.update(dict.fromkeys(names, int(n)))
    chosen = sorted(sorted(common), key=lambda g: -common[g])[:GENRES]
    flags = np.array([[g in names for g in chosen] + [len(names)] for names in lists], np.float32)
    return pd.DataFrame(flags[codes], items.index, [*(f"genre_{g}" for g in chosen), "genres"])


def lyrics_file() -> list[Path]:
    """The optional file of vectors, where it is there."""
    return [path for path in (paths.extra_features("music") / "lyrics.parquet",) if path.is_file()]


def feature_files() -> list[Path]:
    """The optional tables beside the tracks, where they are there."""
    found = read.located(paths.data("music"))
    return [found[name] for name in ("low_level", "lyric_counts") if name in found]


def _beside(items: pd.DataFrame, name: str) -> pd.DataFrame:
    path = read.located(paths.data("music")).get(name)
    table = pd.DataFrame(index=items.index) if path is None else pd.read_csv(path, encoding_errors="replace")
    return _by_track(items, table, name, path)


def _by_track(items: pd.DataFrame, table: pd.DataFrame, name: str, source: object) -> pd.DataFrame:
    """A table's numbers, `<name>_<column>`, and `<name>_there`, rows as in the items; one of its columns names tracks.

    A column of vectors becomes a column a number. Raises DataError where no column names a track.
    """
    columns, there = {}, np.zeros(len(items), bool)
    if len(table) and len(table.columns):
        names = {c: t.astype("str") for c, t in table.items() if not pd.api.types.is_float_dtype(t) and _is_plain(t)}
        hits = {c: t.isin(items.index).sum() for c, t in names.items()}
        key = max(hits, key=hits.get, default=None)
        if key is None or not hits[key]:
            raise DataError(f"{source}: no column names a track, such as {items.index[0]}; call one track_id")
        row = pd.Index(names[key].drop_duplicates()).get_indexer(items.index)
        table = table[~names[key].duplicated()]
        for c, column in table.items():
            found = official.vectors(column) if c != key else np.empty((len(table), 0), np.float32)
            found = np.where(row[:, None] >= 0, found[row], np.float32(np.nan))
            there |= np.isfinite(found).any(axis=1)
            many = f"{name}_{c}_{{}}" if found.shape[1] > 1 else f"{name}_{c}"
            columns |= {many.format(j): found[:, j] for j in range(found.shape[1])}
    return pd.DataFrame(columns | {f"{name}_there": there.astype(np.float32)}, items.index)


def _is_plain(column: pd.Series) -> bool:
    return column.dtype != object or not len(column) or isinstance(column.iloc[0], str | int)
