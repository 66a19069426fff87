"""Loading with a cache: fresh when a source changes, the posts of the files; demo data where there are none."""

import shutil
import time
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from smp import features, paths, tracks
from smp.disk import hashes
from smp.disk.locks import release
from smp.errors import DataError
from smp.experiment import Settings, parse_run
from smp.runner import open_folder
from smp.tracks import demo
from smp.tracks import load as data
from smp.tracks.image import track as room
from smp.tracks.load import fingerprint, read_data


@pytest.mark.parametrize("track", tracks.names())
def test_the_cache_gives_what_the_files_gave(demo_run, tmp_path, monkeypatch, track):
    if not paths.official(track).is_dir():
        demo.generate(tmp_path / "in", posts=200, images=False, only=(track,))
        monkeypatch.setenv("SMP_INPUT", str(tmp_path / "in"))
    fresh, quirks = read_data(track)
    cached, quirks_again = read_data(track)
    assert quirks == quirks_again
    pd.testing.assert_frame_equal(cached.items[fresh.items.columns], fresh.items, check_categorical=False)
    np.testing.assert_array_equal(cached.labels, fresh.labels)


def test_a_changed_source_is_read_again(demo_run, demo_folder, tmp_path, monkeypatch):
    shutil.copytree(demo_folder / "smpd_image", tmp_path / "in" / "smpd_image")
    monkeypatch.setenv("SMP_INPUT", str(tmp_path / "in"))
    posts, _ = read_data("image")
    before = fingerprint("image")
    label = paths.official("image") / "train_allmetadata_json" / "train_label.txt"
    lines = label.read_text().splitlines()
    label.write_text("\n".join(["9.99", *lines[1:]]) + "\n")
    assert read_data("image")[0].labels[0] == 9.99
    assert fingerprint("image") != before

    calls = []
    monkeypatch.setattr(room, "TRACK", replace(room.TRACK, read=lambda folder: calls.append(folder) or (posts, {})))
    read_data("image")
    assert not calls, "unchanged files come from the cache"
    (paths.official("image") / "SMP_train_images").mkdir()
    read_data("image")
    assert calls, "pictures unpacked later change the paths"


@pytest.mark.parametrize(
    "layout", ["plain", "link to the folder", "link to a file", "a folder deeper", "among pictures"]
)
def test_whatever_file_is_read_counts_wherever_it_lies(demo_run, demo_folder, tmp_path, monkeypatch, layout):
    """A label changed where neither names nor folders do: data, fingerprint and features follow."""
    real, root = tmp_path / "real", tmp_path / "in" / "smpd_image"
    shutil.copytree(demo_folder / "smpd_image", root)
    home = root / "train_allmetadata_json"
    label = home / "train_label.txt"
    if layout == "link to the folder":
        home.rename(real)
        home.symlink_to(real)
    elif layout == "link to a file":
        label.rename(real)
        label.symlink_to(real)
    elif layout != "plain":
        inner = root / ("train" if layout == "among pictures" else "SMPD")
        inner.mkdir()
        home.rename(inner / home.name)
        label = inner / home.name / label.name
    monkeypatch.setenv("SMP_INPUT", str(tmp_path / "in"))
    before, key = fingerprint("image"), features.key("image", "post_stats")
    lines = label.read_text().splitlines()
    label.write_text("\n".join(["9.99", *lines[1:]]) + "\n")
    assert read_data("image")[0].labels[0] == 9.99
    assert fingerprint("image") != before and features.key("image", "post_stats") != key


