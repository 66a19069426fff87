"""SMPD-Image: the official files of both layouts -> the data of the image track."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from smp.disk.pictures import leaves_folder
from smp.errors import DataError
from smp.tracks.base import Data
from smp.tracks.official import BOM, check_unique, count, first, is_bad_utf8, numbers, read_lines

SITE = "https://smp-challenge.com (SMPD-Image download)"
AGAIN = f"unpack the official download again, from {SITE}"
SPLITS = ("train", "test")
LABELS = (0.0, 64.0)  # log2 of a count: what lies outside is no label
COUNTS = (0.0, 1e12)  # what lies outside is no count of anything

LONG = 10_000  # characters; a longer text is kept whole, and counted

# What each metadata file must hold, by its official keys.
KEYS = {
    "additional": ("Uid", "Pid", "Pathalias", "Ispublic", "Mediastatus"),
    "category": ("Uid", "Pid", "Category", "Subcategory", "Concept"),
    "text": ("Uid", "Pid", "Title", "Mediatype", "Alltags"),
    "place": ("Uid", "Pid", "Postdate", "Latitude", "Longitude", "Geoaccuracy"),
    "user": (
        *("photo_firstdate", "photo_count", "ispro", "canbuypro", "timezone_offset", "photo_firstdatetaken"),
        *("timezone_id", "user_description", "location_description"),
    ),
}
SPELLINGS = {"Title": "Tile", "timezone_id": "timezone_timezone_id"}  # as the site, and the old layout, have them
DESCRIPTIONS = ("user_description", "location_description")  # in the old layout 399 and 400 floats a post
NEW_NAMES = {  # 2024 and later: {split}_allmetadata_json/
    "additional": "{}_additional_information.json",
    "category": "{}_category.json",
    "text": "{}_text.json",
    "place": "{}_temporalspatial_information.json",
    "user": "{}_user_data.json",
    "images": "{}_img_filepath.txt",
    "label": "{}_label.txt",
}
OLD_NAMES = {  # 2019-2023: {split}_all_json/
    "additional": "{}_additional.json",
    "category": "{}_category.json",
    "text": "{}_tags.json",
    "place": "{}_temporalspatial.json",
    "user": "{}_userdata.json",
    "images": "{}_img.txt",
    "label": "{}_label.txt",
}


def files(folder: Path) -> list[Path]:
    """The official files that `read` reads. Raises DataError that lists all missing ones."""
    return [path for of_split in _locate(folder).values() for path in of_split.values()]


def read(folder: Path) -> tuple[Data, dict[str, int]]:
    """The posts, train before test in official row order, and how often each quirk of the files was met.

    Both layouts are read, each split in whichever it is found, directly under `folder` or one level deeper. Raises
    DataError naming file and row (counted from 1) for whatever would make the rows wrong; no picture is opened here.
    """
    quirks: Counter[str] = Counter()
    found = _locate(folder)
    raw = pa.concat_tables([_read_split(folder, split, found[split], quirks) for split in SPLITS]).combine_chunks()
    ids, is_train = raw["Pid"].to_pandas(), pc.equal(raw["split"], "train").to_pandas().to_numpy(bool)
    parts = [(found["train"]["additional"], ids[is_train]), (found["test"]["additional"], ids[~is_train])]
    check_unique(parts, "row", AGAIN)
    labels = raw["label"].to_numpy()
    return Data(_posts(raw, found, quirks), labels), {name: int(n) for name, n in quirks.items() if n}


# --- which files ---


def _locate(folder: Path) -> dict[str, dict[str, Path]]:
    """Paths of every file by split and role. Raises DataError that lists all missing ones."""
    located, missing = {}, []
    for split in SPLITS:
        homes = [(folder / name, names) for name, names in _layouts(split)]
        for name, names in _layouts(split):
            homes += [(home, names) for home in sorted(folder.glob(f"[!._]*/{name}"))]
        home, names = next((h for h in homes if any(h[0].glob(f"{split}_*.json"))), homes[0])
        files = {role: home / name.format(split) for role, name in names.items() if (role, split) != ("label", "test")}
        if _is_old(files) and not files["images"].is_file():
            files["images"] = home / f"{split}_imgfile.txt"
        absent = [str(path.relative_to(folder)) for path in files.values() if not path.is_file()]
        missing += [f"{absent[0]} and the {len(files) - 1} files beside it"] if len(absent) == len(files) else absent
        located[split] = files
    if missing:
        raise DataError(f"{folder}: missing {', '.join(missing)}; get them from {SITE}")
    return located


def _layouts(split: str) -> tuple[tuple[str, dict[str, str]], ...]:
    return (f"{split}_allmetadata_json", NEW_NAMES), (f"{split}_all_json", OLD_NAMES)


def _is_old(files: dict[str, Path]) -> bool:
    return files["text"].name.endswith("_tags.json")


# --- one split, everything as text, the files' rows aligned ---


def _read_split(folder: Path, split: str, files: dict[str, Path], quirks: Counter) -> pa.Table:
    columns: dict[str, pa.Array] = {}
    for role, keys in KEYS.items():
        path, part = files[role], None
        if role == "user" and _is_old(files):  # 8 KB of floats a post
            part = [row | dict.fromkeys(DESCRIPTIONS) for row in _rows(path, quirks)]
        part = _columns(path, keys, quirks, optional=("Uid", "Pid") if role == "user" else (), table=part)
        for key in ("Pid", "Uid"):
            if key in part:
                part[key] = _ids(part[key], path, key)
            if key in part and key in columns:
                _check_same_rows(columns[key], part[key], path, files["additional"], key)
        rows = len(columns.get("Pid", part[keys[-1]]))
        if len(part[keys[-1]]) != rows:
            raise DataError(f"{path}: {len(part[keys[-1]]):,} posts, {files['additional'].name} has {rows:,}; {AGAIN}")
        columns |= part
    if _is_old(files):
        quirks["descriptions given as vectors"] += rows
    else:
        for key in DESCRIPTIONS:
            quirks[f"{key} missing"] += count(_is_blank(columns[key]))
    columns["image_path"] = _image_paths(folder, split, files["images"], columns, quirks)
    columns["label"] = _labels(files["label"], rows, quirks) if split == "train" else pa.nulls(rows, pa.float64())
    columns["split"] = pa.array([split] * rows)
    return pa.table(columns)


def _columns(path: Path, keys: tuple, quirks: Counter, optional: tuple = (), table=None) -> dict[str, pa.Array]:
    """The named columns as text (missing = null), from an array of rows or from pandas' dict of columns."""
    table = _parse(path, quirks) if table is None else table
    by_column = isinstance(table, dict)
    if not isinstance(table, dict | list) or not table:
        raise DataError(f"{path}: holds no posts; {AGAIN}")
    if not by_column and (odd := next((i for i, row in enumerate(table, 1) if type(row) is not dict), 0)):
        raise DataError(f"{path}: row {odd} is no JSON object; {AGAIN}")
    present = table.keys() if by_column else table[0].keys()
    columns, row_names = {}, None
    for key in (*keys, *(key for key in optional if key in present)):
        name = key if key in present else SPELLINGS.get(key, key)
        if by_column:
            if name not in table:
                raise DataError(f"{path}: no column {key!r}, so row 1 has none; {AGAIN}")
            values = table.pop(name)  # popped, so that each column is freed before the next
            if isinstance(values, dict):
                if list(values) != (row_names := row_names or list(values)):
                    raise DataError(f"{path}: column {key!r} names its rows differently from the one before; {AGAIN}")
                values = list(values.values())
            elif not isinstance(values, list):
                raise DataError(f"{path}: column {key!r} is not a column of values; {AGAIN}")
        else:
            try:
                values = [row[name] for row in table]
            except KeyError:
                row = next(i for i, row in enumerate(table, 1) if name not in row)
                raise DataError(f"{path}: row {row} has no key {key!r}; {AGAIN}") from None
        if name == "Tile":
            quirks["Title spelt Tile"] += len(values)
        if key in ("Uid", "Pid"):
            kinds = Counter(map(type, values))
            quirks[f"{key} given as int"] += kinds[int]
            quirks[f"{key} given as float"] += kinds[float]
        columns[key] = _text(values, path, key)
    lengths = {len(column) for column in columns.values()}
    if len(lengths) > 1:
        raise DataError(f"{path}: columns of different lengths ({', '.join(map(str, sorted(lengths)))}); {AGAIN}")
    return columns


