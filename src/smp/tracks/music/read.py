"""Songs in the layout of SpotGenTrack (SPD), or of another crawl of Spotify: tracks, albums, artists and features ->
items, labels, releases."""

import ast
import json
import re
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from smp.errors import DataError
from smp.tracks import official
from smp.tracks.base import Data

SITE = "https://data.mendeley.com/datasets/4m2x4zngny (SpotGenTrack Popularity Dataset)"
NAMES = {  # of each file SPD's own name, and what other crawls call it
    "tracks": ("spotify_tracks.csv", "tracks.csv", "spotify_songs.csv", "songs.csv", "dataset.csv", "data.csv"),
    "albums": ("spotify_albums.csv", "albums.csv"),
    "artists": ("spotify_artists.csv", "artists.csv"),
    "low_level": ("low_level_audio_features.csv",),
    "lyric_counts": ("lyrics_features.csv",),
}
# likewise of a column; the first that is there counts
ARTIST_IDS = ("artists_id", "id_artists", "artist_ids", "artists_ids", "artist_id", "track_artist_id")
COLUMNS = {
    "id": ("id", "track_id", "spotify_id", "song_id"),
    "name": ("name", "track_name", "song_name", "track", "song", "title"),
    "popularity": ("popularity", "track_popularity", "song_popularity", "spotify_popularity"),
    "artists_id": (*ARTIST_IDS, "artists", "artist", "track_artist", "artist_name", "artist_names", "artist_s_name"),
    "album_id": ("album_id", "track_album_id", "id_album"),
    "album": ("album", "album_name", "track_album_name"),
    "release_date": ("release_date", "album_release_date", "track_album_release_date", "released"),
    "year": ("year", "release_year", "released_year"),
    "month": ("month", "release_month", "released_month"),
    "day": ("day", "release_day", "released_day"),
    "genres": ("genres", "track_genre", "genre", "artist_genres"),
    "duration_ms": ("duration_ms", "duration", "length"),
    "tempo": ("tempo", "tempo_bpm", "bpm"),
}
# measured when the songs were crawled, by when their popularity had come: they say what is to be predicted
LEAKS = ("artist_popularity", "followers", "available_markets", "playlist", "playlists", "playlist_id", "streams")
SOUND = ("danceability", "energy", "key", "loudness", "mode", "speechiness", "acousticness", "instrumentalness")
SOUND += ("liveness", "valence", "tempo", "duration_ms", "time_signature", "explicit")
RELEASE = ("track_number", "disc_number", "total_tracks")
SILENCE = -60.0  # dB of a song that is not analysed: danceability, tempo and the like are 0 there, and mean nothing


def files(folder: Path) -> list[Path]:
    """What `read` reads. Raises DataError where no file of tracks lies below the folder."""
    found = located(folder)
    if "tracks" not in found:
        raise official.missing(folder, official.index(folder), [NAMES["tracks"][0]], SITE)
    return list(found.values())


def located(folder: Path) -> dict[str, Path]:
    """The files that are there, by their short name; of the tracks the only CSV file, where none has a known name."""
    found = official.index(folder)
    names = {kind: next((name for name in known if name in found), "") for kind, known in NAMES.items()}
    others = [name for name in found if name.endswith(".csv") and name not in names.values()]
    if not names["tracks"] and len(others) == 1:
        names["tracks"] = others[0]
    return official.locate(found, {kind: name for kind, name in names.items() if name}, SITE)


