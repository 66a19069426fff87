"""Generated videos from a self-exciting (Hawkes) process of views, likes and comments, in the layout of the real files.

In each hour h of a video's life a Poisson number of each kind of feedback comes, of the mean

    views     reach (1 + h / FADE)^-2 + B (drawn M_views + 2 M_likes + 4 M_comments)
    likes     liked x views of the hour         comments   discussed x views of the hour + B 0.3 M_comments

M_k is the memory of kind k: it takes up what came and forgets at the rate B an hour. Likes and comments so excite
views, views likes and comments, and comments each other; what a view draws in all is kept below LARGEST.

    reach      exp(N(level of the channel, 1))          liked, discussed   log-normal around 3 % and 0.4 %
    drawn      logistic of what the video shows: its subject's part, two axes of its content, its channel's, chance

The content vector is the subject's centre and the video's own; so growth is told by content, by the trajectory so far,
and by what alike videos did. Snapshots are daily from a first age of 1 to 24 hours on, until the video leaves the list;
a few are missing, a few counts fall, some videos hide their likes. `best` knows every number of a video and where its
memory stands when the observation ends, and lets the process run on DRAWS times: no predictor can do better.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

HOURS, OBSERVATION, TARGET_DAY = 190, 48, 7
FADE, B, LARGEST = 6.0, 1 / 18, 0.97
ON_VIEWS = np.array([0.0, 2.0, 4.0])  # views that a like and a comment draw
SUBJECTS, DIMENSIONS, DRAWS = 8, 16, 40
START, SPAN = 1_735_689_600, 240 * 86_400  # 2025


@dataclass(frozen=True)
class Videos:
    """n videos: reach, drawn, liked and discussed, each (n,)."""

    reach: np.ndarray
    drawn: np.ndarray
    liked: np.ndarray
    discussed: np.ndarray

    def take(self, rows: np.ndarray) -> "Videos":
        return Videos(*(getattr(self, name)[rows] for name in vars(self)))


@dataclass(frozen=True)
class Begun:
    """What `best` has to know: the videos, and memory and totals (n, 3) when the observation ends."""

    videos: Videos
    memory: np.ndarray
    total: np.ndarray


def run(rng: np.random.Generator, videos: Videos, memory: np.ndarray, total: np.ndarray, since: int, until: int):
    """Hour by hour from `since` to `until`: yields memory and totals (n, 3) at the end of each."""
    for hour in range(since, until):
        mean = videos.reach * (1 + hour / FADE) ** -2 + B * (videos.drawn * memory[:, 0] + memory @ ON_VIEWS)
        views = rng.poisson(mean)
        likes = rng.poisson(videos.liked * views)
        comments = rng.poisson(videos.discussed * views + 0.3 * B * memory[:, 2])
        came = np.stack([views, likes, comments], axis=1)
        memory, total = np.exp(-B) * (memory + came), total + came
        yield memory, total


def best(begun: Begun, rows: np.ndarray, horizon: np.ndarray, seed: int = 0) -> np.ndarray:
    """(m,) expected log2(1 + views) at the ages `horizon` (m,) of the named videos."""
    rng, many = np.random.default_rng([seed, 1]), np.repeat(rows, DRAWS)
    hour, level = np.repeat(horizon.astype(int), DRAWS), np.zeros(len(many))
    state = run(rng, begun.videos.take(many), begun.memory[many], begun.total[many], OBSERVATION, HOURS)
    for now, (_, total) in enumerate(state, OBSERVATION + 1):
        level = np.where(hour == now, np.log2(1 + total[:, 0]), level)
    return level.reshape(len(rows), DRAWS).mean(axis=1)


def write(folder: Path, n: int, seed: int = 0) -> Begun:
    """Write videos.csv, snapshots.csv, features/content.parquet and window.json; the same seed gives the same bytes."""
    rng = np.random.default_rng(seed)
    published = np.sort(rng.integers(START, START + SPAN, n))
    channels = max(n // 4, 1)
    channel, subject = rng.integers(0, channels, n), rng.integers(0, SUBJECTS, n)
    own = rng.standard_normal((n, DIMENSIONS))
    vector = 1.5 * rng.standard_normal((SUBJECTS, DIMENSIONS))[subject] + own
    shown = 0.8 * rng.standard_normal(SUBJECTS)[subject] + 0.6 * own[:, 0] - 0.5 * own[:, 1]
    shown += 0.4 * rng.standard_normal(channels)[channel] + 0.4 * rng.standard_normal(n)
    liked, discussed = 0.03 * np.exp(0.5 * rng.standard_normal(n)), 0.004 * np.exp(0.6 * rng.standard_normal(n))
    others = 2 * liked + 4 * discussed / 0.7
    drawn = np.minimum(1 / (1 + np.exp(-shown - 0.5)), LARGEST - np.minimum(others, 0.9))
    level = 5 + rng.standard_normal(channels)[channel]
    videos = Videos(np.exp(level + rng.standard_normal(n)), drawn, liked, discussed)

    zero = np.zeros((n, 3))
    states = list(run(rng, videos, zero, zero, 0, HOURS))
    totals = np.stack([zero, *(total for _, total in states)], axis=1)  # (n, HOURS + 1, 3)
    first, days = rng.integers(1, 25, n), np.arange(8)
    age = first[:, None] + 24 * days  # (n, 8)
    listed = rng.exponential(18 * 24, n) + 30  # hours until the list has it no more
    taken = (age < np.minimum(listed, HOURS)[:, None]) & ((rng.random(age.shape) > 0.03) | (days == 0))
    video, day = np.nonzero(taken)
    counts = totals[video, age[video, day]]
    counts[:, 0] = np.where(rng.random(len(video)) < 0.01, np.floor(0.98 * counts[:, 0]), counts[:, 0])
    table = pd.DataFrame({"video": video, "age_h": age[video, day]})
    table[["views", "likes", "comments"]] = counts.astype(int)
    table["likes"] = table["likes"].astype("Int64").mask((rng.random(n) < 0.05)[video])
    about = pd.DataFrame({"video": np.arange(n), "publish_time": published, "channel": channel})
    about["category"] = np.where(rng.random(n) < 0.8, subject // 2, rng.integers(0, SUBJECTS // 2, n))
    about["duration_s"] = np.round(np.exp(rng.normal(4, 0.8, n))).astype(int)
    (folder / "features").mkdir(parents=True, exist_ok=True)
    about.to_csv(folder / "videos.csv", index=False)
    table.to_csv(folder / "snapshots.csv", index=False)
    content = pd.DataFrame(vector.astype(np.float32)).add_prefix("v").assign(video=np.arange(n).astype(str))
    content.to_parquet(folder / "features" / "content.parquet", index=False)
    (folder / "window.json").write_text(json.dumps({"observation_hours": OBSERVATION, "target_day": TARGET_DAY}) + "\n")
    return Begun(videos, *states[OBSERVATION - 1])