def _parse(path: Path, quirks: Counter):
    """The file's JSON. The strict fast parser first; bad bytes, lone surrogates and bare NaN go to the lenient one."""
    data = path.read_bytes()
    bom = data.startswith(BOM)
    quirks["files with a byte order mark"] += bom
    data = data[3:] if bom else data
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        pass
    text = data.decode("utf-8", "surrogateescape")  # keeps every byte countable; _text replaces the surrogates
    try:
        table = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _broken(path, text, getattr(error, "pos", 0), 3 * bom, error) from None
    quirks["files with bytes that are not UTF-8"] += not text.isascii() and is_bad_utf8(data)
    return table


def _rows(path: Path, quirks: Counter, chunk: int = 1 << 24) -> Iterator[dict]:
    """The rows of a JSON array one by one, holding no more than a few chunks of the file."""
    with path.open("rb") as probe:
        bom = probe.read(3) == BOM
    decoder, between = json.JSONDecoder(), re.compile(r"[\s,]*")
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        text = file.read(chunk)
        opened = re.match(r"\s*\[", text)
        if not opened:  # a dict of columns cannot be streamed
            columns = _parse(path, quirks)
            names = list(columns) if isinstance(columns, dict) else []
            values = [columns[name].values() if isinstance(columns[name], dict) else columns[name] for name in names]
            yield from (dict(zip(names, row)) for row in zip(*values, strict=True))
            return
        quirks["files with a byte order mark"] += bom
        start, position, fresh = 3 * bom, opened.end(), True  # `start`: byte at which `text` begins
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
                    raise _broken(path, text, getattr(error, "pos", position), start, error) from None
                start += len(text[:position].encode("utf-8", "surrogateescape"))
                text, position, fresh = text[position:] + more, 0, False
                continue
            if not isinstance(row, dict):
                raise DataError(f"{path}: byte {start + position}: a row is no JSON object; {AGAIN}")
            yield row


