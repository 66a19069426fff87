"""TweetEval's folders (classes), or posts.jsonl (popularity) -> items and labels."""

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from smp.errors import DataError
from smp.tracks import official
from smp.tracks.base import Data

SITE = "https://github.com/cardiffnlp/tweeteval"
POSTS = "posts.jsonl"
SPLITS = ("train", "val", "test")
NOT_OWN = -1.0  # in the columns of other tasks' classes
YOUNG = np.timedelta64(14, "D")  # a younger post has not got its likes yet
# counted when the post was crawled, as its likes were: they say what is to be predicted
LEAKS = ("collected", "comments", "commented", "shared", "shares", "views", "followers")
LEAKS += ("collected_count", "comment_count", "share_count", "view_count")
COLUMNS = {  # what a post's values are called; the first that is there counts
    "post": ("post", "post_id", "note_id", "id"),
    "user": ("user", "user_id", "author", "author_id"),
    "time": ("time", "create_time", "created_at", "timestamp", "date"),
    "title": ("title",),
    "text": ("text", "desc", "content", "body"),
    "liked": ("liked", "likes", "liked_count", "like_count"),
    "crawled": ("crawled", "crawled_at", "crawl_time", "last_modify_ts"),
}
COUNT = r"^([\d.]+)\s*([kw万千])?\+?$"  # 12, 1.2k, 3万, 10+
TIMES = {"k": 1e3, "千": 1e3, "w": 1e4, "万": 1e4}
TWITTER = "%a %b %d %H:%M:%S %z %Y"  # created_at: Wed Oct 10 20:19:24 +0000 2018
BLOCKS = 5
START = np.datetime64("2000-01-01", "s")  # of a made-up order, where there is no time


def files(folder: Path) -> list[Path]:
    """What `read` reads: posts.jsonl where it is there, else the tasks' texts and labels. Raises DataError where
    neither layout is there."""
    found = official.index(folder)
    if posts := official.locate(found, {POSTS: POSTS}, SITE):
        return [posts[POSTS]]
    texts = [path for split in SPLITS for path in sorted(found.get(f"{split}_text.txt", ()))]
    labels = [p.with_name(p.name.replace("_text", "_labels")) for p in texts]
    if not any(p.is_file() for p in labels):
        raise official.missing(folder, found, [f"{POSTS}, or <task>/train_text.txt and train_labels.txt"], SITE)
    return texts + [p for p in labels if p.is_file()]


def read(folder: Path) -> tuple[Data, dict[str, int]]:
    """The posts, and how often each quirk was met.

    Items: `split` (test: without a label), `time` (UTC), `user_id`, `text`, and of classes `task` and `official`
    (train, val or test, as the files have it). Labels of classes: (n, k), a column a class of a task, in the order of
    their names and numbers: 1 for a post's own class, 0 for the others of its task, NOT_OWN for those of other tasks;
    of popularity: log(1 + liked), (n,). Raises DataError.

    TweetEval has no times: `time` is an order drawn once such that each of BLOCKS blocks has its share of each class of
    each task, so that folds in time are stratified folds.
    """
    quirks: Counter = Counter()
    first, *_ = there = files(folder)
    data = _posts(first, quirks) if first.name == POSTS else _tasks(folder, there, quirks)
    return data, {name: n for name, n in quirks.items() if n}


