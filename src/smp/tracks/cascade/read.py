"""Cascades as DeepHawkes, CasCN, CasFlow and CasFT read them: `dataset.txt`, `window.json` -> items, labels, events."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from smp.errors import DataError
from smp.tracks import official
from smp.tracks.base import Data
from smp.tracks.cascade.events import Events

EVENTS, WINDOW = "dataset.txt", "window.json"
SITE = "the data of DeepHawkes, CasFlow or CasFT, or write a line a cascade as input/README.md says"
LAYOUT = "a line a cascade: id TAB root TAB publish time (unix s) TAB reposts TAB paths such as 1:0 1/2:35 1/2/3:80"
CHUNK = 2**25  # characters of paths parsed at once: bounds the memory
PATH = r"^(?:(?:.*/)?(?P<parent>[^/]*)/)?(?P<user>[^/]*):(?P<delay>-?[0-9]+\.?[0-9]*)$"
PLAIN = re.compile(r"(?:[^/:,]*/)*[^/:,]*:-?[0-9]+\.?[0-9]*")
DATE = r"(1[89]\d\d|20\d\d)(?:(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])?)?"  # 1985, 198503 or 19850301
FURTHEST = 1e11  # seconds, three thousand years: a delay or a publish time beyond is none


@dataclass(frozen=True)
class Window:
    """What is seen and what is asked: events before `observation` are seen, those from there to `horizon` counted."""

    observation: float  # t_o, seconds after the root
    horizon: float  # t_p, seconds after the root
    min_events: int = 10  # seen, the root among them; smaller cascades are left out


def read_window(path: Path) -> Window:
    """`window.json`. Raises DataError where it is missing or says nothing that can be asked."""
    try:
        stated = json.loads(path.read_text(encoding="utf-8-sig"))
        window = Window(float(stated["observation"]), float(stated["horizon"]), int(stated.get("min_events", 10)))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise DataError(
            f'{path}: not readable ({error!r:.80}); write {{"observation": 3600, "horizon": 86400}}, seconds, into it'
        ) from None
    if not 0 < window.observation < window.horizon < np.inf:
        raise DataError(f"{path}: observation and horizon must be seconds, 0 < observation < horizon")
    return window


def files(folder: Path) -> list[Path]:
    """What `read` reads: the cascades, and what is asked of them, beside them where it lies nowhere else."""
    found = official.needed(folder, {EVENTS: EVENTS}, SITE, {WINDOW: WINDOW})
    return [found[EVENTS], found.get(WINDOW, found[EVENTS].with_name(WINDOW))]


def read(folder: Path) -> tuple[Data, dict[str, int]]:
    """The cascades with `min_events` events inside the observation, and how often each quirk was met.

    Items, in the order of the file: `split` (train: every label is in the file), `time` (UTC), `known` (when the label
    is), `user_id` (the root's), `observation` and `horizon` (seconds). A label is log2(1 + events in [observation,
    horizon)). Events: all of them, as `Events.to_table` has them. The stated number of reposts is no column: it counts
    what is to be predicted. Raises DataError.
    """
    (path, stated), quirks = files(folder), Counter()
    window = read_window(stated)
    heads, paths = _lines(path, quirks)
    parts, at = [], 0
    for chunk in _chunks(paths):
        parts.append(_parse(chunk, heads["root"].iloc[at : at + len(chunk)], quirks))
        at += len(chunk)
    events = _joined(parts)
    quirks["repost counts that are not the paths'"] += int((heads["reposts"] != events.count - 1).sum())

    seen = events.until(window.observation).count
    rows = np.flatnonzero(seen >= window.min_events)
    few = f"cascades with fewer than {window.min_events} events inside the observation left out"
    quirks[few] = len(seen) - len(rows)
    if not len(rows):
        none = f"{path}: no cascade has {window.min_events} events within {window.observation:g} s"
        odd = ((line, step) for line, own in zip(heads["line"], paths) for step in own.split())
        if bad := next(((line, step) for line, step in odd if not PLAIN.fullmatch(step)), None):
            raise DataError(f"{none}; line {bad[0]}: {bad[1]!r:.40} is no path; write {LAYOUT}")
        raise DataError(f"{none}; mend the observation in {stated}")
    events, heads = events.take(rows), heads.iloc[rows]
    later = events.until(window.horizon).count - seen[rows]
    time = pd.to_datetime(heads["time"], unit="s", utc=True).astype("datetime64[s, UTC]")
    items = pd.DataFrame(
        {
            "split": pd.Categorical(["train"] * len(rows), categories=["train", "test"]),
            "time": time,
            "known": time + pd.Timedelta(seconds=int(np.ceil(window.horizon))).as_unit("s"),
            "user_id": heads["root"].astype("category"),
            "observation": window.observation,
            "horizon": window.horizon,
        }
    ).set_axis(pd.Index(heads["id"], name="post_id"))
    data = Data(items, np.log2(1.0 + later), events.to_table(items))
    return data, {k: int(n) for k, n in quirks.items() if n}


def _lines(path: Path, quirks: Counter) -> tuple[pd.DataFrame, list[str]]:
    """The first four fields of every usable line (id, root, time, reposts) and its number (line), and the fifth."""
    rows, paths, bad = [], [], []
    with path.open(encoding="utf-8-sig", errors="replace", newline="\n") as file:
        for number, line in enumerate(file, 1):
            fields = line.strip().split("\t")
            if len(fields) == 5 and fields[4]:
                reposts = int(fields[3]) if fields[3].isdecimal() else -1
                rows.append((fields[0], fields[1], fields[2], reposts, number))
                paths.append(fields[4])
            elif fields != [""]:
                bad.append((number, line))
    heads = pd.DataFrame(rows, columns=["id", "root", "time", "reposts", "line"])
    heads["time"] = _publish_times(path, heads)
    timed = heads["time"].notna()
    quirks["lines that are no cascade dropped"] += len(bad) + int((~timed).sum())
    again = timed & heads["id"].where(timed).duplicated()
    quirks["cascades with an id met before dropped"] += int(again.sum())
    kept = timed & ~again
    if not kept.any():
        bad += [(row[4], "\t".join(map(str, row[:4]))) for row in rows[:1]]
        shown = " but line {}: {!r:.60}".format(*min(bad)) if bad else ""
        raise DataError(f"{path}: no cascade in it{shown}; it should hold {LAYOUT}")
    paths = [own for own, is_kept in zip(paths, kept) if is_kept]
    return heads[kept].reset_index(drop=True).astype({"time": np.int64}), paths


def _publish_times(path: Path, heads: pd.DataFrame) -> np.ndarray:
    """(n,) unix seconds, NaN for none, of such numbers or of dates as the APS files have them; numbers of 4, 6 or 8
    digits that can all be dates are. Raises DataError where some can and others cannot."""
    text = heads["time"].astype("str").str.strip()
    seconds, parts = official.numbers(text), text.str.extract(f"^{DATE}$")
    is_number, is_date = ~np.isnan(seconds), parts[0].notna().to_numpy()
    if is_date.any():
        if (row := official.first(is_number & ~is_date)) is not None:
            one, other = (f"{text.iloc[r]} (line {heads['line'].iloc[r]})" for r in (official.first(is_date), row))
            raise DataError(f"{path}: publish time {one} is a date, {other} is none; write unix seconds into all lines")
        dates = parts[0] + "-" + parts[1].fillna("01") + "-" + parts[2].fillna("01")
        text = text.mask(is_date, dates)
    stamps = text.where(is_date | ~is_number)
    found = pd.to_datetime(stamps, format="mixed", errors="coerce", utc=True).to_numpy("datetime64[s]")
    seconds = np.where(np.isnat(found), np.where(is_date, np.nan, seconds), found.astype(np.int64))
    return np.where(np.abs(seconds) < FURTHEST, np.trunc(seconds), np.nan)


def _chunks(paths: list[str]) -> Iterator[list[str]]:
    """The lines in groups of about CHUNK characters."""
    group, size = [], 0
    for line in paths:
        group.append(line)
        size += len(line)
        if size > CHUNK:
            yield group
            group, size = [], 0
    if group:
        yield group


def _parse(lines: list[str], roots: pd.Series, quirks: Counter) -> Events:
    """The events of some lines: every step in one pass over all of them."""
    split = pc.utf8_split_whitespace(pa.array(lines, pa.large_string()))
    cascade = pc.list_parent_indices(split).to_numpy()
    fields = pc.extract_regex(pc.list_flatten(split), PATH)
    good = fields.is_valid().to_numpy(zero_copy_only=False)
    quirks["paths that cannot be read dropped"] += int((~good).sum())
    cascade, fields = cascade[good], fields.filter(pa.array(good))
    delay = pc.struct_field(fields, "delay").cast(pa.float64()).to_numpy()
    within = delay < FURTHEST
    quirks["delays beyond all reason dropped"] += int((~within).sum())
    cascade, fields, delay = cascade[within], fields.filter(pa.array(within)), delay[within]
    quirks["negative delays set to 0"] += int((delay < 0).sum())
    delay = np.maximum(delay, 0.0)

    # One code for a user of a cascade; "" is the parent of a path that names one user only.
    columns = [pc.struct_field(fields, "user"), pc.struct_field(fields, "parent"), pa.array(roots, pa.large_string())]
    codes = pa.chunked_array(columns).combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64)
    user, parent, root = np.split(codes, [len(delay), 2 * len(delay)])
    alone = pc.equal(columns[1], "").to_numpy(zero_copy_only=False)

    # The root: the first path of one user, of the root user where there is such. It comes first, at 0, whatever the
    # file says; a line without gets one.
    n, candidates = len(lines), np.flatnonzero(alone)
    candidates = candidates[np.argsort(user[candidates] != root[cascade[candidates]], kind="stable")]
    where = np.full(n, -1)
    where[cascade[candidates[::-1]]] = candidates[::-1]
    lacking = np.flatnonzero(where < 0)
    quirks["cascades without a root path given one"] += len(lacking)
    quirks["paths without a parent hung on the root"] += int(alone.sum()) - (n - len(lacking))
    is_root = np.zeros(len(delay), bool)
    is_root[where[where >= 0]] = True
    quirks["root paths not at 0 moved there"] += int((delay[is_root] != 0).sum())
    delay[is_root] = 0.0
    cascade = np.concatenate([cascade, lacking])
    delay = np.concatenate([delay, np.zeros(len(lacking))])
    user = np.concatenate([user, root[lacking]])
    parent = np.concatenate([np.where(alone, -1, parent), np.full(len(lacking), -1)])
    is_root = np.concatenate([is_root, np.ones(len(lacking), bool)])

    written = np.arange(len(delay))
    order = np.lexsort((written, ~is_root, delay, cascade))
    steps = np.diff(delay)[np.diff(cascade) == 0]
    quirks["paths before an earlier one put in the order of time"] += int((steps < 0).sum())
    cascade, delay, user, parent, is_root = (a[order] for a in (cascade, delay, user, parent, is_root))
    repeated = pd.DataFrame({"c": cascade, "t": delay, "u": user, "p": parent}).duplicated()
    quirks["repeated paths kept, as others count them"] += int(repeated.sum())

    width = codes.max() + 1
    place = _latest_before(cascade * width + user, np.where(parent < 0, -1, cascade * width + parent))
    start = np.searchsorted(cascade, np.arange(n + 1))
    missing = (place < 0) & ~is_root & (parent >= 0)
    quirks["parents that are not there replaced by the root"] += int(missing.sum())
    inside = np.where(is_root, -1, np.where(place < 0, 0, place - start[cascade]))
    return Events(start.astype(np.int64), delay, inside.astype(np.int32), user.astype(np.int32))


def _latest_before(key: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """(E,) position of the last event before each that has the wanted key, -1 for none."""
    n = len(key)
    values, codes = np.unique(key, return_inverse=True)  # dense codes: code * n + position stays within 64 bits
    seeker = np.searchsorted(values, wanted).clip(max=len(values) - 1)
    seeker = np.where(values[seeker] == wanted, seeker, -1)
    order = np.argsort(codes, kind="stable")
    ranked = codes[order] * n + order
    found = np.searchsorted(ranked, seeker * n + np.arange(n)) - 1  # before: its own place is not among them
    hit = (found >= 0) & (seeker >= 0)
    hit[hit] = ranked[found[hit]] // n == seeker[hit]
    return np.where(hit, order[np.maximum(found, 0)], -1)


def _joined(parts: list[Events]) -> Events:
    ends = np.cumsum([0, *(len(p.time) for p in parts)])
    start = np.concatenate([[0], *(p.start[1:] + end for p, end in zip(parts, ends))])
    return Events(start, *(np.concatenate([getattr(p, f) for p in parts]) for f in ("time", "parent", "user")))
