"""Generated data of the video track: users, posts and labels, drawn from a stated model whose best score is known.

With log(hearts per video) and log(followers) linear in the user's popularity q ~ N(0, 1),

    z = 9.0 + 0.9 (share of the two years - 0.6) + content(duration, words, place, language, sound, hour) + 2.9 q
        + N(0, 1.3^2)
    label = round(clip(13.6 - 2 ln(1 + exp((13.6 - z) / 2)), 1.22, 13.35), 2)
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import norm

from smp.metrics import mape
from smp.tracks.demo import ceiling, world
from smp.tracks.demo.files import write_labels, write_rows
from smp.tracks.demo.text import join, pick, topic_word
from smp.tracks.demo.world import World, made_up_words

START, DAYS, DAY = 1_640_995_200, 730, 86_400  # 2022-01-01, two years
TRAIN_SHARE = 4_000 / 6_000
USERS_PER_POST = 0.86
LABEL_RANGE = (1.22, 13.35)
LEVEL = 2.9  # standard deviation of the latent label that comes from the user's popularity
NOISE = 1.3
# What the popularity (standard normal) adds to log(hearts per video) and log(followers), and their own noise.
RATE, FOLLOWERS = (1.9, 1.1), (2.0, 1.5)

LOCATIONS = {"US": 0.63, "GB": 0.065, "CA": 0.046, "PH": 0.035, "AU": 0.03, "ID": 0.02, "DE": 0.02, "MY": 0.015}
LOCATIONS |= {"MX": 0.015, "FR": 0.015, "TR": 0.012, "BR": 0.012, "NL": 0.01, "JP": 0.01, "NA": 0.003}
LANGUAGES = {"en": 0.80, "un": 0.12, "es": 0.03, "id": 0.015, "pt": 0.01, "fr": 0.01, "de": 0.01, "ja": 0.005}
FRAMES = [(1024, 576, "540p"), (1280, 720, "720p"), (960, 540, "540p"), (576, 576, "540p"), (854, 480, "480p")]
FRAMES_TRAIN, FRAMES_TEST = np.array([0.81, 0.13, 0.03, 0.015, 0.015]), np.array([0.93, 0.01, 0.03, 0.015, 0.015])
SOUNDS = ["original sound"] * 6 + ["sonido original", "son original", "オリジナル楽曲", "suara asli", "som original"]
WORD_EFFECTS = {"viral": 0.4, "trending": 0.4, "ad": -0.9, "discount": -0.7, "duet": -0.4, "funny": 0.6}
PLAIN_WORDS = [
    "fyp",
    "foryou",
    "foryoupage",
    "fy",
    "tiktok",
    "video",
    "new",
    "xyzbca",
    "Follow",
    "🔥",
    "day",
    "how",
    "to",
]

VIDEO_FILE = "SMP-Video_anonymized_{}_{}.jsonl"
POSTS = (600, 6_000)  # a fifth of the image posts, inside these bounds


def write(folder: Path, truth: Path, posts: int, images: bool, seed: int) -> dict:
    """Write the official files to `folder`, the labels of the test to `truth`; returns the best score.

    posts: of the image track; there are no videos to draw.
    """
    clips = sample(int(np.clip(posts // 5, *POSTS)), seed, world.build())
    write_video(folder, truth, clips, np.random.default_rng([seed, 6]))
    return scores(clips)


@dataclass
class VideoSample:
    """All that is drawn. n posts by time, u users."""

    posts: pd.DataFrame  # (n, ...)
    users: pd.DataFrame  # (u, ...)
    terms: pd.DataFrame  # (n, 4): the latent label is their sum
    label: np.ndarray  # (n,)
    prior_mean: np.ndarray  # (u,) of a user's level, from the counts
    prior_variance: np.ndarray  # (u,)

    @property
    def is_train(self) -> np.ndarray:
        return self.posts["train"].to_numpy()

    def known(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What can be known of the latent label beside the level; the rest; the rest's variance beside the level."""
        known = self.terms[["base", "content"]].sum(axis=1).to_numpy()
        return known, self.terms.sum(axis=1).to_numpy() - known, np.full(len(known), NOISE**2)