def read(folder: Path) -> tuple[Data, dict[str, int]]:
    """The tracks with a date, and how often each quirk was met.

    Items, in the order of the file: `split` (test: no popularity given), `time` (UTC; the first day of a year or month
    where no more is given), `known` (just after the last release of the same song: what is learnt from a copy would
    tell of the other), `user_id` (the first artist; where none is given,
    nobody else's), `album`, `song` (an artist's title without what stands in brackets
    or behind a dash), `genres` (its own and those of all its artists, joined by |), sound and release. Labels:
    popularity, 0 to 100. Events: every labelled track with `time`, the last day that it can have come out on, and
    `popularity`. Raises DataError.
    """
    quirks: Counter = Counter()
    paths = located(folder)
    there = [kind for kind in ("tracks", "albums", "artists") if kind in paths]
    tables = {kind: _named(_table(paths[kind], quirks), kind) for kind in there}
    tracks = tables["tracks"]
    where = paths["tracks"]
    for kind, table in tables.items():
        if leaks := [name for name in LEAKS if name in table]:
            quirks[f"columns of {kind} measured at the crawl left out ({', '.join(leaks)})"] = len(leaks)
    if "popularity" not in tracks:
        raise DataError(f"{where}: no column popularity; get it from {SITE}")
    if "id" not in tracks:
        tracks["id"] = "row" + (tracks.index + 1).astype("str")
        quirks["tracks that no column names, called by their row"] = len(tracks)
    nameless = tracks["id"].isna() | tracks["id"].duplicated()
    quirks["tracks without an id, or with one met before, dropped"] = int(nameless.sum())
    tracks = tracks[~nameless].reset_index(drop=True)

    albums = _keyed(tables.get("albums"), quirks, "albums")
    album = _column(tracks, "album_id")
    quirks["tracks without an album row"] = int((~album.isin(albums.index)).sum())
    of_album = album.map(albums["release_date"]) if "release_date" in albums else None
    date = _column(tracks, "release_date").fillna(of_album)
    date = date.fillna(_column(tracks, "year").str.cat([_column(tracks, n) for n in ("month", "day")], "-", na_rep=""))
    first, last = _dates(date, quirks)
    dated = first.notna()
    quirks["tracks without a date dropped"] = int((~dated).sum())
    if not dated.any():
        raise DataError(f"{where}: no track has a release date, in it or in {NAMES['albums'][0]}; get them from {SITE}")
    tracks, album, date, first, last = (t[dated].reset_index(drop=True) for t in (tracks, album, date, first, last))

    artists = _lists(_column(tracks, "artists_id"))
    alone = artists.str.len() == 0
    artist = artists.str[0].where(~alone, "track " + tracks["id"])  # whoever it is by, it is nobody else's career
    quirks["tracks without an artist, each taken for its own"] = int(alone.sum())
    title = _column(tracks, "name").fillna("")
    # albums of one name may be many artists'; without a name what came out on one day is an album
    album = album.fillna(artist + "\t" + _column(tracks, "album").fillna(date))
    song = artist + "\t" + title.str.casefold().str.replace(r"(?<=\S)\s*([(\[]|- ).*$", "", regex=True).str.strip()
    song = song.where(title != "", artist + "\t\t" + tracks["id"])  # without a title nothing is a copy of it
    quirks["tracks of a song that is out more than once"] = int(song.duplicated(keep=False).sum())

    own = _lists(_column(tracks, "genres")).str.join("|").str.lower()
    popularity = _numbers(tracks, "popularity", quirks, 0, 100)
    if np.isnan(popularity).all():
        given = tracks["popularity"].dropna()
        shown = f"{given.iloc[0]!r:.40} of track {tracks['id'].loc[given.index[0]]}" if len(given) else "all are empty"
        raise DataError(f"{where}: no popularity is a number from 0 to 100 ({shown}); get it from {SITE}")
    items = pd.DataFrame(
        {
            "split": pd.Categorical(np.where(np.isnan(popularity), "test", "train"), categories=["train", "test"]),
            "time": first,
            "known": last.groupby(song).transform("max") + pd.Timedelta(seconds=1).as_unit("s"),
            "user_id": artist.astype("category"),
            "album": album.astype("category"),
            "song": song.astype("category"),
            "genres": (own + "|" + _genres(artists, tables.get("artists"), quirks)).str.strip("|"),
        }
    )
    total = album.map(albums["total_tracks"]) if "total_tracks" in albums else None
    tracks = tracks.assign(total_tracks=_column(tracks, "total_tracks").fillna(total))
    tracks["explicit"] = _column(tracks, "explicit").str.lower().replace({"true": "1", "false": "0"})
    for name in (*SOUND, *RELEASE):
        items[name] = _numbers(tracks, name, quirks).astype(np.float32)
    silent = (items["tempo"] == 0) | (items["loudness"] <= SILENCE)
    quirks["tracks whose sound was not analysed"] = int(silent.sum())
    items.loc[silent, [n for n in SOUND if n not in ("duration_ms", "explicit")]] = np.nan
    if absent := [name for name in (*SOUND, *RELEASE) if items[name].isna().all()]:
        quirks[f"columns that are not there ({', '.join(absent)})"] = len(absent)
    items = items.set_axis(pd.Index(tracks["id"], name="post_id"))
    labelled = np.isfinite(popularity)
    events = pd.DataFrame({"time": last.to_numpy(), "popularity": popularity}, index=items.index)[labelled]
    return Data(items, popularity, events=events), {name: n for name, n in quirks.items() if n}


def _table(path: Path, quirks: Counter) -> pd.DataFrame:
    """A file of texts, missing where nothing is given; lines of another number of fields are counted and left out."""
    official.check_meant(path, f"get it from {SITE}")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            how = {"dtype": "str", "on_bad_lines": "warn", "encoding": "utf-8-sig", "encoding_errors": "replace"}
            with path.open(encoding="utf-8-sig", errors="replace") as file:
                header = file.readline()
            table = pd.read_csv(path, sep=max(",;\t", key=header.count), **how)
        except (ValueError, pd.errors.ParserError) as error:
            reason = str(error).splitlines()[0]
            raise DataError(f"{path}: not a readable CSV file ({reason}); get it from {SITE}") from None
    broken = sum(str(w.message).count("Skipping line") for w in said)
    quirks[f"lines of {path.name} with another number of fields left out"] += broken
    return table


def _named(table: pd.DataFrame, kind: str) -> pd.DataFrame:
    """The columns by SPD's names: in lower case, `Tempo (BPM)` as tempo, track_name as name."""
    plain = pd.Index([re.sub(r"[\W_]+", "_", str(name).lower()).strip("_") for name in table])
    table = table.set_axis(plain, axis=1).loc[:, ~plain.duplicated()]
    own = {"tracks": COLUMNS, "albums": {"id": ("id", "album_id")}, "artists": {"id": ("id", *ARTIST_IDS)}}[kind]
    return official.renamed(table, COLUMNS | own)


