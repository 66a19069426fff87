"""Reading official files: where they lie, their bytes with every quirk counted, numbers that may be none, posts named
once.
"""

import filecmp
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import TypeVar

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from smp.disk.pictures import leaves_folder
from smp.disk.walk import below, mistaken, walk
from smp.errors import DataError

BOM = b"\xef\xbb\xbf"
NOT_GIVEN = ("", "None", "null", "nan", "NaN")  # as the files, and pandas writing them again, spell it
OLDEST = np.datetime64("1991-08-06", "s")  # the first web page: no post is older
SIDE_BY_SIDE = 200  # more folders than this beside each other are of users: no metadata file lies in them
ARCHIVES = (".zip", ".rar", ".7z", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst")
SURROGATE = re.compile("[\ud800-\udfff]")
OPTIONAL = ("external", "features")  # folders of what is laid beside the official files
Key = TypeVar("Key")


# --- where the files lie ---


def index(folder: Path) -> dict[str, list[Path]]:
    """The files below `folder` by name in lower case, the nearest first; links are followed.

    A zip made on Windows may have been unpacked into names with backslashes: what is behind the last one counts.
    """
    found: dict[str, list[Path]] = {}
    for place, _, names in walk(folder, SIDE_BY_SIDE):
        for name in names:
            found.setdefault(re.split(r"[/\\]", name)[-1].lower(), []).append(place / name)
    return found


def locate(
    found: Mapping[str, list[Path]], names: Mapping[Key, str], site: str, quirks: Counter | None = None
) -> dict[Key, Path]:
    """The path of each named file that is there, by the same key; of copies the one beside most of the others, and
    others that differ are counted in `quirks`.

    Raises DataError where two differ and nothing says which is meant.
    """
    homes = Counter(path.parent for name in names.values() for path in found.get(name.lower(), ()))
    located = {}
    for key, name in names.items():
        if paths := found.get(name.lower()):
            best = max(homes[path.parent] for path in paths)
            first, *others = (path for path in paths if homes[path.parent] == best)
            if other := next((path for path in others if not filecmp.cmp(first, path, shallow=False)), None):
                raise DataError(f"{first}: there is another, and they differ: {other}; keep the one from {site}")
            located[key] = first
            for other in set(paths) - {first, *others} if quirks is not None else ():
                if not filecmp.cmp(first, other, shallow=False):
                    quirks["copies of a file that differ and are not read"] += 1
    return located


def needed(
    folder: Path,
    names: Mapping[Key, str],
    site: str,
    optional: Mapping[Key, str] | None = None,
    quirks: Counter | None = None,
) -> dict[Key, Path]:
    """The path of each named file, wherever it lies below `folder`, and of each optional one that is there. Raises
    DataError that lists all missing ones."""
    found = index(folder)
    located = locate(found, {**names, **(optional or {})}, site, quirks)
    if lacking := [name for key, name in names.items() if key not in located]:
        raise missing(folder, found, lacking, site)
    return located


def missing(folder: Path, found: Mapping[str, list[Path]], names: Sequence[str], site: str) -> DataError:
    """The error that names the missing files and what lies there instead, such as a zip that was not unpacked."""
    there = [path.relative_to(folder) for paths in found.values() for path in paths]
    zips = sorted(str(path) for path in there if path.suffix.lower() in ARCHIVES)
    if zips:
        remedy = f"unpack {', '.join(zips[:5])} there, as it comes from {site}"
    else:
        remedy = f"get them from {site}"
        if there:
            remedy += f" (what lies there: {', '.join(sorted(map(str, there))[:5])}{' ...' * (len(there) > 5)})"
    return DataError(f"{folder}: missing {', '.join(names)}; {remedy}")


def unpack(folder: Path) -> str:
    """What to do with the archives that lie below a folder as they were downloaded; empty where there is none."""
    names = [str((place / name).relative_to(folder)) for place, _, of in walk(folder, SIDE_BY_SIDE) for name in of]
    zips = [name for name in names if name.lower().endswith(ARCHIVES)]
    return f"unpack {', '.join(zips[:5])}{' ...' * (len(zips) > 5)} there" if zips else ""


def folders(folder: Path) -> list[tuple[str, list[str]]]:
    """The folders below `folder` and the names of those in each, not of all users: where pictures can lie."""
    return [(os.path.relpath(place, folder), names[:SIDE_BY_SIDE]) for place, names, _ in walk(folder, SIDE_BY_SIDE)]


def tidied(lines: pa.Array, quirks: Counter) -> pa.Array:
    """Paths without quotes around them and with slashes for backslashes."""
    plain = pc.replace_substring(pc.utf8_trim(lines, " \t\r\"'"), "\\", "/")
    quirks["paths in quotes or with backslashes"] += count(pc.not_equal(plain, lines))
    return plain


def check_paths(paths: pa.Array, listed: pa.Array, where: str, folder: Path, remedy: str, above: int = 0) -> None:
    """Raises DataError for a path that does not stay inside `folder`.

    where: what is before the row's number, which counts from 1 and the lines `above` too.
    """
    if (row := first(leaves_folder(paths))) is not None:
        raise DataError(f"{where} {row + above + 1}: {listed[row].as_py()!r:.80} is no path inside {folder}; {remedy}")


def placed(
    folder: Path, splits: Mapping[str, pa.Array], suffixes: Sequence[str], quirks: Counter, what: str, remedy: str
) -> list[pa.Array]:
    """The paths of each split as the files lie below `folder`: under a zip's own folder, in another case, with another
    ending, without the split's folder.

    splits: paths such as train/<user>/<file>, by split; "" for none. A few files of each are looked for. Raises
    DataError where files of this kind lie there, and none where a path says so. what: pictures or videos.
    """
    ways = {split: _way(folder, split, paths, suffixes, remedy) for split, paths in splits.items()}
    example = next((p for p in below(folder, suffixes) if p.relative_to(folder).parts[0] not in OPTIONAL), None)
    if not any(ways.values()) and example:  # none of the few: a part of the files may be there
        named = [path for paths in splits.values() for path in paths.to_pylist() if path]
        with ThreadPoolExecutor(16) as pool:
            is_there = pool.map(lambda path: os.path.isfile(os.path.join(folder, path)), named, chunksize=1024)
            if named and not any(is_there):
                raise DataError(
                    f"{folder}: holds {what}, such as {example.relative_to(folder)}, but none where the files have it, "
                    f"such as {named[0]}; move them there, or {remedy}"
                )
    out = []
    for split, paths in splits.items():
        moved = _moved(paths, *ways[split]) if ways[split] else paths
        quirks[f"{what} found elsewhere than listed"] += count(pc.not_equal(moved, paths))
        out.append(moved)
    return out


def _way(
    folder: Path, split: str, paths: pa.Array, suffixes: Sequence[str], remedy: str
) -> tuple[str, str, str | None] | None:
    """What to put for which start of the paths, and which ending (None: theirs): that by which most of a sample are
    found. Raises DataError where files of other endings lie in the places of all.
    """
    named = paths.filter(pc.not_equal(paths, ""))
    sample = named.take(np.unique(np.linspace(0, len(named) - 1, 64).astype(int))) if len(named) else named
    starts, ways, odd = [], Counter(), ""
    for place, names, _ in walk(folder, SIDE_BY_SIDE):
        home = "" if place == folder else f"{place.relative_to(folder)}/"
        starts += [(f"{split}/", f"{home}{name}/") for name in names if name.lower() == split]
        starts += [("", home), (f"{split}/", home)]
    endings = cache(_endings)  # of the files in a folder, by what is before
    for old, new in dict.fromkeys(starts):
        for path in _moved(sample, old, new, None).to_pylist():
            stem, listed = os.path.splitext(os.path.join(folder, path))
            there = endings(os.path.dirname(stem)).get(os.path.basename(stem), ())
            known = [ending for ending in there if ending in (listed, "") or ending.lower() in suffixes]
            ways.update((old, new, None if ending == listed else ending) for ending in known)
            odd = odd or next((stem + ending for ending in there if ending not in known), "")
    if odd and not ways:
        what = f"lies in the place of a listed file, and is none of {', '.join(suffixes)}"
        raise DataError(f"{odd}: {what}; convert what lies so, or {remedy}")
    return max(ways, key=lambda way: (way[2] is None, ways[way]), default=None)


def _endings(folder: str) -> dict[str, list[str]]:
    """The endings of the files in a folder by what is before."""
    found: dict[str, list[str]] = {}
    if os.path.isdir(folder):
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if os.path.isfile(entry.path) if entry.is_symlink() else entry.is_file():  # a loop of links is none
                    stem, ending = os.path.splitext(entry.name)
                    found.setdefault(stem, []).append(ending)
    return found


def _moved(paths: pa.Array, old: str, new: str, ending: str | None) -> pa.Array:
    moved = pc.if_else(pc.starts_with(paths, old), _joined(new, pc.utf8_slice_codeunits(paths, len(old))), paths)
    if ending is not None:
        moved = pc.replace_substring_regex(moved, r"(\.[^./]*)?$", ending, max_replacements=1)
    return pc.if_else(pc.equal(paths, ""), "", moved)


def _joined(start: str, rest: pa.Array) -> pa.Array:
    kind = pa.large_string()
    return pc.binary_join_element_wise(pa.scalar(start, kind), rest.cast(kind), pa.scalar("", kind))


# --- bytes ---


def read_lines(path: Path, quirks: Counter, remedy: str = "get the file again") -> list[bytes]:
    """The lines of a text file without byte order mark, valid UTF-8 (other bytes become U+FFFD), empty ones at the end
    left out; what was met on the way is counted. Raises DataError for a web page or a pointer in the file's place.
    """
    check_meant(path, remedy)
    data = path.read_bytes()
    quirks["files with a byte order mark"] += data.startswith(BOM)
    quirks["files with CRLF line ends"] += b"\r\n" in data
    if is_bad_utf8(data):
        quirks["files with bytes that are not UTF-8"] += 1
        data = data.decode(errors="replace").encode()
    return data.removeprefix(BOM).rstrip().split(b"\n")


def check_meant(path: Path, remedy: str) -> None:
    """Raises DataError where a web page or a pointer of Git LFS lies in a file's place."""
    if kind := mistaken(path):
        raise DataError(f"{path}: {kind}; {remedy}")


def is_bad_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return True
    return False


def without_header(
    lines: list[str], rows: int, is_value: Callable[[str], bool], quirks: Counter, what: str
) -> tuple[list[str], int]:
    """The lines without a header above them, which the official files have not, and the number of lines left out."""
    if len(lines) == rows + 1 and not is_value(lines[0]):
        quirks[f"header line above {what}"] += 1
        return lines[1:], 1
    return lines, 0


# --- JSON ---


def parse(data: bytes, quirks: Counter) -> object:
    """JSON of any bytes: the strict fast parser first; bad bytes, lone surrogates, NaN and endless numbers go to the
    lenient one. Raises ValueError (json.JSONDecodeError with its position in characters) or RecursionError.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        pass
    found = json.loads(data.decode("utf-8", "surrogateescape"))  # keeps every byte countable
    lone: Counter = Counter()
    found = _without_surrogates(found, lone)
    if is_bad_utf8(data):
        quirks["files with bytes that are not UTF-8"] += 1
    else:
        quirks["texts with half a character (a lone surrogate)"] += lone["texts"]
    return found


def _without_surrogates(value: object, met: Counter) -> object:
    if isinstance(value, str) and SURROGATE.search(value):
        met["texts"] += 1
        return SURROGATE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_without_surrogates(inner, met) for inner in value]
    if isinstance(value, dict):
        return {_without_surrogates(k, met): _without_surrogates(inner, met) for k, inner in value.items()}
    return value


def read_json(path: Path, quirks: Counter, remedy: str) -> object:
    """A file's JSON. Raises DataError naming the byte at which it breaks."""
    check_meant(path, remedy)
    data = path.read_bytes()
    quirks["files with a byte order mark"] += (marked := data.startswith(BOM))
    try:
        return parse(data.removeprefix(BOM), quirks)
    except (ValueError, RecursionError) as error:
        text = data.removeprefix(BOM).decode("utf-8", "surrogateescape")
        raise _broken(path, text, getattr(error, "pos", 0), len(BOM) * marked, error, remedy) from None


def read_objects(path: Path, quirks: Counter, remedy: str) -> Iterator[dict]:
    """The objects of a jsonl file, a line each, empty lines left out. Raises DataError naming the line."""
    lines = read_lines(path, quirks, remedy)
    for number, line in enumerate(lines, 1):
        if number < len(lines) and not line.strip():
            quirks["empty lines left out"] += 1
            continue
        try:
            row = parse(line, quirks)
        except (ValueError, RecursionError) as error:
            at = f" at its byte {len(line.decode()[: error.pos].encode()):,}" if hasattr(error, "pos") else ""
            reason = f"truncated or invalid JSON{at} ({getattr(error, 'msg', error)})"
            raise DataError(f"{path}: line {number}: {reason}; {remedy}") from None
        if type(row) is not dict:
            raise DataError(f"{path}: line {number} is no JSON object; {remedy}")
        yield row


def stream_json(path: Path, quirks: Counter, remedy: str, chunk: int = 1 << 24) -> Iterator[dict]:
    """The rows of a JSON array one by one, holding no more than a few chunks of the file."""
    check_meant(path, remedy)
    with path.open("rb") as probe:
        marked = probe.read(3) == BOM
    decoder, between = json.JSONDecoder(), re.compile(r"[\s,]*")
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        text = file.read(chunk)
        opened = re.match(r"\s*\[", text)
        if not opened:  # a dict of columns cannot be streamed
            columns = read_json(path, quirks, remedy)
            names = list(columns) if isinstance(columns, dict) else []
            values = [columns[name].values() if isinstance(columns[name], dict) else columns[name] for name in names]
            yield from (dict(zip(names, row)) for row in zip(*values, strict=True))
            return
        quirks["files with a byte order mark"] += marked
        start, position, fresh = 3 * marked, opened.end(), True  # `start`: byte at which `text` begins
        while True:
            position = between.match(text, position).end()
            if text.startswith("]", position):
                return
            try:
                row, position = decoder.raw_decode(text, position)
                fresh = True
            except (ValueError, RecursionError) as error:
                more = file.read(chunk) if fresh or position == len(text) else ""
                if not more:  # one chunk more than the row had did not help: it is broken, or the file ends here
                    raise _broken(path, text, getattr(error, "pos", position), start, error, remedy) from None
                start += len(text[:position].encode("utf-8", "surrogateescape"))
                text, position, fresh = text[position:] + more, 0, False
                continue
            if not isinstance(row, dict):
                raise DataError(f"{path}: byte {start + position}: a row is no JSON object; {remedy}")
            yield row


def _broken(path: Path, text: str, position: int, start: int, error: Exception, remedy: str) -> DataError:
    reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
    if reason.startswith("Unterminated") or position >= len(text.rstrip()):
        return DataError(f"{path}: truncated JSON, it ends at byte {path.stat().st_size:,}; {remedy}")
    offset = start + len(text[:position].encode("utf-8", "surrogateescape"))
    return DataError(f"{path}: invalid JSON at byte {offset:,} ({reason}); {remedy}")


# --- values ---


def texts(values: list, where: str, key: str, quirks: Counter, remedy: str, is_flag: bool = False) -> pa.Array:
    """JSON values as strings, null where missing; numbers as they would be typed, whole ones without a point.

    where: what is before a row's number in an error, such as "FILE: row". A truth value counts as missing, unless
    `is_flag`: then it is 1 or 0. Raises DataError for a list or an object.
    """
    kinds = set(map(type, values)) - {str, type(None)}
    if kinds & {dict, list}:
        row = next(i for i, value in enumerate(values, 1) if isinstance(value, dict | list))
        raise DataError(f"{where} {row}: {key} is {values[row - 1]!r:.40}, a single value expected; {remedy}")
    if bool in kinds and not is_flag:
        quirks[f"{key} given as true or false"] += sum(type(value) is bool for value in values)
        values = [None if type(value) is bool else value for value in values]
    if kinds:
        values = [value if value is None or type(value) is str else _typed(value) for value in values]
    try:
        found = pa.array(values, pa.large_string())
    except UnicodeEncodeError:
        found = pa.array([value and SURROGATE.sub("\ufffd", value) for value in values], pa.large_string())
    quirks[f"{key} with a NUL"] += count(pc.fill_null(pc.match_substring(found, "\0"), False))
    return found


def _typed(value: bool | float) -> str | None:
    if value != value:  # NaN
        return None
    whole = isinstance(value, bool) or (isinstance(value, float) and value.is_integer())
    return str(int(value)) if whole else str(value)


def ids(values: list, where: str, key: str, quirks: Counter, remedy: str) -> pa.Array:
    """Names of posts or users as strings. Raises DataError for what is empty, no name, or a number with lost digits."""
    kinds = Counter(map(type, values))
    quirks[f"{key} given as int"] += kinds[int]
    quirks[f"{key} given as float"] += kinds[float]
    for kind in (bool, float):
        for row, value in enumerate(values if kinds[kind] else (), 1):
            if type(value) is kind and (kind is bool or not abs(value) <= 2**53):
                raise DataError(f"{where} {row}: {key} {value!r} is no name of a post or user; {remedy}")
    names = plain_ids(texts(values, where, key, quirks, remedy))
    if (row := first(is_blank(names))) is not None:
        raise DataError(f"{where} {row + 1}: {key} is empty; {remedy}")
    if (row := first(pc.match_substring_regex(names, r"\p{Cc}"))) is not None:  # would reach the terminal
        raise DataError(f"{where} {row + 1}: {key} {names[row].as_py()!r:.40} is no name of a post or user; {remedy}")
    return names


def plain_ids(names: pa.Array) -> pa.Array:
    """Without white space around, and 775 where something wrote 775.0."""
    return pc.replace_substring_regex(pc.utf8_trim_whitespace(names), r"^(\d+)\.0+$", r"\1")


def check_unique(parts: Sequence[tuple[Path, pd.Series]], unit: str, remedy: str) -> None:
    """Raises DataError where a post is twice in a file's ids, or in the second file (test) and the first (train) too.

    unit: what the files are counted in, row or line.
    """
    for path, names in parts:
        if (row := first(names.duplicated())) is not None:
            where = f"there twice ({unit} {first(names == names.iloc[row]) + 1})"
            raise DataError(f"{path}: {unit} {row + 1}: post {names.iloc[row]} is {where}; {remedy}")
    (_, train), *tests = parts
    for path, test in tests:
        if (row := first(test.isin(set(train)))) is not None:
            where = f"in train too ({unit} {first(train == test.iloc[row]) + 1})"
            raise DataError(f"{path}: {unit} {row + 1}: post {test.iloc[row]} is {where}; {remedy}")


def numbers(values: pd.Series) -> np.ndarray:
    """(n,) float64, NaN where a value is no finite number; a truth value is none."""
    if values.dtype == object or pd.api.types.is_bool_dtype(values):
        values = values.astype(object).mask(is_bool(values))
    try:
        found = pd.to_numeric(values, errors="coerce").to_numpy(dtype="float64", na_value=np.nan)
    except OverflowError:  # an integer of hundreds of digits
        found = pd.to_numeric(values.astype("str"), errors="coerce").to_numpy(dtype="float64", na_value=np.nan)
    return np.where(np.isfinite(found), found, np.nan)


def renamed(table: pd.DataFrame, columns: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """With the columns by the names of `columns`, each of which lists what others call it; the first there counts.

    A column of truth values, such as whether the reader liked a post, is none of them and left out.
    """
    names = {name for known in columns.values() for name in known if name in table}
    table = table.drop(columns=[n for n in names if pd.api.types.infer_dtype(table[n], skipna=True) == "boolean"])
    found = {name: next((n for n in known if n in table), name) for name, known in columns.items()}
    return table.rename(columns={other: name for name, other in found.items() if name not in table})


def is_bool(values: pd.Series) -> pd.Series:
    """True for each truth value, of which JSON files may have one in a number's place."""
    return values.map(lambda value: isinstance(value, bool)).astype(bool)


def moments(values: pd.Series) -> np.ndarray:
    """Text -> (n,) datetime64[s] in UTC: unix seconds or "YYYY-MM-DD HH:MM:SS"; NaT outside 1800-2100 (camera nonsense)
    and at 0 and -1 seconds, which mean that none is given.
    """
    seconds = numbers(values)
    dates = values.where(np.isnan(seconds))
    dates = pd.to_datetime(dates, format="ISO8601", errors="coerce", utc=True).dt.tz_localize(None)
    dates = dates.to_numpy().astype("datetime64[s]")
    low, high = np.array(["1800", "2100"], dtype="datetime64[s]")
    inside = (seconds >= low.astype("int64")) & (seconds < high.astype("int64"))
    found = np.where(inside, np.where(inside, seconds, 0).astype("int64").astype("datetime64[s]"), dates)
    given = (found >= low) & (found < high) & ~np.isin(found, np.array([0, -1], "datetime64[s]"))
    return np.where(given, found, np.datetime64("NaT", "s"))


def in_seconds(values: pd.Series) -> pd.Series:
    """As text, milliseconds since 1970 in whole seconds."""
    number = numbers(values)
    return values.astype("str").mask(np.abs(number) > 1e11, pd.Series(number // 1000, values.index).astype("str"))


def vectors(column: pd.Series) -> np.ndarray:
    """(n, d) float32 of a column of numbers, or of vectors of one length, NaN where there is none; no columns of
    anything else.
    """
    with np.errstate(over="ignore"):
        if pd.api.types.is_numeric_dtype(column):
            is_flag = pd.api.types.is_bool_dtype(column)  # of a feature 0 and 1
            found = column.to_numpy(np.float64, na_value=np.nan) if is_flag else numbers(column)
            return found.astype(np.float32)[:, None]
        rows = [np.asarray(value) for value in column]
        width = max((v.size for v in rows if v.ndim and v.dtype.kind in "fiub"), default=0)
        blank = np.full(width, np.nan, np.float32)
        filled = [v.ravel() if v.size == width and v.ndim else blank for v in rows]
        return np.array(filled, np.float32).reshape(len(column), width)


def is_blank(column: pa.Array) -> pa.Array:
    return pc.equal(pc.utf8_trim_whitespace(pc.fill_null(column, "")), "")


def is_not_given(column: pa.Array) -> pa.Array:
    """True for null, blank and the words that stand for it."""
    return pc.is_in(pc.utf8_trim_whitespace(pc.fill_null(column, "")), pa.array(NOT_GIVEN, column.type))


def first(mask) -> int | None:
    """Position of the first true value."""
    mask = np.asarray(mask, dtype=bool)
    return int(mask.argmax()) if mask.any() else None


def count(mask) -> int:
    """How many are true."""
    return int(np.count_nonzero(np.asarray(mask)))
