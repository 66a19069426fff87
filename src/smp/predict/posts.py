"""New posts from a folder in the official layout, or from a table with the columns one has -> items of the track."""

import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from smp.disk.pictures import check_inside
from smp.disk.walk import mistaken
from smp.errors import DataError
from smp.tracks import official
from smp.tracks.base import Data, Track

TABLES = (".csv", ".jsonl")
REMEDY = "mend the file"
OWN = "({} of this file)"  # the name of a post, or of a user, that has none: no known one is called so


def read(path: Path, room: Track, known: Data) -> pd.DataFrame:
    """The new posts, index post_id, with the columns of the known items; what is missing is said.

    A folder holds the test split's official files. Of a table each row is a post, its columns called as in the official
    files or as in the items; it needs a time, and what else it lacks is missing: a user without a name is unseen, and
    a known one's account as in their latest known post. A post whose id is known has to be one of the test split, as
    it is there. Raises DataError naming file, row and remedy.
    """
    if not path.exists():
        raise DataError(f"{path}: no such file; name a folder of official files, or a .csv or .jsonl file")
    if path.is_dir():
        items = room.new_posts.read(path)[0].items
    elif path.suffix.lower() in TABLES:
        items = from_table(_table(path), str(path), room, known)
    else:
        raise DataError(f"{path}: must be a folder of official files, a .csv or a .jsonl file")
    _check_known(items, known, str(path))
    return items.assign(**{room.new_posts.media: _media(items[room.new_posts.media], path)})


def _media(listed: pd.Series, path: Path) -> list[str]:
    """Whole paths of pictures or videos that lie in the folder, or beside the table; "" where there is none."""
    folder, named = path if path.is_dir() else path.parent, pa.array(listed, pa.large_string())
    blank = official.is_blank(named)
    official.check_paths(pc.if_else(blank, "none", named), named, f"{path}: row", folder, REMEDY)
    check_inside(folder, named.filter(pc.invert(blank)).to_pylist())
    return [file and str(folder / file) for file in named.to_pylist()]


def from_table(table: pd.DataFrame, where: str, room: Track, known: Data) -> pd.DataFrame:
    """The items of a table of values as they were typed; see `read`."""
    official_names = {key.lower(): name for key, name in room.new_posts.columns.items()}
    called = {c: official_names.get(str(c).strip().lower(), str(c).strip().lower()) for c in table}
    if twice := [name for name, times in Counter(called.values()).items() if times > 1]:
        raise DataError(f"{where}: two columns say {twice[0]}; keep one")
    given, n = table.rename(columns=called), len(table)
    quirks: Counter[str] = Counter()
    ids = _names(given, "post_id", where, quirks, pd.Series([OWN.format(i) for i in range(1, n + 1)]))
    if not ids.is_unique:
        row = int(ids.duplicated().argmax())
        raise DataError(f"{where}: row {row + 1}: post {ids[row]} is there twice; keep one row a post")
    users = _names(given, "user_id", where, quirks, OWN.format("user") + " " + ids)
    columns: dict[str, object] = {"split": np.full(n, "test"), "user_id": users}
    for name, like in known.items.items():
        if name not in columns:
            is_given = name in given
            columns[name] = _values(given[name], like, f"{where}: row", name, quirks) if is_given else _none(like, n)
    if (row := official.first(columns["time"].isna())) is not None:
        raise DataError(f"{where}: row {row + 1} has no time (a date, or seconds since 1970); give every post one")
    items = pd.DataFrame(columns).set_axis(pd.Index(ids, name=known.items.index.name))
    filled = _accounts(items, given, room, known)
    lacking = [name for name in known.items if name not in given and name not in ("split", *filled)]
    for what, names in {
        "missing": lacking,
        "no column of the track's, left out": [c for c in given if c not in (*known.items, "post_id")],
        "of known users as in their latest post": filled,
    }.items():
        if names:
            print(f"{where}: {what}: {', '.join(names)}", file=sys.stderr)
    items = room.new_posts.complete(items)
    return items.astype({c: t for c, t in known.items.dtypes.items() if not isinstance(t, pd.CategoricalDtype)})


def _table(path: Path) -> pd.DataFrame:
    """A row a post, as typed. Raises DataError for what is no table."""
    if kind := mistaken(path):
        raise DataError(f"{path}: {kind}")
    if path.suffix.lower() == ".jsonl":
        rows = list(official.read_objects(path, Counter(), REMEDY))
        table = pd.DataFrame(rows, dtype=object)
        table = table.astype(object).where(table.map(lambda v: isinstance(v, list) or pd.notna(v)), None)
    else:
        try:
            table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig", skip_blank_lines=False)
        except (ValueError, OSError) as error:  # pandas' parsing errors, and bytes that are not UTF-8, are ValueErrors
            reason = str(error).strip().splitlines()[-1]
            raise DataError(f"{path}: not a table ({reason}); save it as CSV (UTF-8)") from error
        table = table.astype(object)
    if not len(table):
        raise DataError(f"{path}: holds no posts; write a row for each, below a line with the columns' names")
    return table