def _broken(path: Path, text: str, position: int, start: int, error: Exception) -> DataError:
    reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
    if reason.startswith("Unterminated") or position >= len(text.rstrip()):
        return DataError(f"{path}: truncated JSON, it ends at byte {path.stat().st_size:,}; {AGAIN}")
    offset = start + len(text[:position].encode("utf-8", "surrogateescape"))
    return DataError(f"{path}: invalid JSON at byte {offset:,} ({reason}); {AGAIN}")


def _text(values: list, path: Path, key: str) -> pa.Array:
    """JSON values as strings, null where missing; numbers as they would be typed, whole ones without a point."""
    kinds = set(map(type, values)) - {str, type(None)}
    if kinds & {dict, list}:
        row = next(i for i, value in enumerate(values, 1) if isinstance(value, dict | list))
        raise DataError(f"{path}: row {row}: {key} is {_short(values[row - 1])}, a single value expected; {AGAIN}")
    if kinds:
        values = [value if value is None or type(value) is str else _typed(value) for value in values]
    try:
        return pa.array(values, pa.large_string())
    except UnicodeEncodeError:
        surrogate = re.compile("[\ud800-\udfff]")
        return pa.array([value and surrogate.sub("�", value) for value in values], pa.large_string())


def _typed(value: bool | float) -> str | None:
    if value != value:  # NaN
        return None
    whole = isinstance(value, bool) or (isinstance(value, float) and value.is_integer())
    return str(int(value)) if whole else str(value)


