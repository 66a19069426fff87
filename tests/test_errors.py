"""What ends a process, and what is said of it."""

import subprocess
import sys

import pytest

from smp import errors
from smp.errors import DataError, one_line_errors


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
