"""smp.tracks.video.read against small official files written here, and against the real ones where they are at hand."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from smp.errors import DataError
from smp.paths import ROOT
from smp.tracks.video import read as video

REAL = ROOT.parent / "shared" / "data" / "smpd_video"


def post(number: int, user: int, split: str = "train", **other) -> dict:
    row = {"pid": f"POST{number}", "uid": f"USER{user}", "post_content": "a,b", "post_location": "US"}
    row |= {"post_suggested_words": ["Two words", "c"], "post_text_language": "en"}
    return row | {"video_path": f"{split}/USER{user}/V{number}.mp4", "post_time": "2023-07-29 18:21"} | other


def user(number: int, **other) -> dict:
    return {"uid": f"USER{number}"} | {key: number * 10 + i for i, key in enumerate(video.COUNTS)} | other


def clip(number: int, **other) -> dict:
    row = {"vid": f"V{number}", "pid": f"POST{number}", "uid": "", "video_height": 1024, "video_width": 576}
    row |= {"video_duration": 13, "video_ratio": "540p", "video_format": "mp4", "music_title": f"m{number}"}
    return row | {"music_duration": number} | other


def official(folder: Path, change=lambda files: None) -> Path:
    """Posts 3, 1, 2 in train and 9, 8 in test; other orders elsewhere. `change` edits lists of rows, or bytes."""
    files = {
        "posts_train": [post(3, 1), post(1, 2), post(2, 1)],
        "posts_test": [post(9, 1, "test"), post(8, 5, "test")],
        "users_train": [user(2), user(1)],
        "users_test": [user(1, user_digg_count=7), user(5)],
        "videos_train": [clip(1), clip(2), clip(3)],
        "videos_test": [clip(8), clip(9)],
        "popularity_train": [{"pid": f"POST{i}", "uid": "", "popularity": i + 0.25} for i in (1, 2, 3)],
    }
    change(files)
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        if isinstance(content, list):
            content = "".join(f"{json.dumps(row)}\n" for row in content).encode()
        (folder / f"SMP-Video_anonymized_{name}.jsonl").write_bytes(content)
    return folder


def read(folder: Path, change=lambda files: None):
    data, quirks = video.read(official(folder, change))
    return data.items.assign(label=data.labels), quirks


def test_table(tmp_path):
    posts, quirks = read(tmp_path)
    assert posts.index.tolist() == ["POST3", "POST1", "POST2", "POST9", "POST8"]
    assert posts.index.name == "post_id"
    assert posts["split"].tolist() == ["train"] * 3 + ["test"] * 2
    assert posts["split"].cat.categories.tolist() == ["train", "test"]
    assert posts["user_id"].tolist() == ["USER1", "USER2", "USER1", "USER1", "USER5"]
    np.testing.assert_array_equal(posts["label"], [3.25, 1.25, 2.25, np.nan, np.nan])
    assert posts["time"].dtype == "datetime64[s, UTC]"
    assert set(posts["time"]) == {pd.Timestamp("2023-07-29 18:21", tz="UTC")}
    assert set(posts["post_content"]) == {"a,b"} and set(posts["title"]) == {"a b"}
    assert str(posts["tags"].dtype) == "list<item: string>[pyarrow]"
    assert list(posts["tags"].iloc[0]) == ["Two words", "c"]
    assert posts["vid"].tolist() == ["V3", "V1", "V2", "V9", "V8"]
    assert posts["music_duration"].tolist() == [3, 1, 2, 9, 8] and posts["music_duration"].dtype == "float32"
    assert posts["music_title"].iloc[1] == "m1" and set(posts["video_ratio"]) == {"540p"}
    assert posts["user_following_count"].tolist() == [10, 20, 10, 10, 50]
    assert posts["user_digg_count"].tolist() == [14, 24, 14, 7, 54]  # each split's own snapshot
    assert posts["video_path"].iloc[3] == "test/USER1/V9.mp4"
    assert posts[["category", "subcategory", "concept"]].isna().all(axis=None)
    assert posts[["category", "post_location", "video_format"]].dtypes.eq("category").all()
    assert quirks == {}


def test_spellings(tmp_path):
    def spell(files):
        files["posts_train"][0] |= {"post_content": ["a", "b"], "post_time": "2023-07-29 18:21:00"}
        files["posts_train"][1] |= {"post_content": "", "post_suggested_words": [], "post_location": "NA"}
        files["posts_train"][2] |= {"post_content": None, "post_suggested_words": None, "post_location": None}
        files["videos_test"] = b"\xef\xbb\xbf" + "\r\n".join(json.dumps(row) for row in files["videos_test"]).encode()
        files["videos_train"] = (
            json.dumps(clip(1)) + "\n" + json.dumps(clip(2, music_title="caf")) + "\n" + json.dumps(clip(3))
        ).encode()
        files["videos_train"] = files["videos_train"].replace(b"caf", b"caf\xe9") + b"\n\n"

    posts, quirks = read(tmp_path, spell)
    assert posts["post_content"].tolist()[:3] == ["a,b", "", ""]
    assert posts["title"].tolist()[:3] == ["a b", "", ""]
    assert [len(words) for words in posts["tags"]] == [2, 0, 0, 2, 2]
    assert posts["post_location"].tolist()[:2] == ["US", "NA"] and pd.isna(posts["post_location"].iloc[2])
    assert posts["time"].nunique() == 1
    assert posts["music_title"].iloc[2] == "caf\ufffd"
    assert quirks == {
        "post_content given as list": 1,
        "post_content empty": 2,
        "suggested words empty": 2,
        "posts located in NA (Namibia)": 1,
        "files with a byte order mark": 1,
        "files with CRLF line ends": 1,
        "files with bytes that are not UTF-8": 1,
    }


def test_words_given_in_other_ways_are_counted(tmp_path):
    def spell(files):
        files["posts_train"][0] |= {"post_content": [None, "a"], "post_suggested_words": '["x, y", "z"]'}
        files["posts_train"][1] |= {"post_content": '["b", null]', "post_suggested_words": "[no list], u"}
        files["popularity_train"][0].pop("uid")
        files["popularity_train"][1]["uid"], files["videos_train"][1]["uid"] = "USER1", "USER1"

    posts, quirks = read(tmp_path, spell)
    assert posts["post_content"].tolist()[:2] == ["a", "b"]
    assert [list(words) for words in posts["tags"][:2]] == [["x, y", "z"], ["[no list]", " u"]]
    assert quirks == {
        "post_content given as list": 2,
        "post_content given as a list in quotes": 1,
        "post_content: nulls among the words left out": 2,
        "post_suggested_words given as a list in quotes": 1,
    }


def test_users(tmp_path):
    def users(files):
        overflown = user(1, user_likes_count=-1889934592, user_heart_count=-2, user_digg_count=-1)
        files["users_train"] = [overflown, overflown, user(2), user(2, user_digg_count=0)]
        files["users_test"].pop()

    posts, quirks = read(tmp_path, users)
    assert len(posts) == 5
    assert posts["user_likes_count"].tolist()[0] == 2_405_032_704
    assert posts["user_heart_count"].tolist()[0] == 2**32 - 2
    assert np.isnan(posts["user_digg_count"].iloc[0]), "-1 says that no number is given"
    assert posts["user_digg_count"].tolist()[1] == 24
    assert posts[list(video.COUNTS)].iloc[4].isna().all()
    assert quirks == {
        "duplicate user rows dropped": 1,
        "conflicting user rows dropped (first kept)": 1,
        "user counts repaired by +2^32": 2,
        "user_digg_count missing": 1,
        "posts without user row": 1,
    }


def test_videos(tmp_path):
    def videos(files):
        files["videos_train"] = [clip(1), clip(3), clip(3, video_ratio="720p")]

    posts, quirks = read(tmp_path, videos)
    assert posts["video_ratio"].iloc[0] == "540p" and len(posts) == 5
    lost = posts.loc["POST2"]
    assert pd.isna(lost["video_height"]) and pd.isna(lost["video_ratio"])
    assert lost["music_title"] == "" and lost["video_path"] == "train/USER1/V2.mp4"
    assert quirks == {"duplicate video rows dropped": 1, "posts without video row": 1}


def test_one_level_deeper(tmp_path):
    expected = read(tmp_path / "plain")[0]
    official(tmp_path / "data" / "SMP-Video")
    again = video.read(tmp_path / "data")[0]
    pd.testing.assert_frame_equal(again.items.assign(label=again.labels), expected)


def put(name, row, key, value):
    return lambda files: files[name][row].__setitem__(key, value)


def broken(files):
    files["users_train"] = b'{"uid": "USER1"}\n'


FAULTS = {
    "missing file": (lambda f: f.pop("videos_test"), ["missing", "videos_test.jsonl"]),
    "missing labels": (lambda f: f.pop("popularity_train"), ["missing", "popularity_train.jsonl"]),
    "empty file": (lambda f: f.update(posts_test=b""), ["posts_test.jsonl", "line 1"]),
    "broken line": (
        lambda f: f.update(videos_test=json.dumps(clip(9)).encode() + b'\n{"vid": "V8", "pi'),
        ["videos_test.jsonl", "line 2", "truncated or invalid JSON"],
    ),
    "no object": (lambda f: f.update(videos_test=b"[1]\n"), ["videos_test.jsonl", "line 1", "no JSON object"]),
    "missing key": (broken, ["users_train.jsonl", "line 1", "'user_following_count'"]),
    "no id": (put("videos_train", 1, "pid", None), ["videos_train.jsonl", "line 2", "pid"]),
    "list for number": (put("videos_train", 1, "video_height", [1]), ["videos_train.jsonl", "line 2", "video_height"]),
    "missing label": (lambda f: f["popularity_train"].pop(), ["popularity_train", "no label", "POST3"]),
    "unknown label": (put("popularity_train", 1, "pid", "POST7"), ["popularity_train", "line 2", "POST7"]),
    "label twice": (put("popularity_train", 1, "pid", "POST1"), ["popularity_train", "line 2", "POST1", "line 1"]),
    "label 0": (put("popularity_train", 2, "popularity", 0), ["popularity_train", "line 3", "above 0"]),
    "label null": (put("popularity_train", 0, "popularity", None), ["popularity_train", "line 1", "None"]),
    "label a word": (put("popularity_train", 0, "popularity", "high"), ["popularity_train", "line 1", "'high'"]),
    "label infinite": (put("popularity_train", 0, "popularity", "inf"), ["popularity_train", "line 1", "'inf'"]),
    "twice": (put("posts_train", 2, "pid", "POST3"), ["posts_train", "line 3", "POST3", "twice", "line 1"]),
    "in both splits": (put("posts_test", 1, "pid", "POST1"), ["posts_test", "line 2", "POST1", "train too (line 2)"]),
    "no date": (put("posts_test", 1, "post_time", "soon"), ["posts_test", "line 2", "'soon'"]),
    "video above": (put("posts_test", 0, "video_path", "a/../../b"), ["posts_test", "line 1", "no path inside"]),
    "video absolute": (put("posts_test", 0, "video_path", "/etc/passwd"), ["posts_test", "line 1", "no path inside"]),
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


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no real SMPD-Video files in {REAL}")
def test_real_files():
    """Facts taken from the files with a plain JSON parser."""
    data, quirks = video.read(REAL)
    posts = data.items.assign(label=data.labels)
    lines = {name: (REAL / f"SMP-Video_anonymized_{name}.jsonl").read_text("utf-8").splitlines() for name in NAMES}
    rows = {name: [json.loads(line) for line in part] for name, part in lines.items()}
    assert posts.index.tolist() == [row["pid"] for name in NAMES[:2] for row in rows[name]]
    labels = {row["pid"]: row["popularity"] for row in rows["popularity_train"]}
    assert posts["label"].dropna().to_dict() == labels
    assert posts[list(video.COUNTS)].notna().all(axis=None) and (posts[list(video.COUNTS)] >= 0).all(axis=None)
    negative = sum(row[key] < 0 for uid, row in unique(rows, "users_train").items() for key in video.COUNTS)
    negative += sum(row[key] < 0 for uid, row in unique(rows, "users_test").items() for key in video.COUNTS)
    assert quirks["user counts repaired by +2^32"] == negative
    users = [len(rows[name]) - len(unique(rows, name)) for name in ("users_train", "users_test")]
    assert quirks["duplicate user rows dropped"] == sum(users)
    assert quirks["posts located in NA (Namibia)"] == sum(row["post_location"] == "NA" for row in rows["posts_train"])
    assert posts["post_location"].eq("NA").any()


NAMES = ("posts_train", "posts_test", "users_train", "users_test", "popularity_train")


def unique(rows: dict, name: str) -> dict:
    return {row["uid"]: row for row in rows[name]}
