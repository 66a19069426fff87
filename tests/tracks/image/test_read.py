"""smp.tracks.image.read against small official-layout files written here, quirk by quirk and fault by fault."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from smp.errors import DataError
from smp.tracks import official
from smp.tracks.image import read as image

TRAIN = [  # Uid, Pid, Title, Alltags, Postdate, latitude, longitude, accuracy, label
    ("59@N75", "775", "Sunset", "sea sky", "1425139200", "48.85", "2.35", "16", "10.50"),
    ("59@N75", "800", "", "", "1425139300", "", "", "0", "1.00"),
    ("7@N01", "1001", "été 夏", " a  b\tc ", "1425139400", "10", "20", "0", "2.58"),
    ("8@N01", "1002", "x", "x", "1425139500", "0", "0", "0", "3.00"),
]
TEST = [
    ("59@N75", "1116", "Later", "sea", "1453048622", "-33.9", "151.2", "12", None),
    ("9@N02", "1120", "y", "y z", "1453048623", "0", "0", "0", None),
]


def rows(posts, **columns):
    return [{"Uid": post[0], "Pid": post[1]} | {key: post[at] for key, at in columns.items()} for post in posts]


def write(folder: Path, change=lambda files: None, old: bool = False) -> Path:
    """Write both splits in the official layout; `change` edits the files (JSON values, lists of lines or bytes)."""
    files = {}
    for split, posts in (("train", TRAIN), ("test", TEST)):
        n = len(posts)
        user = {
            "photo_firstdate": ["1104537600"] * n,
            "photo_count": ["12"] * n,
            "ispro": ["1"] * n,
            "canbuypro": ["0"] * n,
            "timezone_offset": [8] * n if old else ["+05:30"] * n,
            "photo_firstdatetaken": [978307200] * n if old else ["2001-01-01 00:00:00"] * n,
            "timezone_timezone_id" if old else "timezone_id": [3] * n if old else ["Asia/Calcutta"] * n,
            "user_description": [vector(399, i) for i in range(n)] if old else ["I like light"] * n,
            "location_description": [vector(400, i) + "\n" for i in range(n)] if old else ["Delhi, India"] * n,
        }
        if old:
            user = [dict(zip(user, values)) for values in zip(*user.values())]
        else:
            ids = {"Uid": [post[0] for post in posts], "Pid": [post[1] for post in posts]}
            user = {key: {str(i): v for i, v in enumerate(values)} for key, values in (ids | user).items()}
        category = {"Category": "Whether&Season", "Subcategory": "Snow", "Concept": "ski"}
        additional = {"Pathalias": "None", "Ispublic": "1", "Mediastatus": "ready"}
        files |= {
            (split, "additional"): [row | additional for row in rows(posts)],
            (split, "category"): [row | category for row in rows(posts)],
            (split, "text"): [row | {"Mediatype": "photo"} for row in rows(posts, Title=2, Alltags=3)],
            (split, "place"): rows(posts, Postdate=4, Latitude=5, Longitude=6, Geoaccuracy=7),
            (split, "user"): user,
            (split, "images"): [
                f"https://www.flickr.com/photos/{p[0]}/{p[1]}" if old else f"{split}/{p[0]}/{p[1]}.jpg" for p in posts
            ],
        }
    files["train", "label"] = [post[8] for post in TRAIN]
    change(files)
    names = image.OLD_NAMES if old else image.NEW_NAMES
    for (split, role), content in files.items():
        home = folder / (f"{split}_all_json" if old else f"{split}_allmetadata_json")
        home.mkdir(parents=True, exist_ok=True)
        path = home / names[role].format(split)
        if old and (split, role) == ("test", "images"):
            path = home / "test_imgfile.txt"
        if role in ("images", "label") and isinstance(content, list):
            content = "".join(f"{line}\n" for line in content).encode()
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return folder


def vector(width: int, row: int) -> str:
    """Row 1 is missing; the others count up from the row's number."""
    return ",".join("0.0" if row == 1 else str((row + i) / 8) for i in range(width))


