"""SMPD-Image: the official files of both layouts -> the data of the image track."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from smp.disk import pictures
from smp.errors import DataError
from smp.tracks import official
from smp.tracks.base import Data, NewPosts
from smp.tracks.official import count, first, is_blank, moments, numbers

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
DESCRIPTIONS = ("user_description", "location_description")  # text; in the old layout 399 and 400 floats a post
NEW_NAMES = {  # 2024 and later
    "additional": "{}_additional_information.json",
    "category": "{}_category.json",
    "text": "{}_text.json",
    "place": "{}_temporalspatial_information.json",
    "user": "{}_user_data.json",
    "images": "{}_img_filepath.txt",
    "label": "{}_label.txt",
}
OLD_NAMES = {  # 2019-2023
    "additional": "{}_additional.json",
    "category": "{}_category.json",
    "text": "{}_tags.json",
    "place": "{}_temporalspatial.json",
    "user": "{}_userdata.json",
    "images": "{}_img.txt",
    "label": "{}_label.txt",
}
LAYOUTS = (("{}_allmetadata_json", NEW_NAMES), ("{}_all_json", OLD_NAMES))  # the folder as unpacked, the files
FLAGS = ("Ispublic", "ispro", "canbuypro")  # true stands for 1
VECTOR = r"^\s*-?\d[\d.eE+-]*(?:\s*,\s*-?\d[\d.eE+-]*){50}"  # descriptions of the old layout: 400 numbers a post


def files(folder: Path) -> list[Path]:
    """The official files that `read` reads. Raises DataError that lists all missing ones."""
    return [path for of_split in _locate(folder).values() for path in of_split.values()]


def read(folder: Path) -> tuple[Data, dict[str, int]]:
    """The posts, train before test in official row order, and how often each quirk of the files was met.

    Both layouts are read, each split in whichever it is found, and each file wherever it lies below `folder`. Raises
    DataError naming file and row (counted from 1) for whatever would make the rows wrong; no picture is opened here.
    """
    return _read(folder, SPLITS)


def read_new(folder: Path) -> tuple[Data, dict[str, int]]:
    """The same of a folder that holds the test split's files alone, or of whose files no other are read."""
    return _read(folder, ("test",))


def _read(folder: Path, splits: Sequence[str]) -> tuple[Data, dict[str, int]]:
    quirks: Counter[str] = Counter()
    found = _locate(folder, splits, quirks)
    raw = pa.concat_tables([_read_split(folder, split, found[split], quirks) for split in splits]).combine_chunks()
    ids, listed, of = raw["Pid"].to_pandas(), raw["image_path"].combine_chunks(), raw["split"].to_pandas().to_numpy()
    official.check_unique([(found[split]["additional"], ids[of == split]) for split in splits], "row", AGAIN)
    by_split = {split: listed.filter(pa.array(of == split)) for split in splits}
    placed = official.placed(folder, by_split, pictures.SUFFIXES, quirks, "pictures", AGAIN)
    raw = raw.set_column(raw.schema.get_field_index("image_path"), "image_path", pa.concat_arrays(placed))
    labels = raw["label"].to_numpy()
    return Data(_posts(raw, found, quirks), labels), {name: int(n) for name, n in quirks.items() if n}


# --- which files ---


def _locate(folder: Path, splits: Sequence[str] = SPLITS, quirks: Counter | None = None) -> dict[str, dict[str, Path]]:
    """Paths of every file by split and role, each wherever it lies. Raises DataError that lists all missing ones."""
    found, located, missing = official.index(folder), {}, []
    for split in splits:
        layouts = [(home, {role: name.format(split) for role, name in names.items()}) for home, names in LAYOUTS]
        home, names = max(layouts, key=lambda layout: sum(name.lower() in found for name in layout[1].values()))
        if names["images"] not in found and f"{split}_imgfile.txt" in found:
            names["images"] = f"{split}_imgfile.txt"
        if split == "test":
            del names["label"]
        located[split] = official.locate(found, names, SITE, quirks)
        absent = [name for role, name in names.items() if role not in located[split]]
        if len(absent) == len(names):
            missing.append(f"{home.format(split)}/{absent[0]} and the {len(absent) - 1} files beside it")
        else:
            missing += absent
    if missing:
        raise official.missing(folder, found, missing, SITE)
    return located


def _is_old(files: dict[str, Path]) -> bool:
    return files["text"].name.lower().endswith("_tags.json")


# --- one split, everything as text, the files' rows aligned ---


def _read_split(folder: Path, split: str, files: dict[str, Path], quirks: Counter) -> pa.Table:
    columns: dict[str, pa.Array] = {}
    for role, keys in KEYS.items():
        path, part = files[role], None
        if role == "user" and _is_old(files):  # 8 KB of floats a post, which nothing reads
            part = [row | dict.fromkeys(DESCRIPTIONS) for row in official.stream_json(path, quirks, AGAIN)]
        part = _columns(path, keys, quirks, optional=("Uid", "Pid") if role == "user" else (), table=part)
        for key in ("Pid", "Uid"):
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
            is_vector = pc.fill_null(pc.match_substring_regex(columns[key], VECTOR), False)
            quirks[f"{key} given as a vector"] += count(is_vector)
            columns[key] = pc.if_else(pc.or_(is_vector, official.is_not_given(columns[key])), "", columns[key])
            quirks[f"{key} missing"] += count(is_blank(columns[key]))
    columns["image_path"] = _image_paths(folder, split, files["images"], columns, quirks)
    columns["label"] = _labels(files["label"], rows, quirks) if split == "train" else pa.nulls(rows, pa.float64())
    columns["split"] = pa.array([split] * rows)
    return pa.table(columns)


