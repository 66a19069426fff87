"""Requests in the order of time, `ratings.csv` (MovieLens) or `trace.csv`, cut into windows -> items and labels."""

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from smp.errors import DataError
from smp.tracks import official
from smp.tracks.base import Data
from smp.tracks.requests.ranking import BEST, best_of

SITE = "https://grouplens.org/datasets/movielens (ratings.csv), or a cache trace of your own (trace.csv: time,object)"
LAYOUTS = {  # the file -> its columns: when, what, and what else may be there
    "ratings.csv": ("timestamp", "movieId", ""),
    "trace.csv": ("time", "object", "size"),
}
SMALL, LARGE, MANY = 1_000, 20_000, 500_000  # requests of a window; of a large trace; what makes a trace large
WINDOW = "window.json"  # optional: {"requests": N}
LEAST, MOST = 10, 2**16  # windows
HALF_LIVES = (2, 8, 32)  # windows; the decayed counts that candidates are chosen by
STRAY = re.compile(rb'(?:^|,)\s*"')  # a quote that opens
SHARE = 0.1  # of the catalogue: the largest cache that is asked for


def files(folder: Path) -> list[Path]:
    """What `read` reads: one of the two layouts, and what the user says of the windows. Raises DataError."""
    found = official.index(folder)
    located = official.locate(found, {name: name for name in (*LAYOUTS, WINDOW)}, SITE)
    layouts = [located[name] for name in LAYOUTS if name in located]
    if not layouts:
        raise official.missing(folder, found, [" or ".join(LAYOUTS)], SITE)
    if len(layouts) > 1:
        raise DataError(f"{layouts[0]}: and {layouts[1].name} is there too; keep one of them")
    return [*layouts, *([located[WINDOW]] if WINDOW in located else [])]


def read(folder: Path) -> tuple[Data, dict[str, int]]:
    """The candidates of every window, and how often each quirk was met.

    A window is so many requests one after the other. When it is over, those objects can be ranked that have been seen:
    the candidates are what it holds and what is in the first tenth of the catalogue by all requests so far or by their
    decayed counts. Items, window after window: `split` (test: the last window, after which nothing is known), `time`
    (UTC) when it is over, and `known`, when the next one is; `user_id` (the object), `window` and `catalogue` (objects
    seen so far), `requests` (of every window), and of the object, so far: `count` in this window, `total`, `first` (the
    window it was first seen in) and `size` where the trace has sizes; BEST, by which metrics alone judge the ranking. A
    label is log2(1 + requests in the next window). Raises DataError.
    """
    (path, *stated), quirks = files(folder), Counter()
    table = requests(path, quirks)
    length = _length(stated[0]) if stated else SMALL if len(table) < MANY else LARGE
    windows = len(table) // length
    quirks["requests after the last whole window left out"] = len(table) - windows * length
    if windows > MOST:
        raise DataError(f"{path}: {windows} windows of {length} are too many; write a larger N into {folder / WINDOW}")
    if windows < LEAST:
        raise DataError(
            f"{path}: {len(table)} requests fill {windows} windows of {length}, which is too few; write a smaller "
            f'{{"requests": {max(len(table) // 50, 1)}}} into {folder / WINDOW}'
        )
    table = table.iloc[: windows * length]
    code, objects = pd.factorize(table["object"])
    ends = table["time"].to_numpy()[length - 1 :: length].astype(np.int64)
    steps = np.arange(windows)
    ends = np.maximum.accumulate(ends - steps) + steps  # one second apart at least: a window is a moment of its own

    parts, best, total, counts = [], [], np.zeros(len(objects)), np.bincount(code[:length], minlength=len(objects))
    decayed, first, seen = np.zeros((len(HALF_LIVES), len(objects))), np.full(len(objects), windows), 0
    keeps = 0.5 ** (1 / np.array(HALF_LIVES, np.float64))[:, None]
    for w in range(windows):
        seen = max(seen, int(code[w * length : (w + 1) * length].max()) + 1)  # codes are dealt as objects come
        total += counts
        decayed = keeps * decayed + (1 - keeps) * counts
        first[(counts > 0) & (first == windows)] = w
        wanted = counts[:seen] > 0
        size = int(np.ceil(SHARE * seen))
        for by in (total, *decayed):
            wanted[np.argpartition(-by[:seen], size - 1)[:size]] = True
        rows = np.flatnonzero(wanted)
        after = np.bincount(code[(w + 1) * length : (w + 2) * length], minlength=len(objects))
        label = np.log2(1 + after[rows]) if w < windows - 1 else np.full(len(rows), np.nan)
        at = (np.full(len(rows), value) for value in (w, seen))
        parts.append((*at, rows, counts[rows], total[rows], first[rows], label))
        best.append(best_of(after[:seen]) if w < windows - 1 else (np.nan,) * len(BEST))
        counts = after
    window, seen, rows, count, total, first, label = (np.concatenate(column) for column in zip(*parts))
    moments = pd.to_datetime(np.append(ends, ends[-1] + 1), unit="s", utc=True).astype("datetime64[s, UTC]")
    items = pd.DataFrame(
        {
            "split": pd.Categorical.from_codes((window == windows - 1).astype(np.int8), ["train", "test"]),
            "time": moments[window],
            "known": moments[window + 1],
            "user_id": pd.Categorical.from_codes(rows, objects),
            "window": window.astype(np.int32),
            "catalogue": seen.astype(np.int32),
            "requests": np.int32(length),
            "count": count.astype(np.int32),
            "total": total.astype(np.int32),
            "first": first.astype(np.int32),
            **dict(zip(BEST, np.array(best)[window].T)),
        }
    )
    if "size" in table:
        items["size"] = _sizes(table["size"].to_numpy(), code, window, rows, length)
    names = pd.Index(window.astype(str)).str.cat(pd.Index(objects.astype(str)).take(rows), sep="/")
    return Data(items.set_index(names.rename("post_id")), label), {k: int(n) for k, n in quirks.items() if n}


