"""Runs of scripts in forks of one server that has the libraries loaded: a process of its own, started at once.

With `places` a run is broken at the first place where a file takes its name that no earlier run was broken at.
"""

import errno
import itertools
import multiprocessing
import os
import re
import runpy
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    ["smp.report.page", "smp.bench.full", "smp.clip_ft.cost", "open_clip", "lightgbm", "catboost", "optuna"]
)
NAME = re.compile(r"exp\d+_\w+|(?<=fold|seed)\d|(?<=forward)[\d-]+|(?<=report/)(image|video)")  # like places are one
COUNT = itertools.count()


@dataclass
class Run:
    """A script at work in a process group of its own; `end` waits for it."""

    process: multiprocessing.Process
    log: Path

    def end(self) -> "Run":
        self.process.join()
        return self

    @property
    def returncode(self) -> int | None:
        return self.process.exitcode

    @property
    def stdout(self) -> str:
        return self.log.with_suffix(".out").read_text()

    @property
    def stderr(self) -> str:
        return self.log.with_suffix(".err").read_text()


def start(script: Path, *arguments: str, log: Path, environment: dict[str, str], places: Path | None = None) -> Run:
    """Start `python script arguments`; what it prints goes to files in the folder `log`."""
    log.mkdir(parents=True, exist_ok=True)
    run = Run(None, log / str(next(COUNT)))
    run.process = CONTEXT.Process(target=_child, args=(script, arguments, run.log, environment, places))
    run.process.start()
    return run


def start_ranks(number: int, script: Path, *arguments: str, log: Path, environment: dict[str, str]) -> list[Run]:
    """As torchrun would on so many machines of one process each, which meet over TCP."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    place = {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port), "WORLD_SIZE": str(number), "LOCAL_WORLD_SIZE": "1"}
    place |= {"LOCAL_RANK": "0", "TORCHELASTIC_RUN_ID": "forked"}
    environments = [environment | place | {"RANK": str(i), "GROUP_RANK": str(i)} for i in range(number)]
    return [start(script, *arguments, log=log, environment=e) for e in environments]


def _child(script: Path, arguments: tuple[str, ...], log: Path, environment: dict[str, str], places: Path | None):
    os.setsid()
    multiprocessing.set_start_method("fork", force=True)  # as of a script; the server's would import everything anew
    os.environ.clear()
    os.environ.update(environment)
    for stream, suffix in ((1, ".out"), (2, ".err")):
        os.dup2(os.open(log.with_suffix(suffix), os.O_WRONLY | os.O_CREAT, 0o600), stream)
    sys.stdout.reconfigure(line_buffering=True)
    if places:
        _break(places)
    sys.argv = [str(script), *arguments]
    sys.path.insert(0, str(script.parent))
    runpy.run_path(str(script), run_name="__main__")


def _break(places: Path) -> None:
    """Kill the process that is about to give a file its name, or refuse it for want of room, by turns."""
    for name in ("replace", "rename"):
        setattr(os, name, _broken(getattr(os, name), places))


def _broken(original: Callable, places: Path) -> Callable:
    def rename(source: str | Path, target: str | Path) -> None:
        seen = places.read_text().splitlines()
        place = NAME.sub("*", str(Path(target).relative_to(places.parent)))
        if place not in seen:
            places.write_text("".join(f"{p}\n" for p in (*seen, place)))
            if len(seen) % 2:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(source))
            os.kill(os.getpid(), signal.SIGKILL)
        original(source, target)

    return rename
