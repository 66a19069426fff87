"""python -m smp.check on small official files written here."""

import json
import shutil
import subprocess
import sys

import pytest
from PIL import Image

from smp import check, tracks
from smp.tracks.base import Data
from smp.tracks.image import read as image
from smp.tracks.video import read as video

IMAGE = {
    "additional_information": {"Pathalias": "None", "Ispublic": "1", "Mediastatus": "ready"},
    "category": {"Category": "Travel", "Subcategory": "Sea", "Concept": "boat"},
    "text": {"Title": "", "Mediatype": "photo", "Alltags": "a b"},
    "temporalspatial_information": {"Postdate": "1425139200", "Latitude": "", "Longitude": "", "Geoaccuracy": "0"},
    "user_data": dict.fromkeys(image.KEYS["user"]),
}


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Input folder with 4 image posts (3 train, 1 test) and 2 video posts."""
    monkeypatch.setenv("SMP_INPUT", str(tmp_path / "input"))
    monkeypatch.setenv("SMP_OUTPUT", str(tmp_path / "output"))
    root = tmp_path / "input" / "smpd_image"
    for split, posts in {"train": ("u/1", "u/2", "v/3"), "test": ("w/4",)}.items():
        home = root / f"{split}_allmetadata_json"
        home.mkdir(parents=True)
        ids = [dict(zip(("Uid", "Pid"), post.split("/"))) for post in posts]
        for name, values in IMAGE.items():
            (home / f"{split}_{name}.json").write_text(json.dumps([row | values for row in ids]))
        (home / f"{split}_img_filepath.txt").write_text("".join(f"{split}/{post}.jpg\n" for post in posts))
    (root / "train_allmetadata_json" / "train_label.txt").write_text("1.00\n2.50\n16.00\n")
    (root / "train" / "u").mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(root / "train" / "u" / "1.jpg")
    (root / "train" / "u" / "2.jpg").touch()

    root = tmp_path / "input" / "smpd_video"
    root.mkdir()
    for split, pid in (("train", "A"), ("test", "B")):
        post = dict.fromkeys(video.POSTS, "") | {"pid": pid, "uid": "u", "post_time": "2023-01-01 00:00"}
        tables = {"posts": post, "users": {"uid": "u"} | dict.fromkeys(video.COUNTS, -2)}
        tables["videos"] = dict.fromkeys(video.VIDEOS, 1) | {"pid": pid}
        for name, row in tables.items():
            (root / f"SMP-Video_anonymized_{name}_{split}.jsonl").write_text(json.dumps(row))
    label = json.dumps({"pid": "A", "popularity": 9.5})
    (root / "SMP-Video_anonymized_popularity_train.jsonl").write_text(label)
    (root / "features").mkdir()
    for name in ("audio.parquet", "face_audio.parquet", "mvp.parquet", "more.csv"):
        (root / "features" / name).touch()
    return tmp_path / "input"


def test_everything_is_reported(folders, capsys):
    assert check.main([]) == 0
    told = capsys.readouterr()
    assert told.err == "" or "FATAL" not in told.err
    for words in (
        f"image: official data in {folders / 'smpd_image'}",
        "3 train, 1 test",
        "titles empty: 4",
        "coordinates missing: 4",
        "1 ok, 2 missing, 1 unreadable",
        "v/3.jpg; get it from https://smp-challenge.com",
        "u/2.jpg",
        "2 train, 1 test, 0 in both",
        "100.0% of test posts are by users unseen",
        "1.00 to 16.00, mean 6.500",
        "2015-02-28 16:00 to 2015-02-28 16:00 UTC",
        f"video: official data in {folders / 'smpd_video'}",
        "user counts repaired by +2^32: 14",
        "0 of 2 files there",
        "audio.parquet, face_audio.parquet, more.csv (not read: no .parquet), mvp.parquet (refused: named like",
        "1 train, 1 test, 1 in both",
        "9.50 to 9.50",
    ):
        assert words in told.out, words


def test_pictures_without_ending_are_found_and_archives_are_named(folders, capsys):
    (folders / "smpd_image" / "train" / "u" / "2.jpg").unlink()
    (folders / "smpd_image" / "train" / "u" / "1.jpg").rename(folders / "smpd_image" / "train" / "u" / "1")
    (folders / "smpd_image" / "SMP_train_images.zip").touch()
    assert check.main(["image"]) == 0
    told = capsys.readouterr().out
    assert "1 ok, 3 missing, 0 unreadable" in told and "pictures found elsewhere than listed: 3" in told
    assert "v/3; unpack SMP_train_images.zip there, or get it from https://smp-challenge.com" in told.replace(
        "u/2", "v/3"
    )


def test_folders_spelt_otherwise_are_found(folders, tmp_path, monkeypatch, capsys):
    (folders / "smpd_video").rename(folders / "SMPD-Video")
    (folders / "video").mkdir()
    (folders / "Image").mkdir()
    assert check.main([]) == 0
    assert f"video: official data in {folders / 'SMPD-Video'}" in capsys.readouterr().out
    monkeypatch.setenv("SMP_INPUT", str(folders / "smpd_image"))
    assert check.main([]) == 0
    assert f"image: official data in {folders / 'smpd_image'}\n" in capsys.readouterr().out
    (folders / "Image" / "more.json").touch()
    monkeypatch.setenv("SMP_INPUT", str(folders))
    assert check.main(["image"]) == 1
    assert "Image: holds files, and" in capsys.readouterr().err


def test_one_track_alone(folders, capsys):
    assert check.main(["video"]) == 0
    assert "image" not in capsys.readouterr().out


def test_a_track_without_a_test_split_is_reported(folders, monkeypatch, capsys):
    read = check.read_data

    def of_train(track):
        data, quirks = read(track)
        return Data(data.items[data.labelled], data.labels[data.labelled]), quirks

    monkeypatch.setattr(check, "read_data", of_train)
    assert check.main(["image"]) == 0
    told = capsys.readouterr().out
    assert "3 train, 0 test" in told and "2 train, 0 test, 0 in both" in told
    assert "time train" in told and "time test" not in told and "unseen" not in told


def test_problems_of_both_tracks_are_told(folders, capsys):
    (folders / "smpd_image" / "train_allmetadata_json" / "train_label.txt").write_text("1.00\n2.50\nnan\n")
    (folders / "smpd_video" / "SMP-Video_anonymized_users_test.jsonl").unlink()
    assert check.main(["all"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("FATAL image: ") and "train_label.txt: row 3: label 'nan'" in lines[0]
    assert lines[1].startswith("FATAL video: ") and "missing SMP-Video_anonymized_users_test.jsonl" in lines[1]


def test_link_out_of_the_folder_is_fatal(folders, capsys):
    (folders / "secret.jpg").touch()
    (folders / "smpd_image" / "train" / "v").mkdir()
    (folders / "smpd_image" / "train" / "v" / "3.jpg").symlink_to(folders / "secret.jpg")
    assert check.main(["image"]) == 1
    assert "leads out of the data folder" in capsys.readouterr().err


def test_link_out_of_the_video_folder_is_fatal(folders, capsys):
    posts = folders / "smpd_video" / "SMP-Video_anonymized_posts_train.jsonl"
    posts.write_text(json.dumps(json.loads(posts.read_text()) | {"video_path": "train/u/A.mp4"}))
    assert check.main(["video"]) == 0
    (folders / "secret.mp4").touch()
    (folders / "smpd_video" / "train" / "u").mkdir(parents=True)
    (folders / "smpd_video" / "train" / "u" / "A.mp4").symlink_to(folders / "secret.mp4")
    assert check.main(["video"]) == 1
    assert "train/u/A.mp4: leads out of the data folder" in capsys.readouterr().err


def test_no_traceback_from_the_command_line(folders):
    (folders / "smpd_video" / "SMP-Video_anonymized_posts_test.jsonl").write_text('{"pid": ')
    done = subprocess.run([sys.executable, "-m", "smp.check", "video"], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[0].startswith("FATAL video: ") and "Traceback" not in done.stderr
    assert "posts_test.jsonl: line 1: truncated or invalid JSON" in done.stderr


def test_input_that_is_no_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SMP_INPUT", str(tmp_path / "absent"))
    assert check.main([]) == 1
    assert capsys.readouterr().err.count("no such folder") == len(tracks.names())


def test_tracks_that_have_no_folder_are_left_out_and_one_there_must_be(folders, tmp_path, monkeypatch, capsys):
    shutil.rmtree(folders / "smpd_video")
    assert check.main([]) == 0
    assert f"video: no {folders / 'smpd_video'}, left out" in capsys.readouterr().out
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("SMP_INPUT", str(tmp_path / "empty"))
    assert check.main([]) == 1
    assert "no track's folder in SMP_INPUT (what lies there: nothing)" in capsys.readouterr().err