def _short(value: object) -> str:
    return f"{value!r:.40}"


def _ids(column: pa.Array, path: Path, key: str) -> pa.Array:
    ids = pc.replace_substring_regex(pc.utf8_trim_whitespace(column), r"^(\d+)\.0+$", r"\1")
    if (row := first(_is_blank(ids))) is not None:
        raise DataError(f"{path}: row {row + 1}: {key} is empty; {AGAIN}")
    return ids


def _check_same_rows(ids: pa.Array, others: pa.Array, path: Path, reference: Path, key: str) -> None:
    if len(others) != len(ids):
        raise DataError(f"{path}: {len(others):,} posts, {reference.name} has {len(ids):,}; {AGAIN}")
    if (row := first(pc.not_equal(ids, others))) is not None:
        raise DataError(
            f"{path}: row {row + 1} has {key} {others[row]} where {reference.name} has {ids[row]}: "
            f"the files must list the posts in one order; {AGAIN}"
        )


def _lines(path: Path, quirks: Counter) -> list[str]:
    lines = [line.decode().strip() for line in read_lines(path, quirks)]
    return lines if lines != [""] else []


def _labels(path: Path, rows: int, quirks: Counter) -> pa.Array:
    lines = _lines(path, quirks)
    if len(lines) != rows:
        raise DataError(f"{path}: {len(lines):,} labels for {rows:,} train posts; {AGAIN}")
    labels = pd.to_numeric(pd.Series(lines, dtype="str"), errors="coerce").to_numpy(dtype="float64")
    if (row := first(~np.isfinite(labels))) is not None:
        raise DataError(f"{path}: row {row + 1}: label {_short(lines[row])} is not a finite number; {AGAIN}")
    low, high = LABELS
    if (row := first((labels < low) | (labels > high))) is not None:
        raise DataError(f"{path}: row {row + 1}: label {_short(lines[row])} is outside {low:g}..{high:g}; {AGAIN}")
    return pa.array(labels)


def _image_paths(folder: Path, split: str, path: Path, columns: dict[str, pa.Array], quirks: Counter) -> pa.Array:
    """Paths relative to `folder`, under the prefix at which the pictures are found (seen on a few of them)."""
    lines = pa.array(_lines(path, quirks), pa.large_string())
    rows = len(columns["Pid"])
    if len(lines) != rows:
        raise DataError(f"{path}: {len(lines):,} lines for {rows:,} posts; {AGAIN}")
    stem = _join("/", split, columns["Uid"], columns["Pid"])
    url = pc.match_substring_regex(lines, "^https?://")
    quirks["image list holds web addresses"] += count(url)
    lines = pc.if_else(url, _join("", stem, ".jpg"), lines)
    if (row := first(leaves_folder(lines))) is not None:
        raise DataError(f"{path}: row {row + 1}: {_short(lines[row].as_py())} is no path inside {folder}; {AGAIN}")
    official = rf"^(?:.*/)?({split}/[^/]+/[^/]+)$"
    paths = pc.replace_substring_regex(lines, official, r"\1")
    quirks["zip prefix stripped from image path"] += count(pc.not_equal(paths, lines))
    strange = pc.and_(
        pc.match_substring_regex(lines, official),
        pc.not_equal(pc.replace_substring_regex(paths, r"\.[^./]*$", ""), stem),
    )
    if (row := first(strange)) is not None:
        raise DataError(
            f"{path}: row {row + 1} is {_short(lines[row].as_py())} where the metadata have {stem[row]}: "
            f"the files must list the posts in one order; {AGAIN}"
        )
    sample = [paths[i].as_py() for i in np.unique(np.linspace(0, rows - 1, 16).astype(int))]
    homes = [folder, *sorted(p for p in folder.iterdir() if p.is_dir() and p.name[0] not in "._")]
    home = max(homes, key=lambda h: (sum((h / name).is_file() for name in sample), (h / split).is_dir()))
    if home != folder:
        quirks["images found under a zip prefix"] += rows
        paths = _join("/", home.name, paths)
    return paths


