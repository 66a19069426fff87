"""Runs experiments in order, from official files to submission files: what `bash run_all.sh` calls.

What is finished is recognised by keys, without importing an experiment or a library that fits.
"""

import hashlib
import importlib
import json
import multiprocessing
import os
import resource
import runpy
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cache
from multiprocessing.connection import wait
from pathlib import Path
from typing import Annotated

import pandas as pd
import tyro

from smp import features, memory, paths, submission, tracks
from smp.catalog import GROUPS, Stage, discover
from smp.disk.hashes import source_hash
from smp.disk.locks import hold
from smp.disk.store import check_writable, write_json
from smp.errors import DataError, one_line_errors
from smp.paths import ROOT
from smp.scores import write_scores
from smp.tracks import official
from smp.tracks.load import data_name, ensure_data, fingerprint, media_key

STOPS = {signal.SIGINT, signal.SIGTERM}
GRACE = 5.0  # seconds that a job has to end its own workers when it is asked to stop
LIBRARIES = ("torch", "open_clip", "lightgbm", "catboost", "sklearn.linear_model")


def key_of(stage: Stage) -> str:
    """Hash of a stage's results and of all that they depend on; empty where it is not finished."""
    ends = [paths.output(stage.track) / name / "metrics.json" for name in (stage.name, *stage.parents)]
    settings = stage.folder / "config.json"
    with suppress(FileNotFoundError, DataError):
        files = source_hash(settings, stage.script, *ends)
        found = json.loads(settings.read_text())
        made_of = [features.key(stage.track, name) for name in found["features"]]
        data = fingerprint(stage.track)
        seen = _media(stage.track, data) if "media" in found else ""
        read = files, _code(), made_of, stage.arguments, paths.profile(), data, seen
        return hashlib.blake2b(repr(read).encode(), digest_size=8).hexdigest()
    return ""


@cache
def _media(track: str, data: str) -> str:
    """The key of a track's pictures, once a run: it asks the system of every post. data: the track's fingerprint."""
    return media_key(track)


@cache
def _code() -> str:
    return source_hash(*sorted((ROOT / "src").rglob("*.py")))


def main(
    which: tyro.conf.Positional[str] = "",
    force: bool = False,
    from_: Annotated[str, tyro.conf.arg(name="from")] = "",
    list_: Annotated[bool, tyro.conf.arg(name="list")] = False,
    jobs: int = 0,
) -> None:
    """From official files to submission files; finished stages are skipped.

    What learns from pixels runs on all GPUs that are there.

    Args:
        which: a track, which runs what it ends in; representations, learnt from pixels; studies, which answer a
            question each; systems, of the research tracks; or all. Nothing named: the submissions of the challenge.
            What these read is made first, and a report last.
        force: run finished stages again.
        from_: run this experiment and all later ones again (expNNN or its full name).
        list_: only list the stages, what they read and ask, and whether they are done.
        jobs: stages at work at once, each on its share of the cores; 0: two in the small profile, whose fits are too
            small to gain by a second core, else one.
    """
    paths.keep_profile()
    stages = chosen(which)
    if jobs < 0:
        raise DataError(f"--jobs {jobs}: stages at work at once; use 1 or more")
    stages = stages if which else of_tracks_there(stages)
    used = [t for t in tracks.names() if any(s.track == t for s in stages)]
    first = next((i for i, s in enumerate(stages) if from_ and s.name.startswith(from_)), None)
    if from_ and first is None:
        raise DataError(f"--from {from_}: no such stage; use one of {', '.join(s.name for s in stages)}")
    again = {s.name for i, s in enumerate(stages) if force or (first is not None and i >= first)}
    if list_:
        show(stages)
        return
    started = time.perf_counter()
    for root in sorted({paths.output(t) for t in used}):
        hold(root / ".locks" / "run_all", "wait for that run, or point SMP_OUTPUT and SMP_SUBMISSIONS at other folders")
    for track in used:
        announce(track)
        if not tracks.get(track).has_media(paths.data(track)):
            unpack = official.unpack(paths.data(track))  # as downloaded
            said = "what is learnt from pictures is left out" + (unpack and f"; {unpack}")
            print(f"  no picture in {paths.data(track)}: {said}")
            stages = without_representations(stages, track)
    for room in map(tracks.get, used):
        if room.submission and any(s.name == room.final for s in stages):
            check_writable(paths.submissions(room.name))  # before hours of stages, not after
    ran = run_stages(stages, again, jobs or (2 if paths.profile() == "small" else 1))
    uploads = []
    for track in used:
        final = tracks.get(track).final
        if tracks.get(track).submission and any(s.name == final for s in stages):
            uploads += [(file, track) for file in submission.write(final, track)]
        if ran:
            write_scores(track)  # a run killed before this may have left a finished experiment out
    for file, track in uploads:
        Job(f"check {file}", submission.check, file, track).end()
    scores = [f for f in sorted({paths.output(t) / "scores.csv" for t in used}) if f.exists()]
    if ran or any(is_older(f.parent / "report" / "index.html", f) for f in scores):
        Job("report", report).end()
    for file in scores:
        print(f"\nScores ({file}):\n{pd.read_csv(file).to_string(index=False)}")
    peak = memory.peak_gb(resource.RUSAGE_CHILDREN)
    said = f"{ran} of {len(stages)} stages run in {time.perf_counter() - started:.0f} s"
    print(f"\n{said}, none above {peak:.1f} GB of memory" if ran else f"\n{said}, the others were finished")
    for file in scores:
        print(f"report: {file.parent / 'report' / 'index.html'}")
    print(f"next: {python()} exp/{stages[-1].name}/train.py --help")