@pytest.fixture(params=["new", "old"])
def old(request):
    return request.param == "old"


def table(folder):
    data = image.read(folder)[0]
    return data.items.assign(label=data.labels)


def read(folder: Path, change=lambda files: None, old: bool = False):
    data, quirks = image.read(write(folder, change, old))
    return data.items.assign(label=data.labels), quirks


def same(posts: pd.DataFrame, other: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(posts, other)


# --- what is read ---


def test_table_in_both_layouts(tmp_path, old):
    posts, quirks = read(tmp_path, old=old)
    assert posts.index.name == "post_id"
    assert posts.index.tolist() == ["775", "800", "1001", "1002", "1116", "1120"]
    assert posts["split"].tolist() == ["train"] * 4 + ["test"] * 2
    assert posts["split"].cat.categories.tolist() == ["train", "test"]
    assert posts["user_id"].tolist() == ["59@N75", "59@N75", "7@N01", "8@N01", "59@N75", "9@N02"]
    assert posts["title"].tolist() == ["Sunset", "", "été 夏", "x", "Later", "y"]
    tags = [["sea", "sky"], [], ["a", "b", "c"], ["x"], ["sea"], ["y", "z"]]
    assert [list(words) for words in posts["tags"]] == tags
    assert str(posts["tags"].dtype) == "list<item: string>[pyarrow]"
    assert posts["time"].dtype == "datetime64[s, UTC]"
    assert posts["time"].iloc[0] == pd.Timestamp("2015-02-28 16:00:00", tz="UTC")
    np.testing.assert_array_equal(posts["label"], [10.5, 1, 2.58, 3, np.nan, np.nan])
    np.testing.assert_array_equal(posts["latitude"], np.float32([48.85, np.nan, np.nan, np.nan, -33.9, np.nan]))
    np.testing.assert_array_equal(posts["longitude"], np.float32([2.35, np.nan, np.nan, np.nan, 151.2, np.nan]))
    assert posts["geoaccuracy"].tolist() == [16, 0, 0, 0, 12, 0] and posts["geoaccuracy"].dtype == "int8"
    assert posts["image_path"].tolist()[::5] == ["train/59@N75/775.jpg", "test/9@N02/1120.jpg"]
    for key, value in {"category": "Whether&Season", "subcategory": "Snow", "concept": "ski", "ispublic": "1"}.items():
        assert posts[key].dtype == "category" and set(posts[key]) == {value}
    assert set(posts["mediastatus"]) == {"ready"} and set(posts["mediatype"]) == {"photo"}
    assert set(posts["pathalias"]) == {""}
    assert posts["photo_firstdate"].iloc[0] == pd.Timestamp("2005-01-01", tz="UTC")
    assert posts["photo_firstdatetaken"].iloc[0] == pd.Timestamp("2001-01-01")
    assert posts["photo_firstdatetaken"].dtype == "datetime64[s]"
    assert set(posts["photo_count"]) == {12} and set(posts["ispro"]) == {1} and set(posts["canbuypro"]) == {0}
    assert set(posts["timezone_offset"]) == {8.0 if old else 5.5}
    assert set(posts["timezone_id"]) == {"3" if old else "Asia/Calcutta"}
    assert set(posts["user_description"]) == {"" if old else "I like light"}
    assert set(posts["location_description"]) == {"" if old else "Delhi, India"}
    for key in ("latitude", "photo_count", "ispro", "canbuypro", "timezone_offset"):
        assert posts[key].dtype == "float32"
    expected = {"titles empty": 1, "tags empty": 1, "coordinates missing": 4, "Geoaccuracy 0": 4, "Pathalias None": 6}
    expected |= {"Category spelt Whether&Season": 6}
    old_only = {"descriptions given as vectors": 6, "image list holds web addresses": 6}
    assert quirks == expected | (old_only if old else {})


def test_train_and_test_may_differ_in_layout(tmp_path):
    write(tmp_path)
    write(tmp_path / "older", old=True)
    for path in (tmp_path / "test_allmetadata_json").iterdir():
        path.unlink()
    (tmp_path / "older" / "test_all_json").rename(tmp_path / "test_all_json")
    posts = image.read(tmp_path)[0].items
    assert posts["timezone_offset"].tolist() == [5.5] * 4 + [8.0] * 2


@pytest.mark.parametrize("ids", [True, False])
def test_user_data_as_rows(tmp_path, ids):
    def as_rows(files):
        for split in ("train", "test"):
            columns = files[split, "user"]
            keys = [key for key in columns if ids or key not in ("Uid", "Pid")]
            files[split, "user"] = [dict(zip(keys, row)) for row in zip(*(columns[key].values() for key in keys))]

    same(read(tmp_path / "a", as_rows)[0], read(tmp_path / "b")[0])


def test_old_user_data_as_columns(tmp_path):
    def as_columns(files):
        for split in ("train", "test"):
            table = files[split, "user"]
            files[split, "user"] = {key: {str(i): row[key] for i, row in enumerate(table)} for key in table[0]}

    same(read(tmp_path / "a", as_columns, old=True)[0], read(tmp_path / "b", old=True)[0])


@pytest.mark.parametrize("kind", [int, float])
def test_ids_as_numbers(tmp_path, kind):
    def numeric(files):
        files["train", "user"]["Pid"] = {key: kind(pid) for key, pid in files["train", "user"]["Pid"].items()}
        for row in files["test", "text"]:
            row["Pid"] = kind(row["Pid"])

    posts, quirks = read(tmp_path / "a", numeric)
    same(posts, read(tmp_path / "b")[0])
    assert quirks[f"Pid given as {kind.__name__}"] == 6


def test_other_spellings_and_bytes(tmp_path):
    def odd(files):
        for row in files["train", "text"]:
            row["Tile"] = row.pop("Title")
            row["Extra"] = {"ignored": []}
        files["test", "category"] = b"\xef\xbb\xbf" + json.dumps(files["test", "category"], indent=1).encode().replace(
            b"\n", b"\r\n"
        )
        for role in ("images", "label"):
            files["train", role] = ("\r\n".join(files["train", role]) + "\r\n\r\n").encode()
        files["train", "place"][0]["Postdate"] = 1425139200
        files["train", "place"][1]["Postdate"] = "2015-02-28 16:01:40"
        files["train", "additional"][0] |= {"Ispublic": 1, "Pathalias": None}
        files["train", "place"][0] |= {"Latitude": 48.85, "Geoaccuracy": 16}

    posts, quirks = read(tmp_path / "a", odd)
    same(posts, read(tmp_path / "b")[0])
    assert quirks["Title spelt Tile"] == 4 and quirks["files with a byte order mark"] == 1


def test_bytes_that_are_not_utf8_and_lone_surrogates_are_replaced(tmp_path):
    def bad(files):
        content = json.dumps(files["train", "text"], ensure_ascii=False).encode()
        files["train", "text"] = content.replace(b"Sunset", b"Sun\xffset").replace(b'"x", "M', b'"x\\ud83d", "M')

    posts, quirks = read(tmp_path, bad)
    assert posts["title"].tolist()[:4] == ["Sun\ufffdset", "", "été 夏", "x"]
    assert list(posts["tags"].iloc[3]) == ["x\ufffd"]
    assert quirks["files with bytes that are not UTF-8"] == 1


def test_user_data_that_is_missing(tmp_path):
    def missing(files):
        user = files["train", "user"]
        user["photo_firstdate"] |= {"0": "None", "1": None, "2": "2005-01-01 00:00:00", "3": "nonsense"}
        user["photo_firstdatetaken"] |= {"0": None, "1": "0000-00-00 00:00:00", "2": "1899-12-31 23:59:59"}
        user["timezone_offset"] |= {"0": None, "1": "-03:30", "2": "", "3": "-28800"}
        user["timezone_id"] |= {"0": None, "1": ""}
        user["photo_count"] |= {"0": None, "1": "", "2": 12, "3": 12.0}
        user["ispro"] |= {"0": None, "1": True, "2": False, "3": 1}
        user["user_description"] |= {"0": None, "1": ""}
        user["location_description"] |= {"0": None, "1": "", "2": " "}
        files["train", "category"][0]["Concept"] = ""

    posts, quirks = read(tmp_path, missing)
    train = posts.iloc[:4]
    assert train["photo_firstdate"].isna().tolist() == [True, True, False, True]
    assert train["photo_firstdate"].iloc[2] == pd.Timestamp("2005-01-01", tz="UTC")
    assert train["photo_firstdatetaken"].isna().tolist() == [True, True, False, False]
    np.testing.assert_array_equal(train["timezone_offset"], [np.nan, -3.5, np.nan, np.nan])
    np.testing.assert_array_equal(train["photo_count"], [np.nan, np.nan, 12, 12])
    np.testing.assert_array_equal(train["ispro"], [np.nan, 1, 0, 1])
    assert train["timezone_id"].isna().tolist() == [True, True, False, False]
    assert train["user_description"].tolist() == ["", "", "I like light", "I like light"]
    assert pd.isna(train["concept"].iloc[0])
    counts = {"photo_firstdate": 3, "photo_firstdatetaken": 2, "timezone_offset": 3, "timezone_id": 2, "photo_count": 2}
    counts |= {"ispro": 1, "user_description": 2, "location_description": 3, "Concept": 1}
    for key, count in counts.items():
        assert quirks[f"{key} missing"] == count


def test_offsets_of_time_zones_in_other_spellings(tmp_path):
    def zones(files):
        files["train", "user"]["timezone_offset"] |= {"0": "+0530", "1": "5.0", "2": -5.5}

    posts = read(tmp_path, zones)[0]
    assert posts["timezone_offset"].tolist()[:3] == [5.5, 5, -5.5]


def test_nan_in_user_data(tmp_path):
    def bare_nan(files):
        files["train", "user"]["photo_count"]["0"] = float("nan")  # json.dumps writes NaN

    assert np.isnan(read(tmp_path, bare_nan)[0]["photo_count"].iloc[0])


def test_old_layout_streams_whatever_the_chunk(tmp_path):
    path = tmp_path / "rows.json"
    expected = [{"a": "}],[{", "b": i, "c": [{}], "d": "é夏" * i} for i in range(50)]
    path.write_text(json.dumps(expected, ensure_ascii=False, indent=2), encoding="utf-8")
    for chunk in (1000, 1500, 1 << 20):
        assert list(official.stream_json(path, Counter(), "", chunk)) == expected


# --- where the files lie ---


def test_one_level_deeper(tmp_path):
    expected = read(tmp_path / "plain")[0]
    write(tmp_path / "data" / "SMPD-Image")
    (tmp_path / "data" / "__MACOSX" / "train_allmetadata_json").mkdir(parents=True)
    (tmp_path / "data" / "__MACOSX" / "train_allmetadata_json" / "train_category.json").write_text("junk")
    same(table(tmp_path / "data"), expected)


@pytest.mark.parametrize("listed", [True, False], ids=["prefix in list", "plain list"])
@pytest.mark.parametrize("unpacked", [True, False], ids=["prefix on disk", "plain on disk"])
def test_zip_prefix(tmp_path, listed, unpacked):
    def prefix(files):
        if listed:
            files["train", "images"] = [f"SMP_train_images/{line}" for line in files["train", "images"]]

    home = tmp_path / "SMP_train_images" if unpacked else tmp_path
    picture = home / "train" / "59@N75" / "800.jpg"  # the only one: the others are missing
    picture.parent.mkdir(parents=True)
    picture.touch()
    posts, quirks = read(tmp_path, prefix)
    assert (tmp_path / posts["image_path"].iloc[1]) == picture
    assert posts["image_path"].iloc[4] == "test/59@N75/1116.jpg"
    assert quirks.get("zip prefix stripped from image path", 0) == 4 * listed
    assert quirks.get("pictures found elsewhere than listed", 0) == 4 * unpacked


# --- what is fatal ---


def rename_user_rows(files):
    files["train", "user"]["ispro"] = {"9" + key: value for key, value in files["train", "user"]["ispro"].items()}


def both_splits(files):
    for role in ("additional", "category", "text", "place"):
        files["test", role][1]["Pid"] = "800"
    files["test", "user"]["Pid"]["1"] = "800"
    files["test", "images"][1] = "test/9@N02/800.jpg"


def twice(files):
    for role in ("additional", "category", "text", "place"):
        files["train", role][3] |= {"Pid": "775"}
    files["train", "user"]["Pid"]["3"] = 775
    files["train", "images"][3] = "train/8@N01/775.jpg"


def put(split, role, row, key, value):
    return lambda files: files[split, role][row].__setitem__(key, value)


def drop(split, role, row, key):
    return lambda files: files[split, role][row].pop(key)


def lines(split, role, row, value):
    return lambda files: files[split, role].__setitem__(row, value)


def cut(split, role, byte):
    return lambda files: files.__setitem__((split, role), json.dumps(files[split, role]).encode()[:byte])


FAULTS = {
    "missing file": (lambda f: f.pop(("train", "category")), ["missing", "train_category.json", "smp-challenge.com"]),
    "missing labels": (lambda f: f.pop(("train", "label")), ["missing", "train_label.txt", "smp-challenge.com"]),
    "truncated": (cut("train", "category", 100), ["train_category.json", "truncated", "byte 100"]),
    "truncated columns": (cut("test", "user", 77), ["test_user_data.json", "truncated", "byte 77"]),
    "empty file": (cut("train", "text", 0), ["train_text.json", "truncated", "byte 0"]),
    "no posts": (lambda f: f.update({("test", "text"): []}), ["test_text.json", "no posts"]),
    "rows of what": (lambda f: f.update({("test", "text"): [1, 2]}), ["test_text.json", "row 1", "no JSON object"]),
    "missing key": (drop("train", "category", 2, "Concept"), ["train_category.json", "row 3", "'Concept'"]),
    "missing column": (lambda f: f["train", "user"].pop("ispro"), ["train_user_data.json", "'ispro'", "row 1"]),
    "ragged columns": (lambda f: f["train", "user"]["ispro"].pop("3"), ["train_user_data.json", "'ispro'"]),
    "renamed rows": (rename_user_rows, ["train_user_data.json", "'ispro'", "rows differently"]),
    "list for text": (put("train", "text", 1, "Title", ["a"]), ["train_text.json", "row 2", "Title"]),
    "empty id": (put("train", "text", 1, "Pid", None), ["train_text.json", "row 2", "Pid"]),
    "fewer rows": (lambda f: f["train", "text"].pop(), ["train_text.json", "3 posts", "has 4"]),
    "row order": (lambda f: f["train", "place"].reverse(), ["train_temporalspatial", "row 1", "1002", "775"]),
    "another user": (put("test", "text", 1, "Uid", "0@N00"), ["test_text.json", "row 2", "0@N00", "9@N02"]),
    "another user's id": (lambda f: f["train", "user"]["Pid"].update({"1": 1}), ["train_user_data", "row 2", "800"]),
    "image order": (lambda f: f["train", "images"].reverse(), ["train_img_filepath.txt", "row 1", "train/59@N75/775"]),
    "image lines": (lambda f: f["train", "images"].pop(), ["train_img_filepath.txt", "3 lines for 4 posts"]),
    "image above": (
        lines("train", "images", 1, "../../etc/passwd"),
        ["train_img_filepath.txt", "row 2", "no path ins"],
    ),
    "image hidden above": (lines("train", "images", 1, "../train/59@N75/800.jpg"), ["row 2", "no path inside"]),
    "image absolute": (lines("test", "images", 0, "/etc/passwd"), ["test_img_filepath.txt", "row 1", "no path inside"]),
    "image on a drive": (lines("test", "images", 0, "C:\\x.jpg"), ["test_img_filepath.txt", "row 1", "no path inside"]),
    "fewer labels": (lambda f: f["train", "label"].pop(), ["train_label.txt", "3 labels for 4 train posts"]),
    "NaN label": (lines("train", "label", 2, "nan"), ["train_label.txt", "row 3", "nan"]),
    "infinite label": (lines("train", "label", 0, "inf"), ["train_label.txt", "row 1", "inf"]),
    "empty label": (lines("train", "label", 1, ""), ["train_label.txt", "row 2"]),
    "word as label": (lines("train", "label", 3, "high"), ["train_label.txt", "row 4", "'high'"]),
    "no date": (put("test", "place", 1, "Postdate", "soon"), ["test_temporalspatial", "row 2", "'soon'"]),
    "null date": (put("train", "place", 1, "Postdate", None), ["train_temporalspatial", "row 2", "Postdate"]),
    "milliseconds": (put("train", "place", 0, "Postdate", 1425139200000), ["train_temporalspatial", "row 1"]),
    "twice": (twice, ["train_additional_information.json", "row 4", "775", "twice", "row 1"]),
    "in both splits": (both_splits, ["test_additional_information.json", "row 2", "800", "in train too (row 2)"]),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_fatal(tmp_path, fault):
    change, words = FAULTS[fault]
    with pytest.raises(DataError) as caught:
        read(tmp_path, change)
    message = str(caught.value)
    assert "\n" not in message and str(tmp_path) in message and "smp-challenge.com" in message
    for word in words:
        assert word in message, message


def test_nothing_there(tmp_path):
    with pytest.raises(DataError, match=r"missing train_allmetadata_json/train_additional.* test_allmetadata_json/"):
        image.read(tmp_path / "smpd_image")


def test_no_test_split(tmp_path):
    folder = write(tmp_path / "smpd_image")
    (folder / "test_allmetadata_json").rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match=r"missing test_allmetadata_json/test_additional_information.json"):
        image.read(folder)


def test_overwritten_byte_is_named(tmp_path):
    """Also where bytes before it are no single characters."""

    def overwrite(files):
        content = json.dumps(files["train", "text"], ensure_ascii=False).encode()
        overwrite.at = content.rindex(b'"Alltags"')
        files["train", "text"] = content[: overwrite.at] + b"#" + content[overwrite.at + 1 :]

    with pytest.raises(DataError) as caught:
        read(tmp_path, overwrite)
    assert f"train_text.json: invalid JSON at byte {overwrite.at:,} (" in str(caught.value)


@pytest.mark.parametrize("byte", [30, 500, 5000])
def test_truncated_old_user_data(tmp_path, byte):
    with pytest.raises(DataError, match=f"train_userdata.json: truncated JSON, it ends at byte {byte:,};"):
        read(tmp_path, cut("train", "user", byte), old=True)


@pytest.mark.parametrize("chunk", [100, 1 << 20])
def test_overwritten_byte_is_named_when_streaming(tmp_path, chunk):
    path = tmp_path / "rows.json"
    content = json.dumps([{"a": "é", "b": i} for i in range(100)], ensure_ascii=False).encode()
    at = content.index(b'"b": 70')
    path.write_bytes(content[:at] + b"#" + content[at + 1 :])
    with pytest.raises(DataError, match=rf"rows.json: invalid JSON at byte {at:,} \("):
        list(official.stream_json(path, Counter(), "", chunk))


def test_old_user_data_of_another_length(tmp_path):
    with pytest.raises(DataError, match=r"train_userdata.json: 3 posts, train_additional.json has 4"):
        read(tmp_path, lambda files: files["train", "user"].pop(), old=True)


def test_old_ids_that_climb(tmp_path):
    def climb(files):
        for role in ("additional", "category", "text", "place"):
            files["train", role][0]["Uid"] = "../.."

    with pytest.raises(DataError, match="no path inside"):
        read(tmp_path, climb, old=True)
