"""When and where a post was made: clocks and calendars, coordinates, and the distance from the user's usual place."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow.compute as pc

from smp.features.tags import arrow, ratio

if TYPE_CHECKING:
    from sklearn.cluster import MiniBatchKMeans

GEO_CLUSTERS = 100
MIN_COUNTRY_POSTS = 20  # a rarer last part of a location text is no country
EARTH_RADIUS = 6371.0088  # km
SEED = 0


@dataclass(frozen=True)
class Places:
    """Where posts are made: centres of their coordinates, and countries that texts name often."""

    centres: "MiniBatchKMeans | None"  # None: no post has coordinates
    countries: list[str]


def learn(posts: pd.DataFrame) -> Places:
    """k-means on the unit sphere, over places to 0.01 degree weighted by their posts: no seam at the date line."""
    from sklearn.cluster import MiniBatchKMeans

    centres, countries = None, []
    if "latitude" in posts and (located := _located(posts)).any():
        places, count = np.unique(_coordinates(posts)[:, located].round(2), axis=1, return_counts=True)
        size = min(GEO_CLUSTERS, places.shape[1])
        centres = MiniBatchKMeans(size, batch_size=4096, n_init=3, random_state=SEED)
        centres.fit(_sphere(places), sample_weight=count)
    if "location_description" in posts:
        names = _last_part(posts["location_description"])
        counts = names[names != ""].value_counts()
        countries = sorted(counts.index[counts >= MIN_COUNTRY_POSTS])
    return Places(centres, countries)


def build(posts: pd.DataFrame, learnt: Places | None = None) -> pd.DataFrame:
    """One row a post. Local time is UTC + timezone_offset, or UTC where the offset is unknown.

    time_*: weekday 0 = Monday; hour_of_week = 24 * weekday + hour (peers ship 7 *); sine and cosine of hour and
    weekday; days since the first post of the data. place_*, where the track has coordinates: degrees, the 1 degree
    cell and k-means cluster as categories, log1p of the posts in the cell, the user's median coordinates and share of
    located posts, log1p km between post and median. NaN or no category without coordinates. Statistics are over train
    and test, no label involved. learnt: of other posts, where it is not to be learnt from these. Source: HyFea (2020)
    and common practice.
    """
    learnt = learnt or learn(posts)
    columns = _time(posts)
    if "latitude" in posts:
        columns |= _place(posts, learnt)
    if "location_description" in posts:
        names = _last_part(posts["location_description"])
        columns["place_country"] = pd.Categorical(names.where(names.isin(learnt.countries)), learnt.countries)
    columns = {
        name: values if isinstance(values, pd.Categorical) else np.asarray(values, np.float32)
        for name, values in columns.items()
    }
    return pd.DataFrame(columns, index=posts.index)


def seconds(column: pd.Series) -> np.ndarray:
    """(n,) float64 seconds since 1970 of a time column, with a zone (then UTC) or without; NaN for NaT."""
    values = column.to_numpy("datetime64[s]")
    return np.where(np.isnat(values), np.nan, values.astype(np.int64))


def local_seconds(posts: pd.DataFrame) -> np.ndarray:
    """(n,) float64 seconds since 1970 on the user's clock; UTC where the offset is unknown."""
    offset = posts["timezone_offset"].fillna(0).to_numpy(np.float64) if "timezone_offset" in posts else 0.0
    return seconds(posts["time"]) + 3600 * offset


def _time(posts: pd.DataFrame) -> dict[str, np.ndarray]:
    utc, local = seconds(posts["time"]), local_seconds(posts)
    day = local // 86_400
    hour, weekday = local % 86_400 / 3600, (day + 3) % 7  # 1970-01-01 was a Thursday
    columns = {
        "time_hour_utc": utc % 86_400 // 3600,
        "time_hour": hour // 1,
        "time_weekday": weekday,
        "time_hour_of_week": 24 * weekday + hour // 1,
        "time_day": (utc - utc.min()) / 86_400,
    }
    return columns | _cyclic("hour", hour / 24) | _cyclic("weekday", weekday / 7)


def _cyclic(name: str, share: np.ndarray) -> dict[str, np.ndarray]:
    angle = 2 * np.pi * share
    return {f"time_{name}_sin": np.sin(angle), f"time_{name}_cos": np.cos(angle)}


def _coordinates(posts: pd.DataFrame) -> np.ndarray:
    """(2, n) latitude and longitude, NaN where either is missing."""
    both = posts[["latitude", "longitude"]].to_numpy(np.float64).T
    return np.where(np.isfinite(both).all(axis=0), both, np.nan)


def _located(posts: pd.DataFrame) -> np.ndarray:
    return np.isfinite(_coordinates(posts)[0])


def _place(posts: pd.DataFrame, learnt: Places) -> dict[str, np.ndarray | pd.Categorical]:
    located, coordinates = _located(posts), _coordinates(posts)
    latitude, longitude = coordinates
    user = posts["user_id"].cat.codes.to_numpy()
    cell = np.where(located, (np.floor(latitude) + 90) * 360 + (np.floor(longitude) + 180) % 360, np.nan)
    cells, number, size = np.unique(cell[located], return_inverse=True, return_counts=True)
    crowd = np.full(len(posts), np.nan)
    crowd[located] = np.log1p(size[number])
    home = pd.DataFrame(coordinates.T).groupby(user).transform("median").to_numpy().T
    columns = {
        "place_known": located,
        "place_accuracy": posts["geoaccuracy"],
        "place_latitude": coordinates[0],
        "place_longitude": coordinates[1],
        "place_cell": pd.Categorical(cell, categories=cells),
        "place_cell_posts": crowd,
        "place_user_latitude": home[0],
        "place_user_longitude": home[1],
        "place_user_known": ratio(np.bincount(user, located), np.bincount(user))[user],
        "place_from_usual": np.log1p(_kilometres(coordinates, home)),
        "place_cluster": _clusters(coordinates, located, learnt),
    }
    return columns


def _kilometres(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Great-circle distance (n,) between places (2, n) in degrees, by the haversine formula."""
    (lat_a, lon_a), (lat_b, lon_b) = np.radians(a), np.radians(b)
    chord = np.sin((lat_b - lat_a) / 2) ** 2 + np.cos(lat_a) * np.cos(lat_b) * np.sin((lon_b - lon_a) / 2) ** 2
    return 2 * EARTH_RADIUS * np.arcsin(np.sqrt(np.clip(chord, 0, 1)))


def _clusters(coordinates: np.ndarray, located: np.ndarray, learnt: Places) -> pd.Categorical:
    codes = np.full(len(located), -1)
    if located.any() and learnt.centres is not None:
        places, row = np.unique(coordinates[:, located].round(2), axis=1, return_inverse=True)
        codes[located] = learnt.centres.predict(_sphere(places))[row.ravel()]
    return pd.Categorical.from_codes(codes, categories=range(GEO_CLUSTERS))


def _sphere(places: np.ndarray) -> np.ndarray:
    """(n, 3) points on the unit sphere of places (2, n) in degrees."""
    latitude, longitude = np.radians(places)
    return np.column_stack(
        [np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)]
    )


def _last_part(location: pd.Series) -> pd.Series:
    """What follows the last comma of "City, Country", in lower case."""
    return pd.Series(
        pc.utf8_trim_whitespace(pc.utf8_lower(pc.replace_substring_regex(arrow(location), r"(?s)^.*,", ""))).to_pandas()
    )
