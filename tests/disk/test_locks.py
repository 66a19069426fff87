"""Locks between real processes: refused, waited for, shared, and gone with the process that held them."""

import os
import signal
import subprocess
import sys
import threading
import time
from multiprocessing import get_context
from select import select

import numpy as np
import pandas as pd
import pytest

from smp.disk.locks import acquire, hold, locked, release
from smp.errors import DataError
from smp.oof import Part, cross_fit

HOLDER = """
import sys
from pathlib import Path
from smp.disk.locks import acquire
acquire(Path(sys.argv[1]), shared=sys.argv[2] == "shared")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Starts a process that holds the lock until its stdin closes."""
    started = []

    def start(kind="alone"):
        command = [sys.executable, "-c", HOLDER, str(tmp_path / "lock"), kind]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_held_lock_is_refused_by_name_and_dies_with_its_process(holder, tmp_path):
    other = holder()
    with pytest.raises(DataError, match=rf"lock: held by process {other.pid} on \S+; wait for it"):
        hold(tmp_path / "lock", "wait for it")
    other.send_signal(signal.SIGKILL)
    other.wait()
    hold(tmp_path / "lock", "wait for it")
    hold(tmp_path / "lock", "the same process may ask again")
    release(tmp_path / "lock")


def test_a_second_process_waits_and_says_so(holder, tmp_path, capfd):
    other = holder()
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "lock"), "alone"]
    second = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert f"held by process {other.pid} on" in second.stderr.readline()
    assert not select([second.stdout], [], [], 0.3)[0], "it waits"
    other.communicate("")
    assert second.stdout.readline() == "held\n"
    second.communicate("")


def test_those_that_share_go_side_by_side_and_one_alone_waits_for_them(holder, tmp_path):
    holder("shared")
    assert acquire(tmp_path / "lock", shared=True, wait=False)
    assert not acquire(tmp_path / "lock", wait=False)


def test_a_forked_child_does_not_inherit_a_lock(tmp_path):
    acquire(tmp_path / "lock")
    child = get_context("fork").Process(target=time.sleep, args=(30,))
    child.start()
    release(tmp_path / "lock")
    other = [sys.executable, "-c", HOLDER, str(tmp_path / "lock"), "alone"]
    assert subprocess.run(other, stdin=subprocess.DEVNULL, capture_output=True, text=True).stdout == "held\n"
    child.kill()
    child.join()


def test_two_processes_share_the_fits_of_a_folder_and_do_none_twice(tmp_path):
    ids = pd.Index([f"p{i}" for i in range(40)])
    parts = [Part("fold", str(k), np.arange(0), np.arange(k * 5, k * 5 + 5)) for k in range(8)]

    def work():
        def fit_predict(part):
            with (tmp_path / "fits.txt").open("a") as file:
                file.write(f"{part.name} {os.getpid()}\n")
            time.sleep(0.05)
            return part.query[:, None].astype(float)

        made = cross_fit(tmp_path / "exp", ids, parts, fit_predict)
        assert pd.concat([table for _, table in made])["seed0"].tolist() == list(range(40))

    workers = [get_context("fork").Process(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    done = [line.split() for line in (tmp_path / "fits.txt").read_text().splitlines()]
    assert sorted(name for name, _ in done) == sorted(part.name for part in parts)
    assert len({process for _, process in done}) == 2
    left = sorted(p.name for p in (tmp_path / "exp").iterdir() if p.suffix != ".lock")  # a lock may outlive its use
    assert left == sorted(f"{part.name}.parquet" for part in parts)


def test_a_fit_that_another_process_is_at_is_left_to_it_until_all_others_are_made(holder, tmp_path):
    (tmp_path / ".fold0.lock").symlink_to("lock")
    other, order = holder(), []

    def fit_predict(part):
        order.append(part.key)
        if part.key == "2":  # the last that is free; soon the other dies
            threading.Timer(0.3, other.kill).start()
        return np.zeros((1, 1))

    threading.Timer(5, other.kill).start()
    parts = [Part("fold", str(k), np.arange(0), np.array([k])) for k in range(3)]
    cross_fit(tmp_path, pd.Index(list("abc")), parts, fit_predict)
    assert order == ["1", "2", "0"]


def test_an_error_inside_lets_go(tmp_path):
    with pytest.raises(RuntimeError), locked(tmp_path / "lock"):
        raise RuntimeError
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "lock"), "alone"]
    assert subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True).stdout == "held\n"
