"""Posts of the demo's image track and their labels, drawn from the model that the package states."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import norm, rankdata

from smp.tracks.demo.text import pick
from smp.tracks.demo.world import LOOKS, World
from smp.tracks.image.demo.text import post_texts
from smp.tracks.image.demo.users import DAY, HOMES, count_accounts, draw_users

START, DAYS = 1_425_168_000, 486  # 2015-03-01, sixteen months
TRAIN_SHARE = 305_613 / 486_194
POSTS_PER_USER, POSTS_PER_BURST = 6.95, 2.4
BASE, LABEL_RANGE = 6.1, (1.0, 16.56)

# Posts per 100,000 pids in the official train and test, and the mean label of each, rounded (public label file).
PID_RANGE = (775, 1_118_356)
PIDS_TRAIN = np.array([3, 374, 904, 876, 284, 125, 120, 105, 85, 89, 75, 16])
PIDS_TEST = np.array([1, 1, 1, 18, 216, 151, 160, 181, 207, 361, 414, 96])
LABEL_OF_PID = np.array([8.0, 7.3, 6.8, 6.6, 6.1, 5.6, 5.4, 5.2, 4.9, 4.8, 4.6, 4.3])

# What the label takes from a picture, in standard deviations.
PICTURE = {"vivid": 0.5, "bright": 0.45, "clear": 0.55}
# Shares of unusual picture files.
FILES = {"missing": 0.003, "empty": 0.001, "truncated": 0.002, "cmyk": 0.002, "palette": 0.004, "gray": 0.02}


@dataclass
class ImageSample:
    """All that is drawn. n posts in file order (train, then test, each by ascending Pid), u users."""

    posts: pd.DataFrame  # (n, ...)
    users: pd.DataFrame  # (u, ...)
    counters: pd.DataFrame  # the external file
    terms: pd.DataFrame  # (n, 8): the latent label is BASE + their sum
    label: np.ndarray  # (n,)
    prior_mean: np.ndarray  # (u,) of a user's level, from the counters
    prior_variance: np.ndarray  # (u,)
    noise_variance: np.ndarray  # (n,)
    told_mean: np.ndarray  # (n,) of the picture's term, for one who has read the words but not seen the picture
    told_variance: np.ndarray  # (n,)

    @property
    def is_train(self) -> np.ndarray:
        return self.posts["train"].to_numpy()

    def known(self, pixels: bool = True) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What can be known of the latent label beside the level; the rest; the rest's variance beside the level."""
        known = BASE + self.terms[["drift", "account", "content", "hour", "text"]].sum(axis=1).to_numpy()
        known += self.terms["picture"].to_numpy() if pixels else self.told_mean
        variance = self.noise_variance if pixels else self.noise_variance + self.told_variance
        return known, BASE + self.terms.sum(axis=1).to_numpy() - known, variance


def to_label(latent: np.ndarray) -> np.ndarray:
    """Latent label -> log2 of a whole number of at least 2, clipped, 2 decimals, as the official labels; monotone."""
    return np.round(np.log2(np.round(2.0 ** np.clip(latent, *LABEL_RANGE))), 2)


