"""SMPD-Video: the official jsonl files -> the data of the video track."""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from smp.errors import DataError
from smp.tracks import official
from smp.tracks.base import Data, NewPosts
from smp.tracks.official import check_unique, count, first, moments, numbers

SITE = "https://smp-challenge.com (SMPD-Video download)"
AGAIN = f"get the official file again, from {SITE}"
SPLITS = ("train", "test")
LABELS = (0.0, 64.0)  # the logarithm of a count: what lies outside is no label
LARGEST = 1e15  # more is no count and no size of anything
LONG = 10_000  # characters; a longer text is kept whole, and counted
COUNTS = tuple(f"user_{what}_count" for what in ("following", "follower", "likes", "video", "digg", "heart", "friend"))
SIZES = ("video_height", "video_width", "video_duration", "music_duration")
POSTS = (
    *("pid", "uid", "post_content", "post_location", "post_suggested_words"),
    *("post_text_language", "video_path", "post_time"),
)
VIDEOS = ("vid", "pid", *SIZES, "video_ratio", "video_format", "music_title")
KEYS = {"posts": POSTS, "users": ("uid", *COUNTS), "videos": VIDEOS, "popularity": ("pid", "popularity")}
TEXTS = ("post_location", "post_text_language", "video_path", "vid", "video_ratio", "video_format", "music_title")
LISTS = ("post_content", "post_suggested_words")
NAME = "SMP-Video_anonymized_{}_{}.jsonl"
SUFFIXES = (".mp4", ".m4v", ".mkv", ".webm", ".mov", ".avi", ".flv", ".mpg", ".mpeg", ".wmv", ".3gp", ".ts")
CATEGORIES = (
    *("user_id", "category", "subcategory", "concept", "post_location", "post_text_language"),
    *("video_ratio", "video_format"),
)


def files(folder: Path) -> list[Path]:
    """The official files that `read` reads. Raises DataError that lists all missing ones."""
    return list(_locate(folder).values())


def read(folder: Path) -> tuple[Data, dict[str, int]]:
    """The posts, train before test in the order of the posts files, and how often each quirk was met.

    Each file lies anywhere below the folder. Raises DataError naming file and line (counted from 1) for whatever would
    make the rows wrong; a post without user or video row keeps NaN there and is counted.
    """
    return _read(folder, SPLITS)


def read_new(folder: Path) -> tuple[Data, dict[str, int]]:
    """The same of a folder that holds the test split's files alone, or of whose files no other are read."""
    return _read(folder, ("test",))


def _read(folder: Path, splits: Sequence[str]) -> tuple[Data, dict[str, int]]:
    quirks: Counter[str] = Counter()
    found = _locate(folder, splits, quirks)
    parts = {split: _read_split(folder, found, split, quirks) for split in splits}
    check_unique([(found["posts", split], part["post_id"]) for split, part in parts.items()], "line", AGAIN)
    listed = {split: pa.array(part["video_path"], pa.large_string()) for split, part in parts.items()}
    for part, paths in zip(parts.values(), official.placed(folder, listed, SUFFIXES, quirks, "videos", AGAIN)):
        part["video_path"] = paths.to_numpy(zero_copy_only=False)
    table = pd.concat(parts.values(), ignore_index=True)
    data = Data(_posts(table, quirks), table["label"].to_numpy(np.float64))
    return data, {k: int(n) for k, n in quirks.items() if n}


def _locate(folder: Path, splits: Sequence[str] = SPLITS, quirks: Counter | None = None) -> dict[tuple[str, str], Path]:
    """Paths by (kind, split), each file wherever it lies. Raises DataError that lists all missing ones."""
    names = {(kind, split): NAME.format(kind, split) for kind in KEYS for split in splits}
    del names["popularity", "test"]
    return official.needed(folder, names, SITE, quirks=quirks)


