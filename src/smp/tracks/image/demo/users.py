"""Accounts of the demo's image track: profile, habits, popularity, and the external counters measured on them."""

import numpy as np
import pandas as pd

from smp.tracks.demo.text import join, pick
from smp.tracks.demo.world import World, made_up_words

DAY = 86_400
CRAWLED = 1_425_000_000  # 2015-02-27, before the first post: all accounts exist by then

# Home towns.
HOMES = pd.DataFrame(
    [
        ("Paris, France", 1, "+01:00", "Europe/Paris", 48.86, 2.35),
        ("London, United Kingdom", 0, "+00:00", "GMT", 51.51, -0.13),
        ("Berlin, Germany", 1, "+01:00", "Europe/Berlin", 52.52, 13.40),
        ("Madrid, Spain", 1, "+01:00", "Europe/Madrid", 40.42, -3.70),
        ("Roma, Italia", 1, "+01:00", "Europe/Rome", 41.90, 12.50),
        ("Athens, Greece", 2, "+02:00", "Europe/Athens", 37.98, 23.73),
        ("São Paulo, Brasil", -3, "-03:00", "America/Sao_Paulo", -23.55, -46.63),
        ("New York, USA", -5, "-05:00", "EST5EDT", 40.71, -74.01),
        ("Chicago, USA", -6, "-06:00", "CST6CDT", 41.88, -87.63),
        ("Denver, USA", -7, "-07:00", "MST7MDT", 39.74, -104.99),
        ("San Francisco, USA", -8, "-08:00", "PST8PDT", 37.77, -122.42),
        ("Mumbai, India", 5.5, "+05:30", "Asia/Kolkata", 19.08, 72.88),
        ("Taipei, Taiwan", 8, "+08:00", "Asia/Taipei", 25.03, 121.57),
        ("Tokyo, Japan", 9, "+09:00", "Asia/Tokyo", 35.68, 139.69),
        ("Sydney, Australia", 10, "+10:00", "Australia/Sydney", -33.87, 151.21),
    ],
    columns=["name", "hours", "offset", "zone", "latitude", "longitude"],
)
DESCRIPTION_WORDS = (
    "I love taking pictures of my and the people places family camera lens nature city since years please ask "
    "before using them thanks for your visit comments welcome all rights reserved amateur ☺ traveller\n"
)

# External counters: mean of the log, shares of the user's level and of log(photo_count), own standard deviation.
COUNTERS = {
    "totalViews": (8.5, 1.0, 1.0, 1.8),
    "totalTags": (6.5, 0.0, 0.9, 1.0),
    "totalGeotagged": (3.0, 0.0, 0.8, 1.5),
    "totalFaves": (5.0, 0.8, 0.6, 2.0),
    "totalInGroup": (3.5, 0.3, 0.5, 2.0),
    "photoCount": (6.2, 0.0, 1.4, 0.05),
    "followerCount": (4.5, 1.0, 0.3, 1.4),
    "followingCount": (4.0, 0.1, 0.2, 1.5),
}
LEVEL = 1.0  # standard deviation of a user's own level, beside what the profile tells