def _names(given: pd.DataFrame, name: str, where: str, quirks: Counter, instead: pd.Series) -> pd.Series:
    if name not in given:
        return instead
    found = official.plain_ids(official.texts(given[name].tolist(), f"{where}: row", name, quirks, REMEDY))
    found = found.fill_null("").to_pandas().astype("str")
    return found.where(found != "", instead)


def _values(column: pd.Series, like: pd.Series, where: str, name: str, quirks: Counter) -> object:
    """Values (n,) of a column of the kind of a known one."""
    if isinstance(like.dtype, pd.ArrowDtype):
        lists = [_list(value, f"{where} {row}: {name}") for row, value in enumerate(column, 1)]
        return pd.Series(pa.array(lists, like.dtype.pyarrow_dtype), dtype=like.dtype)
    texts = official.texts(column.tolist(), where, name, quirks, REMEDY, is_flag=True)
    if isinstance(like.dtype, pd.CategoricalDtype):
        blank = official.is_not_given(texts).to_numpy(zero_copy_only=False)
        return texts.to_pandas().astype("str").mask(blank)
    if pd.api.types.is_datetime64_any_dtype(like.dtype):
        return _dates(official.moments(texts.fill_null("").to_pandas().astype("str")), like)
    if pd.api.types.is_numeric_dtype(like.dtype):
        found = official.numbers(texts.fill_null("").to_pandas().astype("str"))
        return found if like.dtype.kind == "f" else np.nan_to_num(found)
    return texts.fill_null("").to_pandas().astype("str")


def _list(value: object, where: str) -> list[str]:
    """Words from a list, or a text with white space or commas between them."""
    if isinstance(value, list):
        if not all(isinstance(word, str) for word in value):
            raise DataError(f"{where} is {value!r:.40}, a list of texts expected; {REMEDY}")
        return [word for word in value if word]
    text = "" if value is None else str(value).strip()
    if text.startswith("["):
        try:
            return _list(json.loads(text), where)
        except ValueError:
            pass
    return text.replace(",", " ").split()


def _dates(values: np.ndarray, like: pd.Series) -> pd.Series:
    return pd.Series(values).dt.tz_localize(getattr(like.dtype, "tz", None))


def _none(like: pd.Series, n: int) -> object:
    """What is missing, of the kind of a known column."""
    if isinstance(like.dtype, pd.ArrowDtype):
        return pd.Series(pa.array([[]] * n, like.dtype.pyarrow_dtype), dtype=like.dtype)
    if pd.api.types.is_datetime64_any_dtype(like.dtype):
        return _dates(np.full(n, np.datetime64("NaT", "s")), like)
    if pd.api.types.is_numeric_dtype(like.dtype):
        return np.full(n, np.nan if like.dtype.kind == "f" else 0)
    if isinstance(like.dtype, pd.CategoricalDtype):
        return pd.Series([None] * n, dtype="str")
    return np.full(n, "", object)


def _accounts(items: pd.DataFrame, given: pd.DataFrame, room: Track, known: Data) -> list[str]:
    """Fill in, where the table has no such column, what is known of a known user's account; returns those columns."""
    names = [name for name in room.new_posts.account if name not in given and name in items]
    latest = known.items.sort_values("time", kind="stable").drop_duplicates("user_id", keep="last")
    at = pd.Index(latest["user_id"].astype("str")).get_indexer(items["user_id"])
    if not (at >= 0).any():
        return []
    for name in names:
        kind = "str" if isinstance(latest[name].dtype, pd.CategoricalDtype) else latest[name].dtype
        own = latest[name].astype(object).iloc[at].set_axis(items.index)
        items[name] = own.where(at >= 0, items[name].astype(object)).astype(kind)
    return names


def _check_known(items: pd.DataFrame, known: Data, where: str) -> None:
    """Raises DataError where a post is known and was learnt from, or is known otherwise."""
    at = known.ids.get_indexer(items.index)
    there = np.flatnonzero(at >= 0)
    learnt = there[known.labelled[at[there]]]
    if len(learnt):
        name = items.index[learnt[0]]
        raise DataError(
            f"{where}: row {learnt[0] + 1}: post {name} is one that the models learnt from, so they know its label; "
            "leave it out, or give it another id to ask for it as a new post"
        )
    for name in ("user_id", "time", "title"):
        own, other = (t[name].iloc[r].astype("str").to_numpy() for t, r in ((items, there), (known.items, at[there])))
        if len(wrong := np.flatnonzero(own != other)):
            row = there[wrong[0]]
            raise DataError(
                f"{where}: row {row + 1}: post {items.index[row]} is in the data with another {name}; give it another "
                "id to ask for it as a new post"
            )