def _tasks(folder: Path, paths: list[Path], quirks: Counter) -> Data:
    tables, homes = [], {}
    for path in [p for p in paths if p.name.endswith("_text.txt")]:
        task, split = path.parent.name, path.name.split("_")[0]
        text = [line.decode().strip() for line in official.read_lines(path, quirks)]
        if (home := homes.setdefault((task, split), path.parent)) != path.parent:
            raise DataError(f"{path}: another folder of task {task} is {home}; rename or remove one of them")
        given = path.with_name(f"{split}_labels.txt")
        label = [line.strip().decode() for line in official.read_lines(given, quirks)] if given.is_file() else []
        blank = min(len(label), path.read_bytes().count(b"\n") + 1) - len(text)  # texts at the end that have labels
        text += [""] * blank
        if label and len(label) != len(text):
            raise DataError(f"{given}: {len(label)} labels for {len(text)} texts of {path.name}; get both from {SITE}")
        if len(set(label)) > 1 and np.isnan(official.numbers(pd.Series(label))).all():  # of one kind: not to be known
            raise DataError(
                f"{given}: line 1: label {label[0]!r:.40} is no number of a class; write 0, 1, ... as in {SITE}"
            )
        label = label or [""] * len(text)
        tables.append(pd.DataFrame({"task": task, "official": split, "text": text, "label": label}))
        tables[-1].index = [f"{task}-{split}-{i}" for i in range(len(text))]
    table = pd.concat(tables)
    number = official.numbers(table["label"])
    wrong = ~np.isnan(number) & ((number < 0) | (number != np.floor(number)) | (number > 1_000))
    quirks["labels that are no class taken for none"] = int((wrong | (np.isnan(number) & (table["label"] != ""))).sum())
    table["label"] = np.where(wrong, np.nan, number)
    twice = table.duplicated(["task", "text"]) | (table["text"].str.strip() == "")
    quirks["posts without a text, or with one that the task has already, dropped"] = int(twice.sum())
    table = table[~twice]
    shown = table[table["label"].notna()]
    classes = shown.groupby(["task", "label"]).ngroup().to_numpy()
    if not len(shown) or classes.max() < 1:
        raise DataError(f"{folder}: {len(shown)} posts with a label, of one class; two or more are needed")
    task_of = shown.groupby(["task", "label"]).first().index.get_level_values("task")
    labels = np.full((len(table), len(task_of)), np.nan)
    own = table.loc[shown.index, "task"].to_numpy()[:, None] == task_of.to_numpy()
    labels[table["label"].notna()] = np.where(own, np.arange(len(task_of)) == classes[:, None], NOT_OWN)
    when = pd.Series(START, table.index)
    when[shown.index] = START + _stratified(classes, shown.index) * np.timedelta64(60, "s")
    when[table["label"].isna()] = when.max() + np.timedelta64(60, "s")
    return Data(_items(table, when, table.index.to_numpy(), table["label"].isna()), labels)