def draw_users(rng: np.random.Generator, n: int, world: World) -> pd.DataFrame:
    """n accounts: what is published of them (0 or NaN where nothing is), their habits, `account` effect and `level`."""
    z = rng.standard_normal((4, n))
    log_count = 6.2 + 1.4 * (0.4 * z[0] + 0.92 * z[1])
    years = 10.5 * rng.beta(1.4, 1.4, n)
    favourite = pick(rng, world.subcategory_share, (n, 3))
    town = rng.integers(0, len(HOMES), n)
    first = CRAWLED - (years * 365.25 * DAY).astype(np.int64)
    # The number behind the @ tells the time of registration, as the real ones do roughly.
    number = rng.permutation(n) + 1
    cohort = np.clip(99 - (years * 9 + rng.normal(0, 2, n)), 0, 99).astype(int)
    alias = np.char.add(np.char.add(made_up_words(rng, n, 4), "_"), rng.integers(10, 100, n).astype(str))

    length = np.where(rng.random(n) < 0.55, 2 + rng.poisson(np.exp(2 + 0.8 * z[2])), 0)
    row = np.repeat(np.arange(n), length)
    said = DESCRIPTION_WORDS.split(" ")
    words = np.concatenate([["photographer"], said, world.words[: len(world.subcategory)]])
    ids = 1 + rng.integers(0, len(said), len(row))
    own = rng.random(len(row)) < 0.15
    ids[own] = 1 + len(said) + favourite[row[own], rng.integers(0, 3, own.sum())]
    photographer = (length > 0) & (rng.random(n) < 0.3)
    ids[(np.cumsum(length) - length)[photographer]] = 0  # opens the description

    users = pd.DataFrame(
        {
            "uid": np.char.add(np.char.add(number.astype(str), "@N"), np.char.zfill(cohort.astype(str), 2)),
            "alias": np.where(rng.random(n) < 0.7, alias, "None"),
            "first_date": np.where(rng.random(n) < 0.015, 0, first),
            "photo_count": np.where(rng.random(n) < 0.01, np.nan, np.ceil(np.exp(log_count))),
            "is_pro": (rng.random(n) < 0.3).astype(int),
            "tz": np.where(rng.random(n) < 0.03, np.nan, HOMES["hours"].to_numpy()[town]),
            "town": town,
            "tells_town": rng.random(n) < 0.5,
            "geotags": np.where(rng.random(n) < 0.4, 0.85, 0.02),
            "description": join(words, ids, length),
            "description_words": length,
            "photographer": photographer,
            "activity": np.exp(1.3 * z[0]),
            "centre": rng.random(n) ** 0.65,  # of the user's active time: more and more posts
            "width": 0.3 * rng.exponential(1, n),
            "level": LEVEL * z[3],
        }
    )
    users[["favourite1", "favourite2", "favourite3"]] = favourite
    return users.assign(account=account_effect(users))


def account_effect(users: pd.DataFrame) -> np.ndarray:
    """What the label takes from the published profile, (u,); 0 for what is not published."""
    count = np.nan_to_num((np.log(users["photo_count"]) - 6.2) / 1.4)
    years = (CRAWLED - users["first_date"]) / (365.25 * DAY)
    age = np.where(users["first_date"] == 0, 0, (years - 5.25) / 2.7)
    return (
        1.0 * count
        + 0.15 * (count**2 - 1)
        + 0.8 * age
        + 1.0 * (users["is_pro"] - 0.3)
        + 0.2 * (np.log1p(users["description_words"]) - 1.3)
        + 0.6 * (users["photographer"] - 0.16)
    ).to_numpy()


def count_accounts(rng: np.random.Generator, users: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """The external counters of the accounts with an alias, and what they tell: mean and variance of each user's level.

    Each log counter is linear in the level and in log(photo_count) with Gaussian noise, so the posterior is Gaussian.
    One row in twenty is all zero (a failed crawl), and one is an account called "None": both as in a public file.
    """
    n = len(users)
    count = np.nan_to_num((np.log(users["photo_count"].to_numpy()) - 6.2) / 1.4)
    told = (users["alias"] != "None").to_numpy() & (rng.random(n) > 0.05)
    precision, pull, table = np.full(n, LEVEL**-2), np.zeros(n), {"pathalias": users["alias"].to_numpy()}
    for name, (mean, level, photos, spread) in COUNTERS.items():
        excess = level * users["level"].to_numpy() + spread * rng.standard_normal(n)
        table[name] = np.where(
            told, np.floor(np.exp(mean + 0.8 * users["account"] * level + photos * count + excess)), 0
        )
        precision += told * (level / spread) ** 2
        pull += told * excess * level / spread**2
    rows = pd.DataFrame(table)
    rows = rows[rows["pathalias"] != "None"].astype(dict.fromkeys(COUNTERS, np.int64))
    trap = pd.DataFrame([["None", 76_058, 0, 40, 12, 3, 210, 5, 9]], columns=rows.columns)
    return pd.concat([rows, trap], ignore_index=True), pull / precision, 1 / precision