def test_a_picture_that_is_laid_there_later_is_another_setting(demo_run, demo_folder, tmp_path, monkeypatch):
    shutil.copytree(demo_folder, tmp_path / "official")
    monkeypatch.setenv("SMP_INPUT", str(tmp_path / "official"))
    script = str(paths.ROOT / "exp" / "exp002_clip" / "train.py")
    monkeypatch.setattr("sys.argv", [script])

    @dataclass(frozen=True)
    class Config(Settings):
        media = True

    def run():
        return parse_run(script, Config, "image")

    first, picture = run(), tmp_path / "official" / "smpd_image" / read_data("image")[0].items["image_path"].iloc[3]
    assert open_folder(first) and run().settings == first.settings
    release(first.lock)
    picture.parent.mkdir(parents=True)
    picture.write_bytes(b"a picture")
    assert run().settings["media"] != first.settings["media"]
    with pytest.raises(DataError, match="made with other media; keep both"):
        open_folder(run())
    picture.unlink()
    assert run().settings == first.settings


def test_a_mended_loader_makes_everything_stale(demo_run, monkeypatch):
    before, key = fingerprint("video"), features.key("video", "video_stats")
    monkeypatch.setattr(data, "code_hash", lambda module: f"mended {module}")
    assert fingerprint("video") != before and features.key("video", "video_stats") != key


def test_the_code_of_a_module_is_its_own_and_that_of_all_it_imports():
    files = hashes._imported("smp.features.stream", set())
    assert {Path(file).stem for file in files} == {"stream", "keys", "tags", "time_place"}
    assert any(Path(f).name == "tags.py" for f in hashes._imported("smp.features.post_stats", set()))


def test_of_two_processes_one_reads_the_files(demo_run, tmp_path, monkeypatch):
    monkeypatch.setenv("SMP_OUTPUT", str(tmp_path / "out"))
    plain, readings = room.TRACK.read, tmp_path / "readings"

    def slow(folder):
        with readings.open("a") as file:
            file.write("one\n")
        time.sleep(0.5)
        return plain(folder)

    monkeypatch.setattr(room, "TRACK", replace(room.TRACK, read=slow))
    workers = [get_context("fork").Process(target=read_data, args=("image",)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0] and readings.read_text() == "one\n"


def test_demo_data_stand_in_where_there_are_no_official_files(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("SMP_INPUT", raising=False)
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.setenv("SMP_OUTPUT", str(tmp_path / "out"))
    monkeypatch.setenv("SMP_DEMO_POSTS", "300")
    small = demo.generate
    monkeypatch.setattr(demo, "generate", lambda folder, posts, only: small(folder, posts, images=False, only=only))
    assert paths.is_demo("image")
    posts, _ = read_data("image")
    assert len(posts) == 300 and paths.output("image") == tmp_path / "out" / "demo"
    assert "GENERATING DEMO data" in capsys.readouterr().err
    assert data.ceiling("image")["holdout"]["src"] > 0.5

    folder = tmp_path / "input" / "smpd_image"
    folder.mkdir(parents=True)
    (folder / "README.md").write_text("where the files go")
    assert paths.is_demo("image")
    (folder / "something.zip").write_text("")
    assert not paths.is_demo("image") and data.ceiling("image") is None
    with pytest.raises(DataError, match=r"smpd_image: missing .*; unpack something.zip there"):
        read_data("image")
    monkeypatch.setenv("SMP_INPUT", "demo")
    assert paths.is_demo("image"), "asked for, whatever lies in input/"


def test_demo_data_never_stand_in_where_a_folder_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("SMP_INPUT", str(tmp_path))
    monkeypatch.setenv("SMP_OUTPUT", str(tmp_path / "out"))
    assert not paths.is_demo("image") and paths.output("image") == tmp_path / "out"
    with pytest.raises(DataError, match=r"smpd_image: no such folder; .*unset SMP_INPUT"):
        read_data("image")
    (tmp_path / "smpd_image").mkdir()
    with pytest.raises(DataError, match=r"smpd_image: missing .* get them from"):
        read_data("image")


def test_an_input_folder_that_is_not_there_is_an_error(monkeypatch):
    monkeypatch.setenv("SMP_INPUT", "/no/such/folder")
    with pytest.raises(DataError, match="SMP_INPUT=/no/such/folder: no such folder"):
        paths.data("image")
    monkeypatch.setenv("SMP_PROFILE", "huge")
    with pytest.raises(DataError, match="must be full or small"):
        paths.profile()
