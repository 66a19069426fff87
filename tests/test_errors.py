"""What ends a process, and what is said of it."""

import subprocess
import sys

import pytest

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