def python() -> str:
    """What to type for the interpreter that runs this, in the shell that started it."""
    if shutil.which("python") and Path(shutil.which("python")).parent == Path(sys.executable).parent:
        return "python"
    activate = Path(sys.executable).with_name("activate")
    return f"source {activate} && python" if activate.exists() else sys.executable


def is_older(path: Path, other: Path) -> bool:
    """Whether `path` is not there, or was written before `other`."""
    return not path.exists() or path.stat().st_mtime_ns < other.stat().st_mtime_ns


def chosen(which: str) -> list[Stage]:
    """The stages of a track or group and all that they read, without those that this profile does not need.

    Raises DataError naming the choices.
    """
    choices = (*tracks.names(), *GROUPS[1:], "all")
    if which and which not in choices:
        raise DataError(f"'{which}': use one of {', '.join(choices)}, or name nothing for the challenge's submissions")
    found = {s.name: s for s in discover() if paths.profile() in s.profiles}

    def is_asked(stage: Stage) -> bool:
        ends = stage.group in ("submission", "systems")
        if not which:
            return ends and tracks.get(stage.track).submission is not None
        return which in ("all", stage.group) or (ends and which == stage.track)

    names = {s.name for s in found.values() if is_asked(s)}
    for stage in reversed(found.values()):  # parents stand before their children
        names |= {*stage.parents} if stage.name in names else set()
    left = [s for s in found.values() if s.name in names]
    return [replace(s, parents=tuple(p for p in s.parents if p in found)) for s in left]


def of_tracks_there(stages: Sequence[Stage]) -> list[Stage]:
    """Those of the tracks that SMP_INPUT has a folder of; the others are named. All where it has none of them."""
    absent = {s.track for s in stages if not paths.is_there(s.track)}
    if absent == {s.track for s in stages}:
        return list(stages)
    for track in sorted(absent):
        print(f"{track}: no {paths.official(track)}, left out")
    return [s for s in stages if s.track not in absent]


def without_representations(stages: Sequence[Stage], track: str) -> list[Stage]:
    """The stages that can do without what a track learns from pictures; its final one combines what is left."""
    lost = {s.name for s in stages if s.track == track and s.group == "representations"}
    left = []
    for stage in stages:
        parents = tuple(p for p in stage.parents if p not in lost)
        if stage.name in lost or (parents != stage.parents and stage.name != tracks.get(stage.track).final):
            lost.add(stage.name)
        else:
            fewer = {"parents": parents, "arguments": ("--parents", *parents)} if parents != stage.parents else {}
            left.append(replace(stage, **fewer))
    return left


def show(stages: Sequence[Stage]) -> None:
    """Print the stages, what each reads and asks, and whether it is done."""
    for stage in stages:
        state = "done " if (stage.folder / "metrics.json").exists() else "to do"
        print(f"{state}  {stage.name}  {stage.asks}")
        print(f"       reads {', '.join(('official files', *stage.parents))}")


def announce(track: str) -> None:
    """Say which data and which profile are used, and make sure that the data are there."""
    print(f"{track}: {data_name(track)} data in {paths.data(track)}, profile {paths.profile()}", flush=True)
    if paths.is_demo(track):
        print(f"  no official files in {paths.official(track)}: every {track} score below is of GENERATED DEMO data")
    elif paths.profile() == "small":
        print("  small profile on official data (no GPU): set SMP_PROFILE=full on a GPU box for the full one")
    ensure_data(track)


def report() -> None:
    """Write the page of what has been run so far."""
    from smp.report import page  # draws: seconds to import, and a finished run needs none

    for path in page.write():
        print(f"  {path}")


