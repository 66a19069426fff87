"""How a user posts: pace, bursts, history, variety, tag habits, repeated titles, and what the account says of itself.

This is the paper's user behaviour vector s ("tag sequences and tag frequency", section 4) and what the field adds
(Alonso14C, 2026). Counts and durations, whose tails are heavy, are given as log1p of posts or seconds.
Statistics are over train and test together; no label is involved. "Before" is earlier in time, then by the number of
the post; calendars run on the user's clock.
"""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from smp.features.tags import arrow, encode, ratio, read_tags
from smp.features.time_place import local_seconds, seconds

WINDOWS = {"1h": 3600, "24h": 86_400, "7d": 7 * 86_400, "30d": 30 * 86_400}
BURST_GAP = 3600  # seconds between two posts of one upload session at most
TOP_TAGS = 3
MIN_TOP_USERS = 5  # a top tag of fewer users says no more than the user's own id

Columns = dict[str, np.ndarray | pd.Categorical]


def build(posts: pd.DataFrame) -> pd.DataFrame:
    """One row a post; what each column says stands in the functions below. NaN where a thing is not defined."""
    number = post_number(posts.index)
    user = posts["user_id"].cat.codes.to_numpy().astype(np.int64)
    time = seconds(posts["time"]).astype(np.int64)
    order = np.lexsort((encode(arrow(posts.index.to_series()))[0], number, time, user))
    ordered, user, time = posts.iloc[order], user[order], time[order]
    columns = (
        _history(user, time, local_seconds(ordered))
        | _variety(ordered, user)
        | _tags(ordered, user)
        | _titles(ordered, user, time)
        | _numbers(ordered, number[order])
        | (_account(ordered, time) if "photo_count" in posts else {})
    )
    frame = pd.DataFrame(_float32(columns), index=ordered.index)
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return frame.iloc[place]


def identity(posts: pd.DataFrame) -> pd.DataFrame:
    """user_id as a category, for a learner that gives users a level of their own (smp.learners.Linear)."""
    return posts[["user_id"]]


def account(posts: pd.DataFrame) -> pd.DataFrame:
    """The account's own data alone (n, 13), what a post's statistics say of its user; no column without such data."""
    columns = _account(posts, seconds(posts["time"]).astype(np.int64)) if "photo_count" in posts else {}
    return pd.DataFrame(_float32(columns), index=posts.index)


def _float32(columns: Columns) -> Columns:
    return {k: v if isinstance(v, pd.Categorical) else np.asarray(v, np.float32) for k, v in columns.items()}


def post_number(ids: pd.Index) -> np.ndarray:
    """(n,) float64: the digits that end a post id ("775", "POST00003480"), NaN where there are none."""
    found = pc.extract_regex(arrow(ids.to_series()), r"(?P<number>\d+)$")
    return pc.struct_field(found, "number").cast(pa.float64()).to_numpy(zero_copy_only=False)


def _history(user: np.ndarray, time: np.ndarray, local: np.ndarray) -> Columns:
    """Where a post stands in its user's history.

    user_posts, user_posts_before (ln), user_history (share of the user's posts up to this one), user_span (ln s from
    the first to the last post); user_posts_<window>: posts before this one and at most so long ago; day/week/month:
    posts on the same day, in the same week (from Monday), month; user_gap_*: ln s to the previous and next post, and
    over all gaps of the user; user_burst_*: in the run of posts at most BURST_GAP apart, its posts, the posts before
    this one and ln s since its first. Gaps are NaN where there is no other post.
    """
    start, size = _runs(_changes(user))
    at = np.arange(len(user)) - start
    gap = np.full(len(user), np.nan)
    gap[1:] = np.diff(time)
    gap[at == 0] = np.nan
    burst_start, burst_size = _runs((at == 0) | (gap > BURST_GAP))
    day = local // 86_400
    periods = {
        "day": day,
        "week": (day + 3) // 7,
        "month": local.astype(np.int64).astype("datetime64[s]").astype("datetime64[M]"),
    }
    columns = {
        "user_posts": np.log1p(size),
        "user_posts_before": np.log1p(at),
        "user_history": (at + 1) / size,
        "user_span": np.log1p(time[start + size - 1] - time[start]),
        "user_gap_previous": np.log1p(gap),
        "user_gap_next": np.log1p(np.append(gap[1:], np.nan)),
        "user_burst_posts": np.log1p(burst_size),
        "user_burst_position": np.log1p(np.arange(len(user)) - burst_start),
        "user_burst_age": np.log1p(time - time[burst_start]),
    }
    for name, period in periods.items():
        columns[f"user_posts_{name}"] = np.log1p(_group_sizes(user, period.astype(np.int64)))
    # One search over all users: keys of user k lie apart from those of k + 1 by more than the longest window.
    width = time.max() - time.min() + max(WINDOWS.values()) + 1
    key = user * width + time - time.min()
    for name, length in WINDOWS.items():
        columns[f"user_posts_{name}"] = np.log1p(np.arange(len(user)) - np.searchsorted(key, key - length))
    return columns | {f"user_gap_{name}": values for name, values in _gap_statistics(gap, start, size).items()}


