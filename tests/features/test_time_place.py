import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from smp.features import time_place


def test_clocks_and_calendars(random_posts):
    made = time_place.build(random_posts)
    first = random_posts["time"].min()
    for post, row in random_posts.iterrows():
        utc = datetime.fromtimestamp(row["time"].timestamp(), UTC)
        local = utc + timedelta(hours=0 if math.isnan(row["timezone_offset"]) else float(row["timezone_offset"]))
        got, hours = made.loc[post], local.hour + local.minute / 60 + local.second / 3600
        expected = {
            "time_hour_utc": utc.hour,
            "time_hour": local.hour,
            "time_weekday": local.weekday(),
            "time_hour_of_week": 24 * local.weekday() + local.hour,
            "time_day": (row["time"] - first).total_seconds() / 86_400,
            "time_hour_sin": math.sin(2 * math.pi * hours / 24),
            "time_hour_cos": math.cos(2 * math.pi * hours / 24),
            "time_weekday_sin": math.sin(2 * math.pi * local.weekday() / 7),
        }
        assert {k: got[k] for k in expected} == pytest.approx(expected, abs=1e-5)
    assert not made.filter(like="time_").isna().any(axis=None)


def kilometres(a, b, c, d):
    """Great-circle distance by the angle between unit vectors."""
    u, v = (
        np.array([np.cos(p) * np.cos(q), np.cos(p) * np.sin(q), np.sin(p)]) for p, q in np.radians([(a, b), (c, d)])
    )
    return 6371.0088 * math.atan2(np.linalg.norm(np.cross(u, v)), u @ v)


def test_places(random_posts):
    made = time_place.build(random_posts)
    cells = random_posts.apply(
        lambda r: (math.floor(r["latitude"]), math.floor(r["longitude"])) if r["latitude"] == r["latitude"] else None,
        axis=1,
    )
    for post, row in random_posts.iterrows():
        got, own = made.loc[post], random_posts[random_posts["user_id"] == row["user_id"]]
        assert got["place_known"] == (cells[post] is not None)
        assert got["place_user_known"] == pytest.approx(own["latitude"].notna().mean())
        home = own["latitude"].median(), own["longitude"].median()
        np.testing.assert_allclose([got["place_user_latitude"], got["place_user_longitude"]], home, rtol=1e-6)
        if cells[post] is None:
            assert (
                got[["place_latitude", "place_cell", "place_cell_posts", "place_from_usual", "place_cluster"]]
                .isna()
                .all()
            )
            continue
        same = [p for p, cell in cells.items() if cell == cells[post]]
        assert got["place_cell_posts"] == pytest.approx(math.log1p(len(same)), rel=1e-6)
        assert {p for p in made.index if made["place_cell"][p] == got["place_cell"]} == set(same)
        distance = kilometres(row["latitude"], row["longitude"], *home)
        assert math.expm1(got["place_from_usual"]) == pytest.approx(distance, rel=1e-3, abs=1e-2)
    assert made["place_cluster"].notna().sum() == random_posts["latitude"].notna().sum()
    assert isinstance(made["place_cell"].dtype, pd.CategoricalDtype)


def test_clusters_know_no_date_line(make_posts, monkeypatch):
    monkeypatch.setattr(time_place, "GEO_CLUSTERS", 2)
    where = [("-17", "179.9"), ("-17", "-179.9"), ("-17.1", "179.8"), ("48", "2"), ("48", "2.1")]
    posts = make_posts([{"Latitude": a, "Longitude": b, "Geoaccuracy": "16"} for a, b in where])
    clusters = time_place.build(posts)["place_cluster"].tolist()
    assert clusters[0] == clusters[1] == clusters[2] != clusters[3] == clusters[4]


def test_country_is_the_last_part_where_it_is_common(make_posts):
    places = ["Paris, France"] * 12 + ["FRANCE "] * 8 + ["Oslo, Norway"] * 19 + [None]
    country = time_place.build(make_posts([{"location_description": p} for p in places]))["place_country"]
    assert country.value_counts().to_dict() == {"france": 20} and country.isna().sum() == 20


def test_features_go_with_the_post_and_see_no_label(random_posts):
    made = time_place.build(random_posts)
    shuffled = random_posts.sample(frac=1, random_state=1).assign(label=1.0)
    pd.testing.assert_frame_equal(time_place.build(shuffled).loc[made.index], made)


def test_nowhere_and_alone(bare_posts):
    made = time_place.build(bare_posts)
    assert (made["place_known"] == 0).all() and made["place_cluster"].isna().all() and (made["time_day"] == 0).all()
    assert len(time_place.build(bare_posts.iloc[:1])) == 1
    video = time_place.build(bare_posts[["user_id", "time", "title", "tags"]])
    assert all(name.startswith("time_") for name in video)