def _length(path: Path) -> int:
    """`window.json`: {"requests": N}, the requests of a window."""
    try:
        length = int(json.loads(path.read_text(encoding="utf-8-sig"))["requests"])
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise DataError(f'{path}: not readable ({error!r:.80}); write {{"requests": {SMALL}}} into it') from None
    if length < 1:
        raise DataError(f"{path}: a window holds at least one request, not {length}")
    return length


def requests(path: Path, quirks: Counter) -> pd.DataFrame:
    """The usable requests in the order of time, and of the file within a second: time (s), object, perhaps size."""
    when, what, more = LAYOUTS[path.name.lower()]
    wanted = {name.lower(): name for name in (when, what, more) if name}
    try:
        _check_quotes(path)
        table = pd.read_csv(
            path,
            usecols=lambda name: name.strip().lower() in wanted,
            dtype="str",
            keep_default_na=False,  # an object may be called NA or null
            na_values=[""],
            encoding="utf-8-sig",
            encoding_errors="replace",
        ).rename(columns=lambda name: wanted[name.strip().lower()])
    except (ValueError, OSError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: not readable as csv ({reason:.80}); its first line is {when},{what}") from None
    lacking = [name for name in (when, what) if name not in table]
    if lacking:
        raise DataError(f"{path}: no column {', '.join(lacking)}; its first line should be {when},{what}")
    if table.empty:
        raise DataError(f"{path}: no request in it; a line should hold {when},{what}")
    table[what] = table[what].str.strip()
    time = _seconds(table[when], quirks)
    good = np.isfinite(time) & table[what].fillna("").ne("")
    if not good.any():
        first = f"line 2: {when} {table[when].iloc[0]!r:.40}, {what} {table[what].iloc[0]!r:.40}"
        remedy = "a line needs seconds since 1970, or a date as 2025-01-31 12:00:00, and an object"
        raise DataError(f"{path}: {first}, and no other line is better; {remedy}")
    quirks["requests without a time or an object dropped"] = int((~good).sum())
    kept = {"time": np.floor(time), "object": table[what]} | ({more: table[more]} if more in table else {})
    table = pd.DataFrame(kept)[good]
    quirks["requests before an earlier one put in the order of time"] = int((table["time"].diff() < 0).sum())
    return table.sort_values("time", kind="stable", ignore_index=True)


def _check_quotes(path: Path) -> None:
    """Raises DataError for a quote that opens and does not close on its line: it would swallow all up to the next."""
    data = np.memmap(path, np.uint8, "r")
    ends = np.append(np.flatnonzero(data == ord("\n")), len(data))
    quotes = np.bincount(np.searchsorted(ends, np.flatnonzero(data == ord('"'))), minlength=1)
    for i in np.flatnonzero(quotes % 2):
        line = data[ends[i - 1] + 1 if i else 0 : ends[i]].tobytes()
        if STRAY.search(line):
            shown = line.decode(errors="replace").strip()
            raise DataError(f"{path}: line {i + 1}: {shown!r:.60} opens a quote and does not close it; mend the line")


def _seconds(text: pd.Series, quirks: Counter) -> np.ndarray:
    """(n,) float64 seconds, NaN where there are none: of numbers, in seconds or a thousandth, millionth or billionth of
    one, or of dates."""
    number = official.numbers(text)
    quirks["times in milliseconds, or in smaller parts, read so"] = int((np.abs(number) >= 1e11).sum())
    for _ in range(3):
        number = np.where(np.abs(number) >= 1e11, number / 1000, number)
    if (rest := np.isnan(number)).any():
        dates = official.moments(text[rest])
        number[rest] = np.where(np.isnat(dates), np.nan, dates.astype(np.int64))
        quirks["times given as dates"] = int((~np.isnat(dates)).sum())
    return np.where(np.abs(number) < 1e11, number, np.nan)


def _sizes(size: np.ndarray, code: np.ndarray, window: np.ndarray, rows: np.ndarray, length: int) -> np.ndarray:
    """The size stated last of each row's object, up to the row's window; NaN where none was."""
    bytes_ = official.numbers(pd.Series(size))
    stated = np.flatnonzero(bytes_ >= 0)
    order = stated[np.lexsort((stated, code[stated]))]
    key = code[order].astype(np.int64) * len(code) + order
    at = np.searchsorted(key, rows.astype(np.int64) * len(code) + (window + 1) * length - 1, side="right") - 1
    found = order[at.clip(min=0)] if len(order) else np.zeros(len(rows), np.int64)
    hit = (at >= 0) & (code[found] == rows) & bool(len(order))
    return np.where(hit, bytes_[found], np.nan)