def _gap_statistics(gap: np.ndarray, start: np.ndarray, size: np.ndarray) -> Columns:
    """ln of 1 + least, mean, most and standard deviation (over the count) of a user's gaps."""
    first, of_user = np.unique(start, return_inverse=True)
    known = np.isfinite(gap)
    mean = ratio(np.bincount(of_user[known], gap[known], minlength=len(first))[of_user], size - 1)
    squares = np.bincount(of_user[known], (gap - mean)[known] ** 2, minlength=len(first))[of_user]
    least = np.minimum.reduceat(np.where(known, gap, np.inf), first)[of_user]
    most = np.maximum.reduceat(np.where(known, gap, -np.inf), first)[of_user]
    values = {"min": least, "mean": mean, "max": most, "std": np.sqrt(ratio(squares, size - 1))}
    return {name: np.log1p(np.where(size > 1, v, np.nan)) for name, v in values.items()}


def _variety(posts: pd.DataFrame, user: np.ndarray) -> Columns:
    """Per level the track has: ln(1 + the user's different values), their entropy in nats, the share of this post's."""
    columns = {}
    for name in ("category", "subcategory", "concept"):
        code = posts[name].cat.codes.to_numpy().astype(np.int64)
        known = code >= 0
        if not known.any():
            continue
        pair, of_post, count = np.unique(
            user[known] * (code.max() + 1) + code[known], return_inverse=True, return_counts=True
        )
        owner, n = pair // (code.max() + 1), user.max() + 1
        total = np.bincount(owner, count, minlength=n)
        entropy = np.log(np.maximum(total, 1)) - ratio(np.bincount(owner, count * np.log(count), minlength=n), total)
        columns[f"user_{name}_values"] = np.log1p(np.bincount(owner, minlength=n))[user]
        columns[f"user_{name}_entropy"] = np.maximum(entropy, 0)[user]
        share = np.full(len(user), np.nan)
        share[known] = (count / total[owner])[of_post]
        columns[f"user_{name}_share"] = share
    return columns


def _tags(posts: pd.DataFrame, user: np.ndarray) -> Columns:
    """user_tags_mean: different tags a post. Of this post's tags: user_tags_known, the share the user had used before;
    user_tags_jaccard with the previous post's (NaN where both have none); user_tags_frequency, the mean share of the
    user's posts with the tag. user_top_tag_<k>: the user's k-th most used tag (ties by the alphabet) and the share of
    their posts that have it.
    """
    tags = read_tags(posts)
    start, size = _runs(_changes(user))
    distinct = tags.distinct
    # Occurrences by tag, then by post: as posts are by user and time, those of one user and tag are neighbours.
    order = np.lexsort((tags.post, tags.code))
    post, code = tags.post[order], tags.code[order]
    run_start, uses = _runs(_changes(code) | _changes(user[post]))
    again = np.arange(len(post)) > run_start
    previous = np.where(again, np.roll(post, 1), -1) == post - 1
    n = len(posts)
    shared = np.bincount(post[previous], minlength=n)
    before = np.append(0, distinct[:-1])
    columns = {
        "user_tags_mean": (np.bincount(start, distinct, minlength=n) / size[start])[start],
        "user_tags_known": ratio(np.bincount(post[again], minlength=n), distinct),
        "user_tags_jaccard": np.where(np.arange(n) > start, ratio(shared, distinct + before - shared), np.nan),
        "user_tags_frequency": ratio(np.bincount(post, uses / size[post], minlength=n), distinct),
    }
    first = np.flatnonzero(np.arange(len(post)) == run_start)  # one a user and tag
    owner, count, code = start[post[first]], uses[first], code[first]
    best = np.lexsort((code, -count, owner))
    owner, count, code = owner[best], count[best], code[best]
    rank = np.arange(len(owner)) - _runs(_changes(owner))[0]
    for k in range(TOP_TAGS):
        top, share = np.full(n, -1), np.zeros(n)
        top[owner[rank == k]] = code[rank == k]
        share[owner[rank == k]] = count[rank == k] / size[owner[rank == k]]
        kept = np.flatnonzero(np.bincount(code[rank == k], minlength=len(tags.names)) >= MIN_TOP_USERS)
        names = pd.Index(tags.names.take(kept).to_pandas(), dtype="str")
        short = np.full(len(tags.names) + 1, -1)  # the last is that of no tag
        short[kept] = np.arange(len(kept))
        columns[f"user_top_tag_{k + 1}"] = pd.Categorical.from_codes(short[top][start], categories=names)
        columns[f"user_top_tag_{k + 1}_share"] = share[start]
    return columns