def run_stages(stages: Sequence[Stage], again: set[str], jobs: int) -> int:
    """Run each stage as soon as what it reads is finished, `jobs` at a time; those named in `again` though finished.

    Every job has as many cores of its own as the others, for another number of threads gives other last bits. A stage
    whose key is the one it ended with is not started at all. Returns how many were started.
    """
    kept = {s.name: paths.output(s.track) / "stages.json" for s in stages}  # one an output folder
    keys = {file: json.loads(file.read_text()) if file.exists() else {} for file in kept.values()}
    done = set()
    for stage in stages:
        key = keys[kept[stage.name]].get(stage.name)
        if key and stage.name not in again and done >= {*stage.parents} and key == key_of(stage):
            print(f"{stage.name}: finished earlier, nothing to do")
            done.add(stage.name)
    waiting, running = [(i, s) for i, s in enumerate(stages, 1) if s.name not in done], {}
    for library in LIBRARIES if waiting else ():
        importlib.import_module(library)  # once here, and not for seconds in every stage
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [None]  # not on every system
    jobs = min(jobs, len(cores))
    free = [cores[i::jobs][: len(cores) // jobs] for i in range(jobs)]
    count = len(waiting)
    while waiting or running:
        for i, stage in waiting.copy():
            if free and done >= {*stage.parents}:
                waiting.remove((i, stage))
                title, share = f"[{i}/{len(stages)}] {stage.name}", free.pop()
                job = Job(title, run_script, stage, stage.name in again, cores=share if jobs > 1 else ())
                running[job.process.sentinel] = job, stage, share
        for sentinel in wait(list(running)):
            job, stage, share = running.pop(sentinel)
            try:
                job.end()
            except BaseException:
                for other, *_ in running.values():
                    other.process.terminate()  # goes on from there, like any that is killed
                raise
            keys[kept[stage.name]][stage.name] = key_of(stage)
            write_json(kept[stage.name], keys[kept[stage.name]])
            done.add(stage.name)
            free.append(share)
    return count


def run_script(stage: Stage, force: bool) -> None:
    """Run a stage's script as `python exp/<name>/train.py` would; one whose work ranks share, where there are several
    GPUs, as `torchrun --nproc-per-node=GPUS` would."""
    arguments = [*stage.arguments, *(["--force"] if force else [])]
    if stage.ranks and (gpus := paths.gpus()) > 1:
        from torch.distributed import run  # the agent of torchrun: it starts a process a GPU
        from torch.distributed.elastic.multiprocessing.api import SignalException
        from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

        print(f"  {gpus} GPUs: a process each", flush=True)
        try:
            run.main(["--standalone", f"--nproc-per-node={gpus}", str(stage.script), *arguments])
        except ChildFailedError as failed:  # which the rank told, unless it was killed
            sys.exit(137 if any(f.exitcode in memory.KILLED for f in failed.failures.values()) else 1)
        except SignalException as stopped:
            sys.exit(128 + stopped.sigval)
    else:
        sys.argv = [f"exp/{stage.name}/train.py", *arguments]
        runpy.run_path(str(stage.script), run_name="__main__")


class Job:
    """A function in a forked child: its memory is its own, and what is imported already need not be again."""

    def __init__(self, title: str, function: Callable, *arguments: object, cores: Sequence[int] = ()):
        """cores: those that it may use; none named: all."""
        print(f"{title} ...", flush=True)
        self.title, self.started = title, time.perf_counter()
        context = multiprocessing.get_context("fork")
        self.process = context.Process(target=_in_one_line, args=(cores, function, *arguments))
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)  # what is raised while Python forks is lost
        self.process.start()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)

    def end(self) -> None:
        """Wait for it. Exits where it failed; raises BrokenPipeError where a reader wanted no more of it."""
        self.process.join()
        code = self.process.exitcode
        if code == 141:
            raise BrokenPipeError
        if code:
            killed = f"killed, as the system does when memory runs out: {memory.REMEDY}; " * (code in memory.KILLED)
            again = "run the same command again to go on from there"
            sys.exit(f"{self.title}: stopped with exit code {code}; {killed}{again}")
        print(f"{self.title}: {time.perf_counter() - self.started:.1f} s", flush=True)


@contextmanager
def ending_children() -> Iterator[None]:
    """Whatever ends this process, SIGTERM and Ctrl-C too, ends the jobs it started; the next run goes on from there."""
    signal.signal(signal.SIGTERM, _exit)
    try:
        yield
    finally:
        for child in (children := multiprocessing.active_children()):
            child.terminate()
        for child in children:
            child.join(GRACE)
            child.kill()


def _exit(number: int, frame: object) -> None:
    sys.exit(128 + number)


def _in_one_line(cores: Sequence[int], function: Callable, *arguments: object) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all: the parent speaks, and ends this one
    signal.signal(signal.SIGTERM, _exit)  # not at once: workers of its own end with it
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
    if cores:
        from threadpoolctl import threadpool_limits

        os.sched_setaffinity(0, cores)
        threadpool_limits(len(cores))  # what is loaded already has counted all of them
    with one_line_errors():
        function(*arguments)


if __name__ == "__main__":
    with one_line_errors(), ending_children():
        tyro.cli(main, prog="bash run_all.sh")
