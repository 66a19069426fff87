"""Statistics of a video post: the account's counts and their ratios, the clip, its words, its time and place."""

import numpy as np
import pandas as pd
import pyarrow.compute as pc

COUNTS = ("following", "follower", "heart", "video", "digg")  # likes repeats heart and friend is always 0
RATIOS = (
    ("heart", "video"),
    ("follower", "video"),
    ("heart", "follower"),
    ("digg", "video"),
    ("follower", "following"),
)


COMMON = ("fyp", "foryou", "viral", "ad", "duet", "funny", "comedy", "capcut", "greenscreen", "stitch", "replying")


def build(posts: pd.DataFrame) -> pd.DataFrame:
    """(n, 30) frame: log1p of the account's counts and of their ratios, durations, shape, text lengths, time, place.

    No label is involved; `user_posts`, `music_posts` and `days` use train and test together. The ratios carry most of
    the score on this track in every public solution.
    """
    counts = {c: posts[f"user_{c}_count"].to_numpy(np.float64) for c in COUNTS}
    columns: dict[str, np.ndarray | pd.Series] = {f"log_{c}": np.log1p(v) for c, v in counts.items()}
    for over, under in RATIOS:
        columns[f"log_{over}_per_{under}"] = np.log1p(counts[over] / np.maximum(counts[under], 1))

    duration, music = posts["video_duration"].to_numpy(), posts["music_duration"].to_numpy()
    width, height = posts["video_width"].to_numpy(), posts["video_height"].to_numpy()
    columns |= {
        "video_duration": duration,
        "music_duration": music,
        "music_share": music / np.maximum(duration, 1),
        "video_height": height,
        "video_aspect": width / np.maximum(height, 1),
        "music_is_original": posts["music_title"].str.startswith("original sound").to_numpy(np.float32),
        "music_posts": posts.groupby("music_title")["music_title"].transform("size").to_numpy(),
        "music_title_chars": posts["music_title"].str.len().to_numpy(np.float32),
    }
    words = posts["post_content"].str.count(",") + posts["post_content"].ne("")
    columns |= {
        "content_chars": posts["post_content"].str.len().to_numpy(np.float32),
        "content_words": words.to_numpy(np.float32),
        "suggested_words": pc.list_value_length(posts["tags"].array.__arrow_array__()).to_numpy(zero_copy_only=False),
        "user_posts": posts.groupby("user_id", observed=True)["user_id"].transform("size").to_numpy(),
    }
    time = posts["time"].dt
    columns |= {
        "hour": time.hour.to_numpy(),
        "weekday": time.day_of_week.to_numpy(),
        "days": (posts["time"] - posts["time"].min()).dt.total_seconds().to_numpy() / 86400,
    }
    table = pd.DataFrame(columns, index=posts.index).astype(np.float32)
    return table.assign(
        location=posts["post_location"], language=posts["post_text_language"], video_ratio=posts["video_ratio"]
    )


def users(posts: pd.DataFrame) -> pd.DataFrame:
    """(n, 1) frame: the user as a category, for learners that share strength between posts of one user."""
    return pd.DataFrame({"user": posts["user_id"]}, index=posts.index)


def ratios(posts: pd.DataFrame) -> pd.DataFrame:
    """(n, 8) frame of further account ratios, as differences of logs, and small-account flags; no label is involved."""
    log = {c: np.log1p(posts[f"user_{c}_count"].to_numpy(np.float64)) for c in COUNTS}
    pairs = (("heart", "video"), ("digg", "heart"), ("following", "video"), ("following", "follower"))
    columns = {f"ratio_{a}_{b}": log[a] - log[b] for a, b in pairs}
    rank = posts[["user_heart_count", "user_follower_count"]].rank(pct=True).mean(axis=1)
    columns |= {
        "account_rank": rank,
        "few_videos": np.minimum(posts["user_video_count"], 30),
        "follows_nobody": posts["user_following_count"] < 5,
        "log_duration": np.log1p(posts["video_duration"]),
    }
    return pd.DataFrame(columns, index=posts.index).astype(np.float32)


def words(posts: pd.DataFrame) -> pd.DataFrame:
    """(n, 16) frame: how common a post's words and suggested words are (log document frequency over train and test; NaN
    without words), how many digits it has, and whether it says some common words. No label is involved.
    """
    content = posts["post_content"]
    columns = {}
    for name, lists in (("word", content.str.lower().str.split(",")), ("suggested", pd.Series(posts["tags"].array))):
        pairs = pd.DataFrame({"word": lists.reset_index(drop=True).explode()}).rename_axis("post").reset_index()
        pairs["word"] = pairs["word"].fillna("").astype("str").str.lower()
        pairs = pairs[pairs["word"] != ""].drop_duplicates()
        frequency = pairs["word"].map(pairs.groupby("word").size()).groupby(pairs["post"])
        for what in ("mean", "max"):
            columns[f"{name}_df_{what}"] = np.log(frequency.agg(what).reindex(range(len(posts)))).to_numpy()
        if name == "word":
            has = {w: np.isin(np.arange(len(posts)), pairs["post"][pairs["word"] == w]) for w in COMMON}
    columns["content_digits"] = content.str.count(r"\d").to_numpy()
    columns |= {f"says_{w}": there for w, there in has.items()}
    return pd.DataFrame(columns, index=posts.index).astype(np.float32)