def _read_split(folder: Path, files: dict[tuple[str, str], Path], split: str, quirks: Counter) -> pd.DataFrame:
    path = files["posts", split]
    posts = _table(path, KEYS["posts"], quirks)
    check_unique([(path, posts["pid"])], "line", AGAIN)
    users = _table(files["users", split], KEYS["users"], quirks)
    for key in COUNTS:
        quirks[f"{key} given as true or false"] += count(official.is_bool(users[key]))
        users[key] = numbers(users[key])
    quirks["duplicate user rows dropped"] += int(users.duplicated().sum())
    quirks["conflicting user rows dropped (first kept)"] += int(users.drop_duplicates()["uid"].duplicated().sum())
    users = users.drop_duplicates("uid")
    for key in COUNTS:
        overflown = users[key].between(-(2.0**31), -2)  # wrapped at 2^31; -1 says that none is given
        quirks["user counts repaired by +2^32"] += int(overflown.sum())
        users[key] = _plausible(users[key] + overflown * 2.0**32)
        quirks[f"{key} missing"] += int(users[key].isna().sum())
    videos = _table(files["videos", split], KEYS["videos"], quirks)
    for key in SIZES:
        sizes = pd.Series(numbers(videos[key]), videos.index)
        videos[key] = _plausible(sizes.where(sizes != 0))  # no video is without length or height
        quirks[f"{key} missing"] += int(videos[key].isna().sum())
    _same_user(videos, files["videos", split], posts, path.name, quirks)
    videos = videos.drop(columns="uid")
    quirks["duplicate video rows dropped"] += int(videos["pid"].duplicated().sum())
    videos = videos.drop_duplicates("pid")
    quirks["posts without user row"] += int((~posts["uid"].isin(users["uid"])).sum())
    quirks["posts without video row"] += int((~posts["pid"].isin(videos["pid"])).sum())

    posts["time"] = pd.Series(moments(posts["post_time"].astype("str")), posts.index).dt.tz_localize("UTC")
    is_date = posts["time"] > pd.Timestamp(official.OLDEST, tz="UTC")  # NaT is none either
    if (row := first(~is_date)) is not None:
        raise DataError(f"{path}: line {row + 1}: post_time {posts['post_time'][row]!r:.40} is no date; {AGAIN}")
    quirks["post_time in the future"] += int((posts["time"] > pd.Timestamp.now("UTC")).sum())
    listed = pa.array(posts["video_path"].fillna("").astype("str"), pa.large_string())
    paths = official.tidied(listed, quirks)
    official.check_paths(pc.if_else(pc.equal(paths, ""), "none", paths), listed, f"{path}: line", folder, AGAIN)
    posts["video_path"] = paths.to_numpy(zero_copy_only=False)
    posts["label"] = _labels(files, posts, quirks) if split == "train" else np.nan
    posts["split"] = split
    return (
        posts.merge(users, on="uid", how="left").merge(videos, on="pid", how="left").rename(columns={"pid": "post_id"})
    )


def _table(path: Path, keys: tuple[str, ...], quirks: Counter) -> pd.DataFrame:
    """The named keys of every line; ids as str, numbers and dates as they are. The user beside what is keyed by post is
    as it is, and may be left out.
    """
    given = ("uid",) if "uid" not in keys else ()
    keys = (*keys, *given)
    rows = []
    for number, row in enumerate(official.read_objects(path, quirks, AGAIN), 1):
        try:
            rows.append([row.get(key) if key in given else row[key] for key in keys])
        except KeyError as error:
            raise DataError(f"{path}: line {number} has no key {error}; {AGAIN}") from None
    table = pd.DataFrame(rows, columns=list(keys), dtype=object)
    for key in keys:
        if key in ("pid", "uid") and key not in given:
            names = official.ids(table[key].tolist(), f"{path}: line", key, quirks, AGAIN)
            table[key] = names.to_pandas().astype("str")
        elif key in TEXTS:
            values = official.texts(table[key].tolist(), f"{path}: line", key, quirks, AGAIN)
            table[key] = values.to_numpy(zero_copy_only=False)
        elif key in LISTS:
            table[key] = pd.Series(_words(table[key].tolist(), f"{path}: line", key, quirks), dtype=object)
        elif (row := first(table[key].map(type).isin([list, dict]))) is not None:
            where = f"{path}: line {row + 1}: {key} is {table[key][row]!r:.40}"
            raise DataError(f"{where}, a single value expected; {AGAIN}")
    return table


def _words(values: list, where: str, key: str, quirks: Counter) -> list[str | list[str]]:
    """Texts, and lists of texts without the nulls among them; null is an empty text, a list written as a text a list.

    Raises DataError for anything else.
    """
    found = []
    for row, value in enumerate(values, 1):
        if isinstance(value, str) and value[:1] == "[":
            with suppress(ValueError):  # no JSON: a text that begins so
                value = orjson.loads(value)
                quirks[f"{key} given as a list in quotes"] += 1
        if not isinstance(value, str | list | None) or any(not isinstance(word, str | None) for word in value or ()):
            raise DataError(f"{where} {row}: {key} is {value!r:.40}, a text or a list of texts expected; {AGAIN}")
        words = [word for word in value if word is not None] if isinstance(value, list) else value or ""
        quirks[f"{key}: nulls among the words left out"] += len(value or "") - len(words)
        quirks[f"{key} with a NUL"] += any("\0" in word for word in words)
        found.append(words)
    return found