def _column(table: pd.DataFrame, name: str) -> pd.Series:
    """A column; nothing in every row where it is not there."""
    return table[name] if name in table else pd.Series(None, table.index, dtype="str")


def _keyed(table: pd.DataFrame | None, quirks: Counter, kind: str) -> pd.DataFrame:
    """A table by its ids, the first row of each."""
    if table is None or "id" not in table:
        quirks[f"no {NAMES[kind][0]}, or no ids in it"] += 1
        return pd.DataFrame(index=pd.Index([], dtype="str"))
    twice = table["id"].duplicated() | table["id"].isna()
    quirks[f"rows of {kind} without an id, or with one met before, dropped"] += int(twice.sum())
    return table[~twice].set_index("id")


def _dates(text: pd.Series, quirks: Counter) -> tuple[pd.Series, pd.Series]:
    """The first and the last day (UTC, whole seconds) that a date can mean, NaT where none is given."""
    text = text.str.strip().str.replace(r"\.0\b|-+$", "", regex=True)  # 1999.0: a year beside missing ones
    odd = text.str.contains(r"\d{4}$", na=False) & ~text.str.match(r"\d{4}", na=False)
    quirks["dates with the year last"] = int(odd.sum())
    text = text.where(~odd, _year_first(text[odd]))
    parts = text.str.extract(r"^(\d{4})(?:[-/.]?(\d{1,2})(?:[-/.]?(\d{1,2}))?)?(?:[T ].*)?$")
    day = parts[0] + "-" + parts[1].fillna("01").str.zfill(2) + "-" + parts[2].fillna("01").str.zfill(2)
    first = pd.to_datetime(day, format="%Y-%m-%d", errors="coerce", utc=True).dt.as_unit("s")
    first = first.where((first.dt.year >= 1900) & (first.dt.year < 2100))
    only_year, only_month = parts[1].isna() & first.notna(), parts[2].isna() & parts[1].notna() & first.notna()
    quirks["dates of a year alone"], quirks["dates of a month alone"] = int(only_year.sum()), int(only_month.sum())
    last = first.mask(only_year, first + pd.offsets.YearEnd()).mask(only_month, first + pd.offsets.MonthEnd())
    return first, last.dt.as_unit("s")


def _year_first(text: pd.Series) -> pd.Series:
    """31.12.1999, 12/31/1999, 31 Dec 1999 or December 1999 as ISO dates; of numbers the first is the month but where
    points stand between them, or one of the column is larger than 12."""
    different = pd.Index(text.unique())
    day_first = different.str.match(r"(1[3-9]|2\d|3\d)\D\d+\D|\d+\.").any()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = pd.to_datetime(different, format="mixed", dayfirst=bool(day_first), errors="coerce", utc=True)
    of_month = different.str.match(r"[^\W\d]+\.?,? *\d{4}$")
    return text.map(dict(zip(different, np.where(of_month, found.strftime("%Y-%m"), found.strftime("%Y-%m-%d")))))


def _lists(text: pd.Series) -> pd.Series:
    """Lists of names: of ['a', 'b'] as text, of a; b, or of one bare name."""
    codes, different = pd.factorize(text)
    parsed = [_list(value) for value in different] + [[]]
    return pd.Series([parsed[code] for code in codes], text.index)


def _list(text: str) -> list[str]:
    try:
        found = _literal(text) if text.startswith("[") else re.split(r"[;,|]", text)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        found = re.split(r"[\[\]'\",\s]+", text)
    names = (str(value).strip() for value in found)
    return [name for name in names if name not in official.NOT_GIVEN]


def _literal(text: str) -> list:
    """A list as JSON, or as Python writes it."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return ast.literal_eval(text)


def _genres(artists: pd.Series, table: pd.DataFrame | None, quirks: Counter) -> pd.Series:
    """Of every track those of its artists, joined by |."""
    table = _keyed(table, quirks, "artists")
    known = dict(zip(table.index, _lists(table["genres"]))) if "genres" in table else {}
    quirks["tracks whose artist has no row"] = int((~artists.str[0].isin(table.index)).sum())
    keys, different = pd.factorize(artists.map(tuple))
    lists = ([g.strip().lower() for a in names for g in known.get(a, ())] for names in different)
    joined = ["|".join(dict.fromkeys(names)) for names in lists]
    return pd.Series(np.array([*joined, ""], object)[keys], artists.index, dtype="str")


def _numbers(table: pd.DataFrame, name: str, quirks: Counter, low: float = -np.inf, high: float = np.inf) -> np.ndarray:
    """(n,) float64, NaN where a column, or a number in it, is not there or out of range."""
    text = _column(table, name)
    values = official.numbers(text)
    odd = (np.isnan(values) & text.notna()) | (values < low) | (values > high)
    quirks[f"{name} that is no number in range taken for none"] += int(odd.sum())
    return np.where(odd, np.nan, values)