# --- both splits: text -> the posts table ---


def _place(raw: pa.Table, row: int) -> tuple[str, int]:
    """Split, and row in it counted from 1."""
    split = raw["split"][row].as_py()
    return split, row + 1 - (count(pc.equal(raw["split"], "train")) if split == "test" else 0)


def _posts(raw: pa.Table, files: dict[str, dict[str, Path]], quirks: Counter) -> pd.DataFrame:
    def text(key: str) -> pa.Array:
        return pc.fill_null(raw[key].combine_chunks(), "")

    def missing(key: str, absent: pa.Array | np.ndarray) -> None:
        quirks[f"{key} missing"] += count(absent)

    def category(key: str) -> pa.DictionaryArray:
        values = pc.utf8_trim_whitespace(raw[key].combine_chunks())
        values = pc.if_else(pc.equal(values, ""), None, values)
        missing(key, pc.is_null(values))
        known = pc.is_in(values, value_set=values.filter(pc.equal(raw["split"].combine_chunks(), "train")).unique())
        quirks[f"{key} unseen in train"] += count(pc.and_(pc.is_valid(values), pc.invert(known)))
        return values.dictionary_encode()

    def number(key: str) -> np.ndarray:
        values = numbers(text(key).to_pandas())
        values = np.where((values >= COUNTS[0]) & (values <= COUNTS[1]), values, np.nan)
        missing(key, np.isnan(values))
        return values

    def float32(values: np.ndarray) -> pa.Array:
        return pa.array(values.astype("float32"), from_pandas=True)

    def moment(key: str, zone: str | None = None) -> pa.Array:
        values = _moments(text(key))
        missing(key, np.isnat(values))
        return pa.array(values, pa.timestamp("s", tz=zone))

    time = _moments(text("Postdate"))
    if (row := first(np.isnat(time) | (time <= np.datetime64(0, "s")))) is not None:
        split, number_in_file = _place(raw, row)
        value = _short(raw["Postdate"][row].as_py())
        raise DataError(f"{files[split]['place']}: row {number_in_file}: Postdate {value} is no date; {AGAIN}")
    quirks["Postdate in the future"] += count(time > np.datetime64("now"))

    pathalias = pc.if_else(pc.equal(text("Pathalias"), "None"), "", text("Pathalias"))
    quirks["Pathalias None"] += count(pc.equal(pathalias, ""))
    quirks["titles empty"] += count(pc.equal(pc.utf8_trim_whitespace(text("Title")), ""))
    quirks["titles with a NUL"] += count(pc.match_substring(text("Title"), "\0"))
    quirks[f"titles over {LONG:,} characters"] += count(pc.greater(pc.utf8_length(text("Title")), LONG))
    quirks["Category spelt Whether&Season"] += count(pc.equal(text("Category"), "Whether&Season"))
    tags = _split_words(text("Alltags"))
    quirks["tags empty"] += count(pc.equal(pc.list_value_length(tags), 0))

    accuracy = np.nan_to_num(numbers(text("Geoaccuracy").to_pandas()))
    quirks["Geoaccuracy outside 0..16"] += count((accuracy < 0) | (accuracy > 16))
    accuracy = accuracy.clip(0, 16).astype("int8")
    quirks["Geoaccuracy 0"] += count(accuracy == 0)
    latitude, longitude = numbers(text("Latitude").to_pandas()), numbers(text("Longitude").to_pandas())
    absent = ~((np.abs(latitude) <= 90) & (np.abs(longitude) <= 180)) | (accuracy == 0)
    quirks["coordinates missing"] += count(absent)

    offset = text("timezone_offset").dictionary_encode()
    hours = np.array([_hours(value) for value in offset.dictionary.to_pylist()])[offset.indices.to_numpy()]
    missing("timezone_offset", np.isnan(hours))

    table = pa.table(
        {
            "post_id": raw["Pid"],
            "split": raw["split"].combine_chunks().dictionary_encode(),
            "user_id": raw["Uid"].combine_chunks().dictionary_encode(),
            "time": pa.array(time, pa.timestamp("s", tz="UTC")),
            "title": text("Title"),
            "tags": tags,
            "category": category("Category"),
            "subcategory": category("Subcategory"),
            "concept": category("Concept"),
            "image_path": raw["image_path"],
            "pathalias": pathalias,
            "ispublic": category("Ispublic"),
            "mediastatus": category("Mediastatus"),
            "mediatype": category("Mediatype"),
            "latitude": float32(np.where(absent, np.nan, latitude)),
            "longitude": float32(np.where(absent, np.nan, longitude)),
            "geoaccuracy": accuracy,
            "photo_firstdate": moment("photo_firstdate", "UTC"),
            "photo_count": float32(number("photo_count")),
            "ispro": float32(number("ispro")),
            "canbuypro": float32(number("canbuypro")),
            "timezone_offset": float32(hours),
            "timezone_id": category("timezone_id"),
            "photo_firstdatetaken": moment("photo_firstdatetaken"),
            "user_description": text("user_description"),
            "location_description": text("location_description"),
        }
    )
    posts = table.to_pandas(types_mapper=lambda kind: pd.ArrowDtype(kind) if pa.types.is_list(kind) else None)
    return posts.set_index("post_id")


