"""Career Trajectory Dynamics (GAMENet): what an artist's earlier releases earned, as it stood on the day before.

An earlier release is a labelled track of the same artist that was out before the track's own day, of another song and
on another album. Where only a year or a month is given, a release counts as out on its last day.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

REACH = 200  # latest earlier releases that are looked at
CHUNK = 4_000_000  # pairs of a track and an earlier one held at once
YEAR = 365.25  # days
HALF_YEARS = 10  # of the sequence, the latest first
HIT = 65  # popularity from which a track is a hit
SEQUENCE = ("releases", "mean", "max", "hits")


def history(items: pd.DataFrame, y: np.ndarray, block: np.ndarray, seed: int, events: pd.DataFrame) -> pd.DataFrame:
    """The family `history`, the CTD aggregate, of the labels that are shown: one row a track, float32.

    Popularity of the earlier releases: count (log1p), mean, sd, min, median, max, last, recent (weights halved every
    two years), two_years and two_years_count, slope a year; the career: age and gap since the last release (years),
    albums (log1p). NaN where there was nothing before. y (n,), NaN where a label is hidden; the day decides what is
    earlier, not the block.
    """
    return history_as_released(items, _shown(items, y, events))


def career(items: pd.DataFrame, y: np.ndarray, block: np.ndarray, seed: int, events: pd.DataFrame) -> pd.DataFrame:
    """The family `career`, the temporal CTD, of the labels that are shown: `career_<h>_<name>` for HALF_YEARS
    half-years before the track's day.

    releases (log1p), mean and max popularity and the share of hits; 0 where nothing came out.
    """
    return career_as_released(items, _shown(items, y, events))


def history_as_released(items: pd.DataFrame, events: pd.DataFrame) -> pd.DataFrame:
    """The family `history_as_released`: as `history`, with the label of a track shown to all that come out later.

    A model that is asked for the songs of a year sees what those of its first months earned, and an artist that it
    never learnt from shows its past: another question than the challenge's, whose test has no labels at all.
    """
    return _over_chunks(items, events, _aggregate)


def career_as_released(items: pd.DataFrame, events: pd.DataFrame) -> pd.DataFrame:
    """The family `career_as_released`: as `career`, likewise."""
    return _over_chunks(items, events, _sequence)


def _shown(items: pd.DataFrame, y: np.ndarray, events: pd.DataFrame) -> pd.DataFrame:
    return events[np.isfinite(y)[items.index.get_indexer(events.index)]]


def earlier(items: pd.DataFrame, events: pd.DataFrame) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Rows of the items in chunks, and of each chunk the pairs of a track and an earlier release: (p,) positions in the
    chunk and (p,) positions in the events, the oldest first."""
    row = items.index.get_indexer(events.index)
    artist, day = items["user_id"].cat.codes.to_numpy().astype(np.int64), _days(items["time"])
    out = _days(events["time"])
    order = np.lexsort((out, artist[row]))
    span = max(day.max(initial=0), out.max(initial=0)) + 2 - (low := min(day.min(initial=0), out.min(initial=0)))
    key = (artist[row] * span + out - low)[order]
    end = np.searchsorted(key, artist * span + day - low)
    start = np.maximum(np.searchsorted(key, artist * span), end - REACH)
    song, album = (items[name].cat.codes.to_numpy() for name in ("song", "album"))
    cuts = np.searchsorted(np.cumsum(end - start), np.arange(CHUNK, (end - start).sum() + CHUNK, CHUNK)) + 1
    for low, high in zip([0, *cuts[:-1]], [*cuts[:-1], len(items)]):
        size = (end - start)[low:high]
        track = np.repeat(np.arange(len(size)), size)
        place = np.arange(size.sum()) - np.repeat(np.cumsum(size) - size, size) + np.repeat(start[low:high], size)
        release = order[place]
        other = (song[row[release]] != song[low:high][track]) & (album[row[release]] != album[low:high][track])
        yield slice(low, high), track[other], release[other]


def _over_chunks(items: pd.DataFrame, events: pd.DataFrame, table_of) -> pd.DataFrame:
    day, out, popularity = _days(items["time"]), _days(events["time"]), events["popularity"].to_numpy(np.float64)
    album = items["album"].cat.codes.to_numpy()[items.index.get_indexer(events.index)]
    parts = []
    for rows, track, release in earlier(items, events):
        age = (day[rows][track] - out[release]) / YEAR
        parts.append(table_of(len(day[rows]), track, age, popularity[release], album[release]))
    return pd.concat(parts, ignore_index=True).astype(np.float32).set_axis(items.index)


def _aggregate(n: int, track: np.ndarray, age: np.ndarray, y: np.ndarray, album: np.ndarray) -> pd.DataFrame:
    count = np.bincount(track, minlength=n)
    first = np.cumsum(count) - count
    ranked = y[np.lexsort((y, track))]

    def mean(values: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
        total = count if weight is None else np.bincount(track, weight, n)
        weight = 1.0 if weight is None else weight
        return np.divide(np.bincount(track, values * weight, n), total, out=np.full(n, np.nan), where=total > 0)

    def at(values: np.ndarray, place: np.ndarray) -> np.ndarray:
        return np.where(count > 0, np.append(values, np.nan)[np.where(count > 0, first + place, -1)], np.nan)

    middle, spread = mean(y), mean(age**2) - mean(age) ** 2
    recent = (age < 2).astype(float)
    width = np.int64(album.max(initial=0)) + 1
    albums = np.bincount(np.unique(track * width + album) // width, minlength=n)
    table = {
        "count": np.log1p(count),
        "mean": middle,
        "sd": np.sqrt(np.maximum(mean(y**2) - middle**2, 0)),
        "min": at(ranked, 0 * count),
        "median": (at(ranked, (count - 1) // 2) + at(ranked, count // 2)) / 2,
        "max": at(ranked, count - 1),
        "last": at(y, count - 1),
        "recent": mean(y, 0.5 ** (age / 2)),
        "two_years": mean(y, recent),
        "two_years_count": np.log1p(np.bincount(track, recent, n)),
        "slope": -(mean(age * y) - mean(age) * middle) / (spread + 0.25),  # drawn to 0 where all lies close together
        "age": at(age, 0 * count),
        "gap": at(age, count - 1),
        "albums": np.log1p(albums),
    }
    return pd.DataFrame(table).add_prefix("history_")


def _sequence(n: int, track: np.ndarray, age: np.ndarray, y: np.ndarray, album: np.ndarray) -> pd.DataFrame:
    half = np.floor(2 * age).astype(int)
    inside = half < HALF_YEARS
    cell, y = (track * HALF_YEARS + half)[inside], y[inside]
    count = np.bincount(cell, minlength=n * HALF_YEARS)
    top = np.zeros(len(count))
    np.maximum.at(top, cell, y)
    mean, hits = (np.bincount(cell, values, len(count)) / np.maximum(count, 1) for values in (y, y >= HIT))
    values = np.stack([np.log1p(count), mean / 100, top / 100, hits], axis=1).reshape(n, -1)
    return pd.DataFrame(values, columns=[f"career_{h}_{name}" for h in range(HALF_YEARS) for name in SEQUENCE])


def _days(time: pd.Series) -> np.ndarray:
    return time.to_numpy("datetime64[D]").astype(np.int64)