def _same_user(table: pd.DataFrame, path: Path, posts: pd.DataFrame, name: str, quirks: Counter) -> None:
    """Raises DataError where a row names another user than its post does; most rows name none."""
    users = official.plain_ids(official.texts(table["uid"].tolist(), f"{path}: line", "uid", quirks, AGAIN)).to_pandas()
    meant = table["pid"].map(posts.set_index("pid")["uid"])
    if (row := first(users.fillna("").ne("") & meant.notna() & users.ne(meant))) is not None:
        where = f"{path}: line {row + 1}: post {table['pid'][row]} is by {users[row]!r:.40}"
        raise DataError(f"{where}, in {name} by {meant[row]!r:.40}; {AGAIN}")


def _labels(files: dict[tuple[str, str], Path], posts: pd.DataFrame, quirks: Counter) -> np.ndarray:
    path = files["popularity", "train"]
    labels = _table(path, KEYS["popularity"], quirks)
    check_unique([(path, labels["pid"])], "line", AGAIN)
    if (row := first(~labels["pid"].isin(posts["pid"]))) is not None:
        name = files["posts", "train"].name
        raise DataError(f"{path}: line {row + 1}: label for post {labels['pid'][row]}, which {name} lacks; {AGAIN}")
    _same_user(labels, path, posts, files["posts", "train"].name, quirks)
    values = numbers(labels["popularity"])
    low, high = LABELS
    if (row := first(~((values > low) & (values <= high)))) is not None:
        value = f"{labels['popularity'][row]!r:.40}"
        raise DataError(f"{path}: line {row + 1}: label {value} is not a number above {low:g} up to {high:g}; {AGAIN}")
    found = labels["pid"].pipe(pd.Index).get_indexer(posts["pid"])
    if (row := first(found < 0)) is not None:
        raise DataError(
            f"{path}: no label for post {posts['pid'][row]} ({(found < 0).sum():,} posts lack one); {AGAIN}"
        )
    return values[found]


def _posts(table: pd.DataFrame, quirks: Counter) -> pd.DataFrame:
    quirks["post_content given as list"] += sum(isinstance(value, list) for value in table["post_content"])
    content = pd.Series([_joined(value) for value in table["post_content"]], dtype="str")
    words = [_split(value) for value in table["post_suggested_words"]]
    quirks["post_content empty"] += int((content == "").sum())
    quirks[f"post_content over {LONG:,} characters"] += int((content.str.len() > LONG).sum())
    quirks["suggested words empty"] += sum(not of_post for of_post in words)
    quirks["posts located in NA (Namibia)"] += int((table["post_location"] == "NA").sum())
    empty = pd.Series(None, index=table.index, dtype=object)
    posts = pd.DataFrame(
        {
            "post_id": table["post_id"],
            "split": pd.Categorical(table["split"], categories=list(SPLITS)),
            "user_id": table["uid"],
            "time": table["time"].astype("datetime64[s, UTC]"),
            "title": content.str.replace(",", " "),
            "tags": pd.Series(pa.array(words, pa.list_(pa.string())), dtype=pd.ArrowDtype(pa.list_(pa.string()))),
            "category": empty,
            "subcategory": empty,
            "concept": empty,
            "vid": table["vid"].fillna("").astype("str"),
            "post_content": content,
            "post_location": table["post_location"],
            "post_text_language": table["post_text_language"],
            "video_path": table["video_path"].fillna("").astype("str"),
            **{key: table[key].astype("float64") for key in COUNTS},
            **{key: table[key].astype("float32") for key in SIZES},
            "video_ratio": table["video_ratio"],
            "video_format": table["video_format"],
            "music_title": table["music_title"].fillna("").astype("str"),
        }
    ).set_index("post_id")
    for key in CATEGORIES:
        posts[key] = posts[key].astype("str").replace("", np.nan).astype("category")
    return posts


def _joined(value: str | list[str]) -> str:
    return ",".join(value) if isinstance(value, list) else value


def _split(value: str | list[str]) -> list[str]:
    return [word for word in (value.split(",") if isinstance(value, str) else value) if word]


def _plausible(values: pd.Series) -> pd.Series:
    return values.where(values.between(0, LARGEST))


# --- posts that are in no split ---


def _complete(items: pd.DataFrame) -> pd.DataFrame:
    """The title is the content without its commas; where only a title is given, the content is that."""
    content = items["post_content"].where(items["post_content"] != "", items["title"].str.replace(" ", ","))
    return items.assign(post_content=content, title=content.str.replace(",", " "))


NEW_POSTS = NewPosts(
    read=read_new,
    columns={"pid": "post_id", "uid": "user_id", "post_time": "time", "post_suggested_words": "tags"},
    account=COUNTS,
    media="video_path",
    complete=_complete,
)
