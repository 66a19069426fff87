"""Loops in a log: a line at the start, one at the end, and between them one a minute at most."""

import time

from smp import progress as module
from smp.progress import progress


def test_a_log_gets_two_lines_of_a_short_loop(capsys):
    for _ in progress(range(1000), desc="fits", unit="fit"):
        pass
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and "0/1000" in lines[0] and "1000/1000" in lines[1]
    assert all(line.startswith("fits: ") and "\r" not in line for line in lines)


def test_a_log_gets_a_line_now_and_then_of_a_long_one(capsys, monkeypatch):
    monkeypatch.setattr(module, "MINUTE", 0.05)
    for _ in progress(range(30), desc="fits"):
        time.sleep(0.01)
    assert 4 <= len(capsys.readouterr().err.splitlines()) <= 9


def test_a_silent_loop_is_silent(capsys):
    assert list(progress([1, 2], disable=True)) == [1, 2]
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    for _ in progress(range(3), desc="fits"):
        pass
    assert "\r" in capsys.readouterr().err
