"""The columns of MVP, the video track's winner of 2025, as its published scripts make them."""

import numpy as np
import pandas as pd
import pyarrow.compute as pc

from smp.features.tags import arrow

COUNTS = ("following", "follower", "likes", "video", "digg", "heart", "friend")
SVD_DIMS, SVD_ITERATIONS, SVD_SEED = 20, 100, 2020  # of the published scripts


def build(posts: pd.DataFrame) -> pd.DataFrame:
    """(n, 29) frame: counts as they are, lengths, the clip, its time, tag dates, and eleven categories.

    week_hour is 7 * weekday + hour, as published. avg_tag_popularity is the mean over a post's suggested words of the
    number of different days on which the word occurs (train and test together), 0 without words. No label is involved.
    Overflown counts are repaired by the loader; the published log1p made NaN of them. Source: yllhwa/SMPDVideo (MVP).
    """
    time = posts["time"].dt
    week = time.isocalendar()["week"]
    numbers = {
        "uid_count": posts.groupby("user_id", observed=True)["user_id"].transform("size"),
        "content_length": posts["post_content"].str.len(),
        "content_words": posts["post_content"].str.count(",") + posts["post_content"].ne(""),
        "suggested_length": pc.list_value_length(arrow(posts["tags"])).to_numpy(zero_copy_only=False),
        "avg_tag_popularity": _tag_dates(posts),
        **{c: posts[c] for c in ("video_height", "video_width", "video_duration", "music_duration")},
        **{c: posts[f"user_{c}_count"] for c in COUNTS},
    }
    categories = {
        "uid": posts["user_id"],
        "music_title": posts["music_title"],
        "hour": time.hour,
        "day": time.day,
        "weekday": time.day_of_week,
        "week_hour": time.day_of_week * 7 + time.hour,
        "year_week": week,
        **{c: posts[c] for c in ("post_location", "post_text_language", "video_ratio", "video_format")},
    }
    columns = {f"mvp_{k}": np.asarray(v, np.float32) for k, v in numbers.items()}
    columns |= {f"mvp_{k}": pd.Categorical(np.asarray(v)) for k, v in categories.items()}
    return pd.DataFrame(columns, index=posts.index)


def learn_text(posts: pd.DataFrame) -> list[tuple]:
    """Weights and factors of the content, then of the suggested words; (None, None) where none has a word."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    learnt = []
    for texts in _texts(posts):
        weights = svd = None
        if any(t.strip() for t in texts):
            weights = TfidfVectorizer(ngram_range=(1, 2))
            weighted = weights.fit_transform(texts)
            svd = TruncatedSVD(min(SVD_DIMS, weighted.shape[1]), n_iter=SVD_ITERATIONS, random_state=SVD_SEED)
            svd.fit(weighted)
        learnt.append((weights, svd))
    return learnt


def text(posts: pd.DataFrame, learnt: list[tuple] | None = None) -> np.ndarray:
    """(n, 40) float16: TF-IDF of words and pairs of words by truncated SVD to 20, of the content, then of the suggested
    words; fitted on train and test together, as published.
    """
    parts = []
    for texts, (weights, svd) in zip(_texts(posts), learnt or learn_text(posts)):
        out = np.zeros((len(posts), SVD_DIMS), np.float32)
        if weights is not None:
            found = svd.transform(weights.transform(texts))
            out[:, : found.shape[1]] = found
        parts.append(out)
    return np.hstack(parts)


def _texts(posts: pd.DataFrame) -> tuple[list[str], list[str]]:
    return posts["title"].tolist(), pc.binary_join(arrow(posts["tags"]), " ").to_pylist()


def _tag_dates(posts: pd.DataFrame) -> np.ndarray:
    words = pd.Series(posts["tags"].array, copy=False).explode()
    pairs = pd.DataFrame({"post": words.index, "word": words.to_numpy(object)}).dropna()
    pairs["day"] = posts["time"].dt.floor("D").to_numpy()[pairs["post"]]
    days = pairs.drop_duplicates(["word", "day"]).groupby("word").size()
    mean = pairs["word"].map(days).groupby(pairs["post"]).mean()
    return mean.reindex(range(len(posts))).fillna(0).to_numpy()