def _columns(path: Path, keys: tuple, quirks: Counter, optional: tuple = (), table=None) -> dict[str, pa.Array]:
    """The named columns as text (missing = null), from an array of rows or from pandas' dict of columns."""
    table = official.read_json(path, quirks, AGAIN) if table is None else table
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
            columns[key] = official.ids(values, f"{path}: row", key, quirks, AGAIN)
        else:
            columns[key] = official.texts(values, f"{path}: row", key, quirks, AGAIN, key in FLAGS)
        if key in FLAGS:
            columns[key] = _flags(columns[key])
    lengths = {len(column) for column in columns.values()}
    if len(lengths) > 1:
        raise DataError(f"{path}: columns of different lengths ({', '.join(map(str, sorted(lengths)))}); {AGAIN}")
    return columns


def _flags(column: pa.Array) -> pa.Array:
    """1 and 0 where the words true and false stand for them."""
    words = pc.utf8_lower(pc.utf8_trim_whitespace(column))
    return pc.if_else(pc.equal(words, "true"), "1", pc.if_else(pc.equal(words, "false"), "0", column))


def _check_same_rows(ids: pa.Array, others: pa.Array, path: Path, reference: Path, key: str) -> None:
    if len(others) != len(ids):
        raise DataError(f"{path}: {len(others):,} posts, {reference.name} has {len(ids):,}; {AGAIN}")
    if (row := first(pc.not_equal(ids, others))) is not None:
        raise DataError(
            f"{path}: row {row + 1} has {key} {others[row]} where {reference.name} has {ids[row]}: "
            f"the files must list the posts in one order; {AGAIN}"
        )


def _lines(path: Path, quirks: Counter) -> list[str]:
    lines = [line.decode().strip() for line in official.read_lines(path, quirks, AGAIN)]
    return lines if lines != [""] else []


def _labels(path: Path, rows: int, quirks: Counter) -> pa.Array:
    lines, above = official.without_header(_lines(path, quirks), rows, _is_number, quirks, "the labels")
    if len(lines) != rows:
        raise DataError(f"{path}: {len(lines):,} labels for {rows:,} train posts; {AGAIN}")
    labels = pd.to_numeric(pd.Series(lines, dtype="str"), errors="coerce").to_numpy(dtype="float64")
    if (row := first(~np.isfinite(labels))) is not None:
        raise DataError(f"{path}: row {row + above + 1}: label {_short(lines[row])} is not a finite number; {AGAIN}")
    low, high = LABELS
    if (row := first((labels < low) | (labels > high))) is not None:
        where = f"{path}: row {row + above + 1}"
        raise DataError(f"{where}: label {_short(lines[row])} is outside {low:g}..{high:g}; {AGAIN}")
    return pa.array(labels)


def _is_number(text: str) -> bool:
    return bool(pd.notna(pd.to_numeric(text, errors="coerce")))


def _short(value: object) -> str:
    return f"{value!r:.40}"


