"""The real stage runner killed, started twice, on a full disk, in a read-only folder: the same bytes in the end."""

import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

HERE = Path(__file__).parent
RUN = [sys.executable, str(HERE / "small_run.py")]
POSTS = 200
kill = runpy.run_path(str(HERE / "kill.py"))  # its comparison of two runs


def environment(folder: Path, **more: str) -> dict[str, str]:
    return kill["environment"](folder, POSTS) | more


def run(folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess:
    command = [*RUN, *arguments]
    return subprocess.run(command, env=environment(folder, **more), capture_output=True, text=True, check=False)


def told(done: subprocess.CompletedProcess) -> str:
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


def test_a_run_killed_again_and_again_ends_where_an_undisturbed_one_does(tmp_path):
    script = [sys.executable, str(HERE / "kill.py"), "--kills", "5", "--posts", str(POSTS), "--folder", str(tmp_path)]
    done = subprocess.run([*script, "--", *RUN], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"completed after \d+ kills: \d+ outputs and 3 submission files byte for byte", done.stdout)


def test_a_second_run_is_refused_until_the_first_is_gone_and_then_gives_the_same_bytes(whole, tmp_path):
    quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    first = subprocess.Popen(RUN, env=environment(tmp_path), start_new_session=True, **quiet)
    first.stdout.readline()  # it has begun
    line = told(run(tmp_path))
    assert f"held by process {first.pid} on" in line and "point SMP_OUTPUT" in line
    assert run(tmp_path, "--list").returncode == 0
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
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
    for kilobytes in (256, 512, 1024, 2048, 3072, 4096, 6144, 65536):
        remount(f"size={kilobytes}k")
        done = run(folder)
        after = kill["finished"](folder / "output")
        assert {name: after.get(name) for name in before} == before, "lost or written again"
        before = after
        if done.returncode == 0:
            break
        stops.append(told(done))
        assert str(folder) in stops[-1] and "run the same command again" in stops[-1], stops[-1]
    assert done.returncode == 0 and len(stops) >= 3, stops
    assert_same(whole, folder)


def test_a_read_only_output_folder_is_one_line_and_nothing_is_lost(whole, disk):
    folder, remount = disk
    remount("size=64m")
    for name in ("input", "output", "submissions"):
        shutil.copytree(whole / name, folder / name)
    shutil.rmtree(folder / "output" / "demo" / "exp952_fusion")
    before = kill["finished"](folder)
    remount("ro")
    line = told(run(folder))
    assert str(folder) in line and "Read-only file system" in line
    assert kill["finished"](folder) == before
    remount("rw")
    assert run(folder, "image").returncode == 0
    assert {name: at for name, at in kill["finished"](folder / "output").items() if "exp952" not in name} == {
        name.removeprefix("output/"): at for name, at in before.items() if name.startswith("output/")
    }
    for name in ("oof.parquet", "test.parquet"):
        made, expected = (f / "output/demo/exp952_fusion" / name for f in (folder, whole))
        assert made.read_bytes() == expected.read_bytes()


def test_two_processes_on_one_experiment_wait_for_each_other_and_fit_once(whole, tmp_path):
    for name in ("input", "output", "submissions"):
        shutil.copytree(whole / name, tmp_path / name)
    shutil.rmtree(tmp_path / "output" / "demo" / "exp950_trees")
    script = [sys.executable, str(HERE / "exp" / "exp950_trees" / "train.py")]
    both = [
        subprocess.Popen(script, env=environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(2)
    ]
    said = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert sum("finished earlier, nothing to do" in text for text in said) == 1, said
    fits = [fit for name, fit in kill["fits"](tmp_path / "output") if name == "exp950_trees"]
    assert len(fits) == len(set(fits)) == 18


def test_another_seed_changes_the_predictions(whole, tmp_path):
    shutil.copytree(whole / "output", tmp_path / "output")
    script = [sys.executable, str(HERE / "exp" / "exp950_trees" / "train.py"), "--variant", "other", "--seeds"]
    for seeds, same in ((("0", "1"), True), (("0", "2"), False)):
        subprocess.run([*script, *seeds, "--force"], env=environment(tmp_path), check=True, capture_output=True)
        folder = tmp_path / "output" / "demo"
        for name in ("oof.parquet", "test.parquet"):
            made, expected = (folder / e / name for e in ("exp950_trees@other", "exp950_trees"))
            assert (made.read_bytes() == expected.read_bytes()) is same


def test_two_processes_search_side_by_side_and_one_fits_what_they_found(whole, tmp_path):
    for name in ("input", "output"):
        shutil.copytree(whole / name, tmp_path / name)
    script = [sys.executable, str(HERE / "exp" / "exp953_video" / "train.py"), "--tune", "6"]
    quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    both = [subprocess.Popen(script, env=environment(tmp_path), **quiet) for _ in range(2)]
    said = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    folder = tmp_path / "output" / "demo"
    states = pd.read_csv(folder / "studies" / "exp953_video@tuned.csv")["state"]
    assert 6 <= (states == "COMPLETE").sum() <= 7 and (states == "COMPLETE").sum() == len(states)
    told = (folder / "exp953_video@tuned" / "log.txt").read_text()
    assert {told.count(f" {part} seed 0: ") for part in ("fold0", "holdout", "full")} == {1}
    assert (folder / "exp953_video@tuned" / "metrics.json").exists()