def to_label(latent: np.ndarray) -> np.ndarray:
    """Latent label -> label: bent below 13.6 (the real ones have a short upper tail), clipped, 2 decimals; monotone."""
    return np.round(np.clip(13.6 - 2 * np.logaddexp(0, (13.6 - latent) / 2), *LABEL_RANGE), 2)


def sample(posts: int, seed: int, world: World) -> VideoSample:
    """Draw so many posts, train and test together; the same for the same seed."""
    rng = np.random.default_rng([seed, 2])
    n_users = round(USERS_PER_POST * posts)
    users, prior_mean, prior_variance = draw_users(rng, n_users)
    table = draw_posts(rng, posts, n_users)
    table = table.assign(**draw_content(rng, table, world))
    hour = table["time"] % DAY / 3600
    terms = pd.DataFrame(
        {
            "base": 9.0 + 0.9 * ((table["time"] - START) / (DAYS * DAY) - 0.6),
            "content": -0.45 * (np.log(table["duration"]) - 3.1)
            + table["word_effect"]
            + 0.3 * ((table["location"] == "US") - 0.63)
            - 0.5 * ((table["language"] == "un") - 0.12)
            - 0.4 * (table["original"] - 0.4)
            + 0.25 * np.cos(2 * np.pi * (hour - 18) / 24),
            "level": users["level"].to_numpy()[table["user"]],
            "noise": NOISE * rng.standard_normal(posts),
        }
    )
    return VideoSample(table, users, terms, to_label(terms.sum(axis=1).to_numpy()), prior_mean, prior_variance)


def draw_users(rng: np.random.Generator, n: int) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """n users: published counts and level; mean and variance of the level given log rate and log followers."""
    popularity, rate, followers = rng.standard_normal((3, n)) * np.array([[1], [RATE[1]], [FOLLOWERS[1]]])
    log_videos = np.clip(rng.normal(5.6, 1.3, n), 0.7, 10.4)
    log_rate = 8.2 + RATE[0] * popularity + rate
    log_followers = 10.6 + FOLLOWERS[0] * popularity + 0.35 * (log_videos - 5.6) + followers
    # The most popular accounts have more hearts than a 32-bit integer holds; their counts overflowed when collected.
    top = np.argsort(-log_rate)[: max(2, round(0.0012 * n))]
    log_videos[top] = np.maximum(log_videos[top], 21.6 - log_rate[top])
    videos = np.round(np.exp(log_videos))
    hearts = np.minimum(shown(np.exp(log_rate) * videos), 4e9).astype(np.int64)
    hearts[hearts > 2**31 - 1] -= 2**32
    users = pd.DataFrame(
        {
            "uid": np.char.mod("USER%08d", rng.permutation(n) + 1),
            "user_following_count": np.minimum(np.exp(rng.normal(5, 1.8, n)), 10_000).astype(np.int64),
            "user_follower_count": shown(np.exp(log_followers)).astype(np.int64),
            "user_likes_count": hearts,
            "user_video_count": videos.astype(np.int64),
            "user_digg_count": shown(np.exp(rng.normal(8, 2.4, n))).astype(np.int64),
            "user_heart_count": hearts,
            "user_friend_count": 0,
            "level": LEVEL * popularity,
        }
    )
    precision = 1 + (RATE[0] / RATE[1]) ** 2 + (FOLLOWERS[0] / FOLLOWERS[1]) ** 2
    pull = RATE[0] * (log_rate - 8.2) / RATE[1] ** 2
    pull += FOLLOWERS[0] * (FOLLOWERS[0] * popularity + followers) / FOLLOWERS[1] ** 2
    return users, LEVEL * pull / precision, np.full(n, LEVEL**2 / precision)


