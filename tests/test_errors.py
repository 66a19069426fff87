"""What ends a process, and what is said of it."""

import errno
import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import joblib
import pytest
import torch
from lightgbm.basic import LightGBMError

from smp import errors, memory
from smp.errors import DataError, one_line_errors
from smp.paths import ROOT


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (DataError("a.csv: row 3: no number"), "error: a.csv: row 3: no number", ""),
        (OSError(28, "No space left on device", "a.csv"), "error: a.csv: No space left on device; mend that", ""),
        (KeyboardInterrupt(), 130, "interrupted; run the same command again"),
    ],
)
def test_one_line(error, code, told, capsys):
    with pytest.raises(SystemExit) as stopped, one_line_errors():
        raise error
    assert str(stopped.value.code).startswith(str(code))
    assert told in capsys.readouterr().err


def test_a_reader_that_wants_no_more_is_no_error():
    script = "from smp.errors import one_line_errors\nwith one_line_errors():\n    print('x\\n' * 100_000)"
    told = subprocess.run(f'{sys.executable} -c "{script}" | head -1', shell=True, capture_output=True, text=True)
    assert told.stdout == "x\n" and told.stderr == ""


INTERRUPTED = "interrupted; run the same command again: what is finished is kept"
IMPORTING = """
import signal, smp
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs are born without it
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt as error:
    raise {} from error
"""


@pytest.mark.parametrize(
    ("made", "code", "told"),
    [
        ("error", 130, INTERRUPTED),
        ("ImportError('a library')", 130, INTERRUPTED),
        ("SystemExit('a line')", 1, "a line"),
    ],
)
def test_ctrl_c_while_a_program_imports_is_one_line(made, code, told):
    done = subprocess.run([sys.executable, "-c", IMPORTING.format(made)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (code, told)


def test_a_child_is_silent_at_ctrl_c_and_any_other_error_has_its_traceback(monkeypatch, capsys):
    hook, error = errors.excepthook, KeyError("x")
    hook(KeyError, error, None)
    assert capsys.readouterr().err == "KeyError: 'x'\n"
    monkeypatch.setattr(errors, "parent_process", lambda: "its parent")
    with pytest.raises(SystemExit) as stopped:
        hook(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert stopped.value.code == 130 and capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        RuntimeError("DataLoader worker (pid(s) 12) exited unexpectedly"),
        RuntimeError("DataLoader worker (pid 12) is killed by signal: Killed."),
        LightGBMError("bad allocation"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    ],
    ids=str,
)
def test_want_of_memory_is_one_line_with_its_own_exit_code(error, capsys):
    with pytest.raises(SystemExit) as stopped, one_line_errors():
        raise error
    said = capsys.readouterr().err
    assert stopped.value.code == 137 and said.count("\n") == 1
    assert "out of memory" in said and "fewer jobs, processes or workers, or a smaller batch" in said


def test_a_worker_that_the_system_killed_is_want_of_memory_and_another_error_is_not(capsys):
    with pytest.raises(SystemExit) as stopped, one_line_errors():
        joblib.Parallel(2)(joblib.delayed(signal.raise_signal)(signal.SIGKILL) for _ in range(2))
    assert stopped.value.code == 137 and "out of memory (TerminatedWorkerError)" in capsys.readouterr().err
    with pytest.raises(RuntimeError, match="DataLoader of no worker"), one_line_errors():
        raise RuntimeError("DataLoader of no worker")


@pytest.mark.parametrize(("system", "told"), [("linux", 3 * 2**20), ("darwin", 3 * 2**30)])
def test_memory_is_told_in_gigabytes_whatever_the_system_counts_in(monkeypatch, system, told):
    monkeypatch.setattr(memory.sys, "platform", system)
    monkeypatch.setattr(memory.resource, "getrusage", lambda who: SimpleNamespace(ru_maxrss=told))
    assert memory.peak_gb() == 3


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_error_and_no_file_takes_their_place(closed, tmp_path):
    script = f"""
import os, sys
import smp
from smp.errors import one_line_errors
with one_line_errors(), open({str(tmp_path / "f")!r}, "w") as file:
    print("x", flush=True), print("x", file=sys.stderr, flush=True), sys.stderr.isatty()
    os.write(1, b"of a library"), os.write(2, b"of a library")
"""
    done = subprocess.run(["bash", "-c", f'"$0" -c "$1" {closed}', sys.executable, script], capture_output=True)
    assert done.returncode == 0 and (tmp_path / "f").read_bytes() == b""


def test_windows_is_told_at_once(tmp_path):
    for module in ("fcntl", "resource"):
        code = f"import sys; sys.modules[{module!r}] = None; import runpy; runpy.run_module('smp.stages')"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 1 and done.stderr.count("\n") == 1 and "run it in WSL" in done.stderr
    (tmp_path / "uname").write_text("#!/bin/sh\necho MINGW64_NT-10.0")
    (tmp_path / "uname").chmod(0o700)
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", ROOT / "run_all.sh"], env=os.environ | path, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "run it in WSL" in done.stderr
