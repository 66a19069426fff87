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