def sample(posts: int, seed: int, world: World) -> ImageSample:
    """Draw so many posts, train and test together; the same for the same seed."""
    rng = np.random.default_rng([seed, 1])
    users = draw_users(rng, max(2, round(posts / POSTS_PER_USER)), world)
    table = draw_posts(rng, posts, users, world)
    table = table.assign(**draw_pictures(rng, posts))
    table = table.assign(**post_texts(rng, world, table, users), **draw_places(rng, table, users))
    counted, prior_mean, prior_variance = count_accounts(rng, users)

    user, concept = table["user"].to_numpy(), table["concept"].to_numpy()
    category = world.category_of[world.subcategory_of[concept]]
    local = table["time"].to_numpy() + np.nan_to_num(users["tz"].to_numpy() * 3600)[user]
    hour, weekday = local % DAY / 3600, (local // DAY + 3) % 7  # 1970-01-01 was a Thursday
    noise = world.noise[category]
    share = PICTURE | {"bright": PICTURE["bright"] * world.bright[category]}
    told_mean, told_variance = picture_told(table, share)
    terms = {
        "drift": np.interp(table["pid"] / 1e5, np.arange(12) + 0.5, LABEL_OF_PID - 6.4)
        + 0.3 * ((table["time"] - START) / (DAYS * DAY) - 0.4),
        "account": users["account"].to_numpy()[user],
        "content": world.class_effect[concept],
        "hour": 0.3 * np.cos(2 * np.pi * (hour - 20) / 24) + 0.2 * (weekday >= 5),
        "text": 0.25 * (np.log1p(table["n_tags"]) - 2.9)
        + table["word_effect"]
        - 0.25 * (table["title_words"] == 0)
        + 0.2 * (table["title_words"] >= 3),
        "picture": sum(share[name] * table[name] for name in PICTURE),
        "level": users["level"].to_numpy()[user],
        "noise": noise * rng.standard_normal(posts),
    }
    terms = pd.DataFrame(terms)
    return ImageSample(
        posts=table,
        users=users,
        counters=counted,
        terms=terms,
        label=to_label(BASE + terms.sum(axis=1).to_numpy()),
        prior_mean=prior_mean,
        prior_variance=prior_variance,
        noise_variance=noise**2,
        told_mean=told_mean,
        told_variance=told_variance,
    )


def picture_told(posts: pd.DataFrame, share: dict) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of the picture's term for one who has read the post's words but not seen the picture, (n,).

    A word tells the fifth of a standard normal quality: moments of the truncated normal; else 0 and 1.
    """
    edge = norm.ppf(np.arange(6) / 5)
    density, slope = norm.pdf(edge), np.nan_to_num(edge) * norm.pdf(edge)
    mean = np.append(5 * (density[:-1] - density[1:]), 0)  # the last is that of nothing told (-1)
    variance = np.append(1 + 5 * (slope[:-1] - slope[1:]) - mean[:-1] ** 2, 1)
    told = {name: posts[f"told_{name}"].to_numpy() if name in LOOKS else -1 for name in share}
    seen = {name: (posts[name] != 0).to_numpy() for name in share}
    return (
        sum(share[name] * mean[told[name]] for name in share),
        sum(share[name] ** 2 * variance[told[name]] * seen[name] for name in share),
    )


def draw_posts(rng: np.random.Generator, n: int, users: pd.DataFrame, world: World) -> pd.DataFrame:
    """user, burst, concept, time, train and pid of n posts, in file order.

    A user posts in bursts (one place in time and among the pids, one concept), most of them about favourite subjects.
    """
    n_users, n_bursts = len(users), max(len(users), round(n / POSTS_PER_BURST))
    activity = users["activity"].to_numpy()
    owner = np.concatenate([np.arange(n_users), pick(rng, activity, n_bursts - n_users)])
    favourite = users[["favourite1", "favourite2", "favourite3"]].to_numpy()
    subcategory = favourite[owner, pick(rng, np.array([0.6, 0.25, 0.15]), n_bursts)]
    anything = rng.random(n_bursts) < 0.25
    subcategory[anything] = pick(rng, world.subcategory_share, anything.sum())
    concept = pick_concept(rng, world, subcategory)

    # In time: near the middle of the user's active time (reflected into the sixteen months), in the evening at home.
    centre, width = users[["centre", "width"]].to_numpy()[owner].T
    middle = centre + width * rng.standard_normal(n_bursts)
    day = np.floor(DAYS * np.clip(1 - np.abs(1 - np.abs(middle)), 0, 1 - 1e-9))
    home = HOMES["hours"].to_numpy()[users["town"].to_numpy()[owner]]
    hour = (19 + 5 * rng.standard_normal(n_bursts)) % 24
    begin = START + day * DAY + (hour - home) * 3600
    gap = np.exp(rng.normal(4.5, 1.3, n_bursts))  # seconds between two posts

    burst = np.concatenate([np.arange(n_bursts), pick(rng, rng.gamma(1.0, size=n_bursts), n - n_bursts)])
    burst.sort()
    rank = np.arange(n) - np.searchsorted(burst, burst)
    time = np.maximum(begin[burst] + rank * gap[burst], START).astype(np.int64)
    order = np.argsort(time, kind="stable")
    train = np.zeros(n, dtype=bool)
    train[order[: round(TRAIN_SHARE * n)]] = True

    # Pids go up with time, loosely (Gaussian copula), over the ranges of the official train and test.
    place, away = np.zeros(n), rng.standard_normal(n_bursts)
    for part, counts in ((train, PIDS_TRAIN), (~train, PIDS_TEST)):
        rows = np.flatnonzero(part)
        moment = norm.ppf((rankdata(begin[burst[rows]]) - 0.5) / len(rows))  # one value a burst
        rows = rows[np.lexsort((time[rows], burst[rows], 0.5 * moment + 0.866 * away[burst[rows]]))]
        share = np.concatenate([[0], np.cumsum(counts)]) / counts.sum()
        edges = np.concatenate([[PID_RANGE[0]], np.arange(1, 12) * 100_000, [PID_RANGE[1]]])
        place[rows] = np.interp((np.arange(len(rows)) + 0.5) / len(rows), share, edges)
    pid = np.empty(n, dtype=np.int64)
    order = np.argsort(place, kind="stable")
    pid[order] = np.maximum.accumulate(place[order].astype(np.int64) - np.arange(n)) + np.arange(n)  # all different

    order = np.lexsort((pid, ~train))
    posts = {"user": owner[burst], "burst": burst, "concept": concept[burst], "time": time, "train": train, "pid": pid}
    return pd.DataFrame(posts).iloc[order].reset_index(drop=True)


def pick_concept(rng: np.random.Generator, world: World, subcategory: np.ndarray) -> np.ndarray:
    """A concept of each given subcategory, by its share."""
    ends = np.cumsum(world.concept_share)  # concepts are sorted by subcategory
    edge = np.concatenate([[0], ends[np.flatnonzero(np.diff(world.subcategory_of))], ends[-1:]])
    place = edge[subcategory] + rng.random(len(subcategory)) * (edge[subcategory + 1] - edge[subcategory])
    return np.minimum(np.searchsorted(ends, place, side="right"), len(ends) - 1)


def draw_pictures(rng: np.random.Generator, n: int) -> dict[str, np.ndarray]:
    """Kind of file and the three standard normal qualities of n pictures; a quality that the file cannot show is 0."""
    kind = np.full(n, "rgb", dtype="<U9")
    special = rng.permutation(n)
    for name, share in FILES.items():
        count = max(1, round(share * n))
        kind[special[:count]], special = name, special[count:]
    seen = ~np.isin(kind, ("missing", "empty"))
    vivid, bright, clear = rng.standard_normal((3, n)) * seen
    return {"file": kind, "vivid": vivid * (kind != "gray"), "bright": bright, "clear": clear}


def draw_places(rng: np.random.Generator, posts: pd.DataFrame, users: pd.DataFrame) -> dict[str, np.ndarray]:
    """latitude, longitude (str) and accuracy of the posts; accuracy 0 where the post has no place."""
    n, user = len(posts), posts["user"].to_numpy()
    home = HOMES[["latitude", "longitude"]].to_numpy()[users["town"].to_numpy()[user]]
    where = np.round(home + np.where(rng.random(n) < 0.2, 5.0, 0.1)[:, None] * rng.standard_normal((n, 2)), 6)
    known = rng.random(n) < users["geotags"].to_numpy()[user]
    text = np.where(known[:, None], where.astype(str), np.where(rng.random(n) < 0.5, "", "0")[:, None])
    accuracy = np.where(known, np.minimum(16, 17 - rng.poisson(1.5, n)), 0)
    return {"latitude": text[:, 0], "longitude": text[:, 1], "accuracy": accuracy}