def _image_paths(folder: Path, split: str, path: Path, columns: dict[str, pa.Array], quirks: Counter) -> pa.Array:
    """Paths relative to `folder`, <split>/<Uid>/<Pid> with an ending, as the files list them."""
    pids, rows = columns["Pid"], len(columns["Pid"])
    lines = _lines(path, quirks)
    lines, above = official.without_header(lines, rows, lambda line: "/" in line or "\\" in line, quirks, "image paths")
    listed = pa.array(lines, pa.large_string())
    if len(listed) != rows:
        raise DataError(f"{path}: {len(listed):,} lines for {rows:,} posts; {AGAIN}")
    paths = official.tidied(listed, quirks)
    stem = _join("/", split, columns["Uid"], pids)
    url = pc.match_substring_regex(paths, "^https?://")
    quirks["image list holds web addresses"] += count(url)
    page = r"^https?://.*/photos/[^/]+/(\d+)/?$"
    of_page = pc.replace_substring_regex(paths, page, r"\1")
    other = pc.and_(pc.match_substring_regex(paths, page), pc.not_equal(of_page, pids))
    paths = pc.if_else(url, _join("", stem, ".jpg"), paths)
    official.check_paths(paths, listed, f"{path}: row", folder, AGAIN, above)
    whole = rf"^(?:.*/)?(?i:{split})/([^/]+/[^/]+)$"
    in_split = pc.match_substring_regex(paths, whole)
    plain = pc.replace_substring_regex(paths, whole, rf"{split}/\1")
    quirks["zip prefix stripped from image path"] += count(pc.not_equal(plain, paths))
    no_ending = pc.replace_substring_regex(plain, r"\.[^./]*$", "")
    last = pc.replace_substring_regex(no_ending, "^.*/", "")
    other = pc.or_(other, pc.if_else(in_split, pc.not_equal(no_ending, stem), pc.not_equal(last, pids)))
    if (row := first(other)) is not None:
        raise DataError(
            f"{path}: row {row + above + 1} is {_short(lines[row])} where the metadata have {stem[row]}: "
            f"the files must list the posts in one order; {AGAIN}"
        )
    return plain


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

    splits = raw["split"].combine_chunks()
    has_train = pc.any(pc.equal(splits, "train")).as_py()

    def category(key: str) -> pa.DictionaryArray:
        values = pc.utf8_trim_whitespace(raw[key].combine_chunks())
        values = pc.if_else(official.is_not_given(values), None, values)
        missing(key, pc.is_null(values))
        known = pc.is_in(values, value_set=values.filter(pc.equal(splits, "train")).unique())
        quirks[f"{key} unseen in train"] += has_train and count(pc.and_(pc.is_valid(values), pc.invert(known)))
        return values.dictionary_encode()

    def number(key: str) -> np.ndarray:
        values = numbers(text(key).to_pandas())
        values = np.where((values >= COUNTS[0]) & (values <= COUNTS[1]), values, np.nan)
        missing(key, np.isnan(values))
        return values

    def float32(values: np.ndarray) -> pa.Array:
        return pa.array(values.astype("float32"), from_pandas=True)

    def moment(key: str, zone: str | None = None, oldest: np.datetime64 | str = "0001") -> pa.Array:
        values = moments(text(key).to_pandas())
        early, late = values < np.datetime64(oldest, "s"), values > time.max()
        quirks[f"{key} before the first web page"] += count(early)
        quirks[f"{key} after the last post"] += count(late)
        values = np.where(early | late, np.datetime64("NaT", "s"), values)
        missing(key, np.isnat(values))
        return pa.array(values, pa.timestamp("s", tz=zone))

    time = moments(text("Postdate").to_pandas())
    if (row := first(~(time > official.OLDEST))) is not None:  # NaT is not later either
        split, number_in_file = _place(raw, row)
        value = _short(raw["Postdate"][row].as_py())
        raise DataError(f"{files[split]['place']}: row {number_in_file}: Postdate {value} is no date; {AGAIN}")
    quirks["Postdate in the future"] += count(time > np.datetime64("now"))

    pathalias = pc.if_else(official.is_not_given(text("Pathalias")), "", text("Pathalias"))
    quirks["Pathalias None"] += count(pc.equal(pathalias, ""))
    quirks["titles empty"] += count(pc.equal(pc.utf8_trim_whitespace(text("Title")), ""))
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
            "photo_firstdate": moment("photo_firstdate", "UTC", official.OLDEST),
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


def _hours(offset: str) -> float:
    """ "+05:30", "+0530" and "5.5" -> 5.5; the old layout has whole hours. NaN for what is none of them."""
    found = re.fullmatch(r"([+-]?)(\d{1,2})(?::?([0-5]\d)|(\.\d*))?", offset.strip())
    if not found:
        return np.nan
    hours = float(found[2] + (found[4] or "")) + int(found[3] or 0) / 60
    return np.nan if hours > 14 else -hours if found[1] == "-" else hours


def _split_words(column: pa.Array) -> pa.ListArray:
    words = pc.utf8_split_whitespace(column)
    flat = pc.list_flatten(words)
    kept = pc.not_equal(flat, "")  # "" splits into one empty word
    ends = np.concatenate([[0], np.cumsum(kept.to_numpy(zero_copy_only=False), dtype="int32")])
    return pa.ListArray.from_arrays(
        pa.array(ends[words.offsets.to_numpy()], pa.int32()), flat.filter(kept).cast(pa.string())
    )


def _join(by: str, *parts: pa.Array | str) -> pa.Array:
    parts = [pa.scalar(part, pa.large_string()) if isinstance(part, str) else part for part in (*parts, by)]
    return pc.binary_join_element_wise(*parts)


# --- posts that are in no split ---


def _complete(items: pd.DataFrame) -> pd.DataFrame:
    """A place without an accuracy is exact; one outside the globe is none."""
    latitude, longitude = items["latitude"], items["longitude"]
    located = (latitude.abs() <= 90) & (longitude.abs() <= 180)
    given = items["geoaccuracy"].where(items["geoaccuracy"] > 0, 16)
    return items.assign(
        latitude=latitude.where(located),
        longitude=longitude.where(located),
        geoaccuracy=np.where(located, given, 0).clip(0, 16).astype("int8"),
    )


NEW_POSTS = NewPosts(
    read=read_new,
    columns={
        **{key: key.lower() for keys in KEYS.values() for key in keys},
        **{"Pid": "post_id", "Uid": "user_id", "Postdate": "time", "Tile": "title", "Alltags": "tags"},
    },
    account=("pathalias", *KEYS["user"]),
    media="image_path",
    complete=_complete,
)