def _stratified(classes: np.ndarray, names: pd.Index) -> np.ndarray:
    """(n,) an order of the posts of which each of BLOCKS equal blocks has its share of each class, to within one post.

    Posts come in an order that their names draw; each class is spread evenly over a block.
    """
    n, draw = len(classes), pd.util.hash_array(names.astype(object).to_numpy(), categorize=False)
    order = np.lexsort((draw, classes))
    size = np.bincount(classes)
    rank = np.arange(n) - np.repeat(np.cumsum(size) - size, size)
    larger_first = np.argsort(-np.bincount(np.arange(n) * BLOCKS // max(n, 1), minlength=BLOCKS), kind="stable")
    place, block = np.empty(n), np.empty(n, np.int64)
    place[order] = (rank + 0.5) / np.repeat(size, size)
    block[order] = larger_first[np.arange(n) % BLOCKS]  # dealt in turn, and so a class too; the first get one more
    out = np.empty(n, np.int64)
    out[np.lexsort((draw, place, block))] = np.arange(n)
    return out


def _posts(path: Path, quirks: Counter) -> Data:
    rows = list(official.read_objects(path, quirks, "write an object a line"))
    table = pd.DataFrame(rows)
    if leaks := [name for name in LEAKS if name in table]:
        quirks[f"columns counted at the crawl left out ({', '.join(leaks)})"] = len(leaks)
    table = official.renamed(table, COLUMNS)
    nothing = pd.Series(None, table.index, dtype=object)
    if not len(table) or "time" not in table or not {"text", "title"} & set(table):
        raise DataError(f"{path}: {len(table)} posts; each needs time, and text or title")
    if "liked" not in table:
        raise DataError(f"{path}: no column of likes; each post needs liked (or {', '.join(COLUMNS['liked'][1:])})")
    text = [table.get(name, nothing).fillna("").astype("str") for name in ("title", "text")]
    table["text"] = (text[0] + "\n" + text[1]).str.strip()
    names = table.get("post", pd.Series(np.arange(len(table)), table.index)).astype("str")
    when = pd.Series(_moments(table["time"]), table.index)
    twice = names.duplicated() | when.isna() | (table["text"] == "")
    quirks["posts without time or text, or with a name met before, dropped"] = int(twice.sum())
    crawled = pd.Series(_moments(table.get("crawled", nothing)), table.index)
    young = ~twice & (crawled - when < YOUNG)
    quirks["posts younger than 14 days when crawled left out"] = int(young.sum())
    kept = ~twice & ~young
    if not kept.any():
        raise DataError(f"{path}: {_why_none(table, when, crawled)}")
    quirks["posts without a time of the crawl taken for older than 14 days"] = int((kept & crawled.isna()).sum())
    table, when, names = table[kept], when[kept], names[kept]
    liked = _counts(table["liked"])
    wrong, given = liked < 0, table["liked"].notna() & (table["liked"].astype("str").str.strip() != "")
    quirks["negative likes taken for none"] = int(wrong.sum())
    quirks["likes that cannot be read taken for none"] = int((given & np.isnan(liked)).sum())
    label = np.log1p(np.where(wrong, np.nan, liked))
    if np.isnan(label).all():
        row = next(iter(table.index[given]), table.index[0])
        raise DataError(
            f"{path}: no post has likes, post {row + 1} has '{table['liked'].loc[row]!s:.40}'; write numbers into liked"
        )
    users = table["user"].astype("str").where(table["user"].notna(), names) if "user" in table else names
    users = users.to_numpy()  # who is not named is nobody else
    return Data(_items(table.assign(task="", official="").set_axis(names), when, users, np.isnan(label)), label)


def _why_none(table: pd.DataFrame, when: pd.Series, crawled: pd.Series) -> str:
    """Of a table no post of which can be taken, what the first one lacks."""
    start = f"none of {len(table)} posts can be taken: post 1"
    if when.isna().iloc[0]:
        return f"{start} has time '{table['time'].iloc[0]!s:.40}'; write unix seconds or YYYY-MM-DD HH:MM:SS (UTC)"
    if table["text"].iloc[0] == "":
        return f"{start} has no text and no title; write them into text and title"
    return f"{start} of {when.iloc[0]} was crawled on {crawled.iloc[0]}, within 14 days; take older ones"


def _moments(values: pd.Series) -> np.ndarray:
    """(n,) datetime64[s]: as official.moments, of milliseconds since 1970, and as Twitter writes them."""
    text = official.in_seconds(values)
    found = official.moments(text)
    if not np.isnat(found).any():
        return found
    tweeted = pd.to_datetime(text, format=TWITTER, errors="coerce", utc=True).dt.tz_localize(None)
    return np.where(np.isnat(found), tweeted.to_numpy("datetime64[s]"), found)


def _counts(values: pd.Series) -> np.ndarray:
    """(n,) float64, NaN where there is none, of numbers and of texts such as 1,204 or 1.2k or 3万."""
    number = official.numbers(values)
    parts = values.astype("str").str.replace(",", "").str.strip().str.lower().str.extract(COUNT)
    short = official.numbers(parts[0]) * parts[1].map(TIMES).fillna(1.0).to_numpy()
    return np.where(np.isnan(number), short, number)


def _items(table: pd.DataFrame, when: pd.Series, users: np.ndarray, is_test: np.ndarray) -> pd.DataFrame:
    index = pd.Index(table.index.astype("str"), name="post_id")
    items = {
        "split": pd.Categorical(np.where(is_test, "test", "train"), categories=["train", "test"]),
        "time": pd.Series(when.to_numpy("datetime64[s]"), index).dt.tz_localize("UTC"),
        "user_id": pd.Categorical(users),
        "text": table["text"].to_numpy(),
        "task": pd.Categorical(table["task"]),
        "official": pd.Categorical(table["official"]),
    }
    return pd.DataFrame(items, index)
