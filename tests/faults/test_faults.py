"""The real stage runner broken at every write, started twice, on a full disk, in a read-only folder: the same bytes."""

import os
import runpy
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

HERE = Path(__file__).parent
SMALL_RUN, TREES, VIDEO = (
    HERE / name for name in ("small_run.py", "exp/exp950_trees/train.py", "exp/exp953_video/train.py")
)
POSTS = 200
ONE_JOB = ("--jobs", "1")  # CatBoost keeps the number of threads in its model
kill = runpy.run_path(str(HERE / "kill.py"))  # its comparison of two runs
sys.path.insert(0, str(HERE.parent))  # the server's children find it there too
import forked  # noqa: E402


def start(folder: Path, script: Path, *arguments: str, places: Path | None = None) -> forked.Run:
    environment = kill["environment"](folder, POSTS)
    return forked.start(script, *arguments, log=folder.parent / "logs", environment=environment, places=places)


def run(folder: Path, *arguments: str, places: Path | None = None) -> forked.Run:
    return start(folder, SMALL_RUN, *ONE_JOB, *arguments, places=places).end()


def told(done: forked.Run) -> str:
    """The one line of a run that stopped; fails where there are more, or a traceback."""
    assert done.returncode == 1 and "Traceback" not in done.stderr + done.stdout, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(lines) == 1, done.stderr
    return lines[0]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Folder of an undisturbed run."""
    folder = tmp_path_factory.mktemp("whole")
    done = run(folder)
    assert done.returncode == 0, done.stderr
    return folder


def assert_same(whole: Path, other: Path) -> None:
    for name in ("output", "submissions"):
        assert kill["compare"](whole / name, other / name)


def test_a_run_broken_at_every_place_ends_where_an_undisturbed_one_does(whole, tmp_path):
    places, before, stops = tmp_path / "places", {}, 0
    places.touch()
    while True:
        done = run(tmp_path, places=places)
        after = kill["finished"](tmp_path / "output")
        assert {name: after.get(name) for name in before} == before, "lost or written again"
        before = after
        if done.returncode == 0:
            break
        stops += 1
        said = done.stderr
        if "No space left" in said:
            line = told(done)
            assert str(tmp_path) in line and "run the same command again" in line, line
        else:
            assert done.returncode == -signal.SIGKILL or "stopped with exit code -9" in said, said
        assert stops <= len(places.read_text().splitlines()), said
    assert stops == len(places.read_text().splitlines()) > 30
    assert_same(whole, tmp_path)


def test_a_second_run_is_refused_until_the_first_is_gone_and_then_gives_the_same_bytes(whole, tmp_path):
    first = start(tmp_path, SMALL_RUN, *ONE_JOB)
    while "profile small" not in (first.stdout if first.log.with_suffix(".out").exists() else ""):
        time.sleep(0.05)  # it has begun
    line = told(run(tmp_path))
    assert f"held by process {first.process.pid} on" in line and "point SMP_OUTPUT" in line
    assert run(tmp_path, "--list").returncode == 0
    os.killpg(first.process.pid, signal.SIGKILL)
    first.end()
    assert run(tmp_path).returncode == 0
    assert_same(whole, tmp_path)


@pytest.fixture
def disk(tmp_path):
    """A small file system of its own: (folder, change its options)."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no right to mount a small disk here: {mounted.stderr.strip()}")
    yield folder, lambda options: subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_is_one_line_and_the_run_goes_on_when_there_is_room(whole, disk):
    folder, remount = disk
    before, stops = {}, []
    for kilobytes in (1024, 65536):
        remount(f"size={kilobytes}k")
        done = run(folder)
        after = kill["finished"](folder / "output")
        assert {name: after.get(name) for name in before} == before, "lost or written again"
        before = after
        if done.returncode == 0:
            break
        stops.append(told(done))
        assert str(folder) in stops[-1] and "run the same command again" in stops[-1], stops[-1]
    assert done.returncode == 0 and len(stops) == 1, stops
    assert_same(whole, folder)


def test_a_read_only_output_folder_is_one_line_and_nothing_is_lost(whole, disk):
    folder, remount = disk
    remount("size=64m")
    for name in ("output", "submissions"):
        shutil.copytree(whole / name, folder / name)
    done = run(folder)  # what is read of the official files is known by their place
    assert done.returncode == 0, done.stderr
    shutil.rmtree(folder / "output" / "demo" / "exp952_fusion")
    before = kill["finished"](folder)
    remount("ro")
    line = told(run(folder))
    assert str(folder) in line and "Read-only file system" in line
    assert kill["finished"](folder) == before
    remount("rw")
    done = run(folder, "image")
    assert done.returncode == 0, done.stderr
    assert {name: at for name, at in kill["finished"](folder / "output").items() if "exp952" not in name} == {
        name.removeprefix("output/"): at for name, at in before.items() if name.startswith("output/")
    }
    for name in ("oof.parquet", "test.parquet"):
        made, expected = (f / "output/demo/exp952_fusion" / name for f in (folder, whole))
        assert made.read_bytes() == expected.read_bytes()


def test_two_processes_on_one_experiment_wait_for_each_other_and_fit_once(whole, tmp_path):
    for name in ("output", "submissions"):
        shutil.copytree(whole / name, tmp_path / name)
    shutil.rmtree(tmp_path / "output" / "demo" / "exp950_trees")
    both = [start(tmp_path, TREES) for _ in range(2)]
    said = [run.end().stdout + run.stderr for run in both]
    assert [run.returncode for run in both] == [0, 0], said
    assert sum("finished earlier, nothing to do" in text for text in said) == 1, said
    fits = [fit for name, fit in kill["fits"](tmp_path / "output") if name == "exp950_trees"]
    assert len(fits) == len(set(fits)) == 18


def test_another_seed_changes_the_predictions(whole, tmp_path):
    shutil.copytree(whole / "output", tmp_path / "output")
    for seeds, same in ((("0", "1"), True), (("0", "2"), False)):
        done = start(tmp_path, TREES, "--variant", "other", "--seeds", *seeds, "--force").end()
        assert done.returncode == 0, done.stderr
        folder = tmp_path / "output" / "demo"
        for name in ("oof.parquet", "test.parquet"):
            made, expected = (folder / e / name for e in ("exp950_trees@other", "exp950_trees"))
            assert (made.read_bytes() == expected.read_bytes()) is same


def test_two_processes_search_side_by_side_and_one_fits_what_they_found(whole, tmp_path):
    shutil.copytree(whole / "output", tmp_path / "output")
    both = [start(tmp_path, VIDEO, "--tune", "4") for _ in range(2)]
    said = [run.end().stdout + run.stderr for run in both]
    assert [run.returncode for run in both] == [0, 0], said
    folder = tmp_path / "output" / "demo"
    states = pd.read_csv(folder / "studies" / "exp953_video@tuned.csv")["state"]
    assert 4 <= (states == "COMPLETE").sum() <= 5 and (states == "COMPLETE").sum() == len(states)
    told = (folder / "exp953_video@tuned" / "log.txt").read_text()
    assert {told.count(f" {part} seed 0: ") for part in ("fold0", "holdout", "full")} == {1}
    assert (folder / "exp953_video@tuned" / "metrics.json").exists()