def shown(count: np.ndarray) -> np.ndarray:
    """Counts as the site shows them: whole below 10,000, then tenths of a thousand, then tenths of a million."""
    step = np.where(count < 1e4, 1, np.where(count < 1e6, 1e2, 1e5))
    return np.round(count / step) * step


def draw_posts(rng: np.random.Generator, n: int, n_users: int) -> pd.DataFrame:
    """user, time, train and the serial numbers of n posts, by time (minutes)."""
    user = np.concatenate([np.arange(n_users), pick(rng, rng.gamma(0.4, size=n_users), n - n_users)])
    when = (rng.random(n_users) ** 0.55)[user] + 0.3 * rng.standard_normal(n)  # a user's posts lie near each other
    day = np.floor(DAYS * np.clip(1 - np.abs(1 - np.abs(when)), 0, 1 - 1e-9))
    time = START + (day * DAY).astype(np.int64) + ((18 + 6 * rng.standard_normal(n)) % 24 * 60).astype(np.int64) * 60
    order = np.argsort(time, kind="stable")
    number = np.arange(1, n + 1)
    posts = {"user": user[order], "time": time[order], "train": number <= round(TRAIN_SHARE * n)}
    posts |= {"pid": np.char.mod("POST%08d", number), "vid": np.char.mod("VIDEO%08d", number * 13 // 10)}
    return pd.DataFrame(posts)


def draw_content(rng: np.random.Generator, posts: pd.DataFrame, world: World) -> dict[str, np.ndarray]:
    """What the posts say and show: text, place, language, frame, durations and music, and the words' effect."""
    n, train = len(posts), posts["train"].to_numpy()
    concept = pick(rng, world.concept_share, n)
    generic = [*WORD_EFFECTS, *PLAIN_WORDS]
    words = np.concatenate([world.words, generic])
    length = np.where(rng.random(n) < 0.015, 0, np.minimum(np.exp(rng.normal(2.5, 0.6, n)), 150)).astype(int)
    row = np.repeat(np.arange(n), length)
    ids = topic_word(rng, world, concept[row])
    vague = rng.random(len(row)) < 0.35
    ids[vague] = len(world.words) + pick(rng, 1 / (np.arange(len(generic)) + 8.0), vague.sum())
    # A word counts once, however often it is said.
    said = np.unique(row * len(words) + ids)
    effect = np.zeros(len(words))
    effect[len(world.words) :][: len(WORD_EFFECTS)] = list(WORD_EFFECTS.values())

    suggested = np.where(rng.random(n) < 0.65, 0, rng.integers(2, 11, n))
    phrase = topic_word(rng, world, np.repeat(concept, suggested))
    frame = np.where(train, pick(rng, FRAMES_TRAIN, n), pick(rng, FRAMES_TEST, n))
    height, width, ratio = (np.array(column)[frame] for column in zip(*FRAMES, strict=True))
    duration = np.clip(np.exp(rng.normal(3.1, 0.9, n)), 2, 600).astype(int)
    original = rng.random(n) < 0.4
    song = np.char.capitalize(made_up_words(rng, 400, 3))
    song = np.where(
        original, np.array(SOUNDS)[rng.integers(0, len(SOUNDS), n)], song[pick(rng, 1 / np.arange(2.0, 402), n)]
    )
    location = np.array(list(LOCATIONS))[pick(rng, np.array(list(LOCATIONS.values())), n)]
    for part in (train, ~train):  # Namibia is there, whatever the size
        location[rng.choice(np.flatnonzero(part))] = "NA"
    return {
        "content": join(words, ids, length, ","),
        "suggested": join(words, phrase, suggested, "\n"),
        "word_effect": np.bincount(said // len(words), effect[said % len(words)], n),
        "location": location,
        "language": np.array(list(LANGUAGES))[pick(rng, np.array(list(LANGUAGES.values())), n)],
        "height": height,
        "width": width,
        "ratio": ratio,
        "duration": duration,
        "original": original,
        "music": song,
        "music_duration": np.where(original, duration, np.clip(np.exp(rng.normal(3.8, 0.7, n)), 3, 600).astype(int)),
    }


def write_video(folder: Path, truth: Path, sample: VideoSample, rng: np.random.Generator) -> None:
    """All files of the video track; `truth` gets the labels of the test posts.

    As in the real files the posts come in another order than the videos, popularities and users, and the test has
    some users twice.
    """
    folder.mkdir()
    everything = sample.posts.assign(label=sample.label)
    for split, part in (("train", sample.is_train), ("test", ~sample.is_train)):
        posts = everything[part].sample(frac=1, random_state=rng)
        uid = sample.users["uid"].to_numpy()[posts["user"]]
        vid = posts["vid"].to_numpy(dtype=str)
        path = np.char.add(np.char.add(f"{split}/", uid.astype(str)), np.char.add(np.char.add("/", vid), ".mp4"))
        minute = posts["time"].to_numpy().astype("datetime64[s]").astype("datetime64[m]").astype(str)
        suggested = [words.split("\n") if words else [] for words in posts["suggested"].tolist()]
        table = {
            "pid": posts["pid"].to_numpy(),
            "uid": uid,
            "post_content": posts["content"].to_numpy(),
            "post_location": posts["location"].to_numpy(),
            "post_suggested_words": pd.Series(suggested, dtype=object).to_numpy(),
            "post_text_language": posts["language"].to_numpy(),
            "video_path": path,
            "post_time": np.char.replace(minute, "T", " "),
        }
        write_rows(folder / VIDEO_FILE.format("posts", split), table, lines=True)
        posts = posts.sample(frac=1, random_state=rng)
        uid = sample.users["uid"].to_numpy()[posts["user"]]
        table = {"vid": posts["vid"].to_numpy(), "pid": posts["pid"].to_numpy(), "uid": uid}
        table |= {f"video_{key}": posts[key].to_numpy() for key in ("height", "width", "duration", "ratio")}
        table |= {"video_format": np.full(len(posts), "mp4", dtype=object), "music_title": posts["music"].to_numpy()}
        table |= {"music_duration": posts["music_duration"].to_numpy()}
        write_rows(folder / VIDEO_FILE.format("videos", split), table, lines=True)
        rows = posts["user"].drop_duplicates().to_numpy()
        if split == "test":
            again = rng.choice(rows, max(1, round(0.037 * len(rows))), replace=False)
            rows = np.insert(rows, rng.integers(0, len(rows), len(again)), again)
        users = sample.users.iloc[rows].drop(columns="level")
        write_rows(
            folder / VIDEO_FILE.format("users", split), {key: users[key].to_numpy() for key in users}, lines=True
        )
        pid, label = posts["pid"].to_numpy(), posts["label"].to_numpy()
        if split == "train":
            table = {"pid": pid, "uid": uid, "popularity": label}
            write_rows(folder / VIDEO_FILE.format("popularity", split), table, lines=True)
        else:
            write_labels(truth / "video_test.csv", pid, label)


def mape_optimum(mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Median, weighted by 1/y, of the video label y of a latent N(mean, deviation^2): what minimises E|y - p| / y."""
    quantile = norm.ppf((np.arange(401) + 0.5) / 401)
    y = to_label(mean[:, None] + deviation[:, None] * quantile)  # (m, 401), ascending
    weight = np.cumsum(1 / y, axis=1)
    half = np.argmax(weight >= weight[:, -1:] / 2, axis=1)
    return np.take_along_axis(y, half[:, None], axis=1)[:, 0]


def scores(sample: VideoSample) -> dict:
    """{"cv", "holdout", "test": {"mape"}}."""
    known, residual, variance = sample.known()
    found = {}
    for name, rounds in ceiling.schemes(sample.posts["time"].to_numpy(), sample.is_train).items():
        rows, mean, deviation = ceiling.predictive(
            known, residual, variance, sample.posts["user"].to_numpy(), sample.prior_mean, sample.prior_variance, rounds
        )
        best = mape_optimum(mean, deviation)
        found[name] = {"mape": round(mape(sample.label[rows], best), 4)}
    return found