def _moments(column: pa.Array) -> np.ndarray:
    """Text -> (n,) datetime64[s]: unix seconds or "YYYY-MM-DD HH:MM:SS"; NaT outside 1800-2100 (camera nonsense)."""
    text = column.to_pandas()
    seconds = numbers(text)
    dates = text.where(np.isnan(seconds))
    dates = pd.to_datetime(dates, format="ISO8601", errors="coerce", utc=True).dt.tz_localize(None)
    dates = dates.to_numpy().astype("datetime64[s]")
    low, high = np.array(["1800", "2100"], dtype="datetime64[s]")
    inside = (seconds >= low.astype("int64")) & (seconds < high.astype("int64"))
    moments = np.where(inside, np.where(inside, seconds, 0).astype("int64").astype("datetime64[s]"), dates)
    return np.where((moments >= low) & (moments < high), moments, np.datetime64("NaT", "s"))


def _hours(offset: str) -> float:
    """ "+05:30" -> 5.5; the old layout has whole hours. NaN for what is neither."""
    found = re.fullmatch(r"([+-]?)(\d{1,2})(?::([0-5]\d))?", offset.strip())
    if not found:
        return np.nan
    hours = int(found[2]) + int(found[3] or 0) / 60
    return np.nan if hours > 14 else -hours if found[1] == "-" else hours


def _split_words(column: pa.Array) -> pa.ListArray:
    words = pc.utf8_split_whitespace(column)
    flat = pc.list_flatten(words)
    kept = pc.not_equal(flat, "")  # "" splits into one empty word
    ends = np.concatenate([[0], np.cumsum(kept.to_numpy(zero_copy_only=False), dtype="int32")])
    return pa.ListArray.from_arrays(
        pa.array(ends[words.offsets.to_numpy()], pa.int32()), flat.filter(kept).cast(pa.string())
    )


def _is_blank(column: pa.Array) -> pa.Array:
    return pc.equal(pc.utf8_trim_whitespace(pc.fill_null(column, "")), "")


def _join(by: str, *parts: pa.Array | str) -> pa.Array:
    parts = [pa.scalar(part, pa.large_string()) if isinstance(part, str) else part for part in (*parts, by)]
    return pc.binary_join_element_wise(*parts)