def _titles(posts: pd.DataFrame, user: np.ndarray, time: np.ndarray) -> Columns:
    """Posts of one user under one title: ln of how many, of those before this one, of s since the first; an untitled
    post stands alone. A group is one upload shown as several posts.
    """
    title = arrow(posts["title"])
    code = encode(title)[0]
    order = np.lexsort((code, user))  # stable: within a group by time
    new = _changes(user[order]) | _changes(code[order]) | pc.equal(title, "").to_numpy(zero_copy_only=False)[order]
    start, size = _runs(new)
    columns = {
        "user_title_posts": size,
        "user_title_position": np.arange(len(order)) - start,
        "user_title_age": time[order] - time[order][start],
    }
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return {name: np.log1p(values[place]) for name, values in columns.items()}


def _numbers(posts: pd.DataFrame, number: np.ndarray) -> Columns:
    """Numbers in names: of the Flickr user "59@N75" 59 and 75, of the post its own and its rank as a share of all posts
    (posts were collected in this order).
    """
    parts = (
        posts["user_id"].cat.categories.to_series().str.extract(r"^(\d+)@N(\d+)$").to_numpy(np.float64, na_value=np.nan)
    )
    user = posts["user_id"].cat.codes.to_numpy()
    columns = {"post_number": number, "post_number_share": pd.Series(number).rank(pct=True, method="min").to_numpy()}
    if np.isfinite(parts).any():
        columns |= {"user_number": parts[user, 0], "user_suffix": parts[user, 1]}
    return columns


def _account(posts: pd.DataFrame, time: np.ndarray) -> Columns:
    """The account's own data: ln of its photos, days from its first upload and its first picture to this post, ln of
    the photos a day from its first upload to the end of the data, the share of its photos that is in the data (ln), its
    flags and clock, and the lengths of its texts (0 = none).
    """
    photos = posts["photo_count"].to_numpy(np.float64)
    joined, taken = seconds(posts["photo_firstdate"]), seconds(posts["photo_firstdatetaken"])
    posted = np.bincount(posts["user_id"].cat.codes)[posts["user_id"].cat.codes]
    columns = {
        "account_photos": np.log1p(photos),
        "account_days": (time - joined) / 86_400,
        "account_camera_days": (local_seconds(posts) - taken) / 86_400,
        "account_photos_per_day": np.log1p(photos / np.maximum((time.max() - joined) / 86_400, 1)),
        "account_posts_share": np.log(posted / np.maximum(photos, 1)),
        "account_pro": posts["ispro"],
        "account_can_buy_pro": posts["canbuypro"],
        "account_timezone_offset": posts["timezone_offset"],
        "account_timezone": pd.Categorical(posts["timezone_id"]),
    }
    for name in ("user_description", "location_description"):
        text = arrow(posts[name])
        columns[f"{name}_chars"] = np.log1p(pc.utf8_length(text).to_numpy())
        columns[f"{name}_words"] = np.log1p(pc.count_substring_regex(text, r"\S+").to_numpy())
    return columns


def _changes(key: np.ndarray) -> np.ndarray:
    """(n,) bool: True where a value differs from the one before it, and at the start."""
    return np.append(np.ones(min(len(key), 1), bool), key[1:] != key[:-1])


def _runs(new: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n,) position of the first element of each element's run, and the length of the run; `new` marks the firsts."""
    first = np.flatnonzero(new)
    length = np.diff(np.append(first, len(new)))
    return np.repeat(first, length), np.repeat(length, length)


def _group_sizes(user: np.ndarray, period: np.ndarray) -> np.ndarray:
    """(n,) posts with the same user and period."""
    period = period - period.min()
    _, group, size = np.unique(user * (period.max() + 1) + period, return_inverse=True, return_counts=True)
    return size[group]
