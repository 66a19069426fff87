"""Runs the stages of a track in order, from official files to submission files: what `bash run_all.sh` calls."""

import importlib
import multiprocessing
import os
import resource
import runpy
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import wait
from typing import Annotated, Literal

import pandas as pd
import tyro
from threadpoolctl import threadpool_limits

from smp import paths, submission, tracks
from smp.disk.locks import hold
from smp.disk.pictures import has_pictures
from smp.errors import DataError, one_line_errors
from smp.paths import ROOT
from smp.report import page
from smp.scores import write_scores
from smp.tracks.load import data_name, ensure_data


@dataclass(frozen=True)
class Stage:
    """One experiment: what it reads beside the official files, and what it leaves in its folder under output/."""

    name: str
    track: str
    parents: tuple[str, ...] = ()
    writes: str = "oof.parquet, forward.parquet, test.parquet, metrics.json"
    group: Literal["submission", "studies", "representations"] = "submission"  # studies answer a question
    profiles: tuple[str, ...] = ("full", "small")  # where it is run
    arguments: tuple[str, ...] = ()  # other than the script's defaults

    @property
    def is_done(self) -> bool:
        return (paths.output(self.track) / self.name / "metrics.json").exists()

    def run(self, force: bool) -> None:
        """Run the experiment's script as `python exp/<name>/train.py` would."""
        sys.argv = [f"exp/{self.name}/train.py", *self.arguments, *(["--force"] if force else [])]
        runpy.run_path(str(ROOT / "exp" / self.name / "train.py"), run_name="__main__")


FINAL = {name: tracks.get(name).final for name in tracks.names()}  # what a track's submission is made from
LIBRARIES = ("torch", "open_clip", "lightgbm", "catboost", "sklearn.linear_model")
CLIPS = "features/image/*, metrics.json"
LEVEL1 = (
    *("exp010_lgbm", "exp011_catboost", "exp012_mlp", "exp016_linear", "exp017_huber"),
    "exp018_linear_stream",
)
VIDEO_LEVEL1 = ("exp051_lgbm", "exp052_catboost", "exp053_mlp", "exp056_forest", "exp057_gaussian")
STAGES = (
    Stage(
        "exp000_small_clip",
        "image",
        writes="an open_clip folder, metrics.json",
        group="representations",
        profiles=("small",),
    ),
    Stage("exp002_clip", "image", ("exp000_small_clip",), CLIPS, "representations"),
    Stage("exp006_clip_title_tags", "image", ("exp002_clip",), CLIPS, "representations"),
    Stage("exp001_clip_ft", "image", ("exp002_clip",), CLIPS, "representations"),
    Stage("exp003_blip", "image", (), CLIPS, "representations"),
    Stage("exp004_vit_bert", "image", (), CLIPS, "representations"),
    Stage("exp005_resnet_bert", "image", (), CLIPS, "representations"),
    *(Stage(name, "image") for name in LEVEL1),
    Stage("exp015_clip_ft", "image", ("exp001_clip_ft",)),
    Stage("exp020_fusion", "image", (*LEVEL1, "exp015_clip_ft")),
    Stage(
        "exp021_ablation",
        "image",
        ("exp001_clip_ft", "exp002_clip", "exp003_blip", "exp004_vit_bert", "exp005_resnet_bert"),
        "table1.csv, table1.md, table1.png, metrics.json",
        "studies",
    ),
    Stage(
        "exp030_sample_selection", "image", ("exp001_clip_ft",), "selection.csv, selection.png, metrics.json", "studies"
    ),
    Stage("exp031_oversampling", "image", (), "oversampling.csv, oversampling.png, metrics.json", "studies"),
    Stage(
        "exp032_alignment",
        "image",
        ("exp001_clip_ft", "exp002_clip", "exp010_lgbm"),
        "words, classes, lookalikes, spread.csv, words.png, alignment.png, metrics.json",
        "studies",
    ),
    Stage("exp033_validation", "image", writes="validation.csv, validation.png, metrics.json", group="studies"),
    Stage("exp034_families", "image", writes="families.csv, metrics.json", group="studies"),
    Stage(
        "exp035_representations",
        "image",
        ("exp001_clip_ft", "exp002_clip", "exp005_resnet_bert"),
        "representations.csv, accuracy.csv, representations.png, metrics.json",
        "studies",
    ),
    Stage(
        "exp040_hyperfusion",
        "image",
        ("exp002_clip", "exp006_clip_title_tags"),
        "oof.parquet, forward.parquet, test.parquet, steps.csv, metrics.json",
        "studies",
    ),
    *(Stage(name, "video") for name in VIDEO_LEVEL1),
    Stage("exp059_fusion", "video", VIDEO_LEVEL1),
    Stage(
        "exp050_mvp",
        "video",
        writes="steps.csv, oof.parquet, forward.parquet, test.parquet, metrics.json",
        group="studies",
    ),
    Stage("exp054_video_ideas", "video", writes="ideas.csv, metrics.json", group="studies"),
    Stage(
        "exp058_video_months",
        "video",
        ("exp050_mvp", *VIDEO_LEVEL1, "exp059_fusion"),
        "months.csv, months.md, months.png, metrics.json",
        "studies",
    ),
    Stage("exp055_frames", "video", writes="features/video/video_frames, metrics.json", group="representations"),
)


def main(
    which: tyro.conf.Positional[Literal["image", "video", "studies", "representations", "all"]] = "all",
    force: bool = False,
    from_: Annotated[str, tyro.conf.arg(name="from")] = "",
    list_: Annotated[bool, tyro.conf.arg(name="list")] = False,
    jobs: int = 0,
) -> None:
    """From official files to submission files; finished stages are skipped.

    Args:
        which: a track, which runs what its submission needs; the studies, which answer a question each; the
            representations learnt from pixels; or all of these. What these read is made first, and a report last.
        force: run finished stages again.
        from_: run this experiment and all later ones again (expNNN or its full name).
        list_: only list the stages, what they read and write, and whether they are done.
        jobs: stages at work at once, each on its share of the cores; 0: two in the small profile, whose fits are too
            small to gain by a second core, else one.
    """
    stages = with_parents([s for s in STAGES if which in (s.track if s.group == "submission" else s.group, "all")])
    if jobs < 0:
        raise DataError(f"--jobs {jobs}: stages at work at once; use 1 or more")
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
    if "image" in used and not has_pictures(paths.data("image")):
        print(f"  no picture in {paths.data('image')}: what is learnt from pictures is left out")
        stages = without_pictures(stages)
    run_stages(stages, again, jobs or (2 if paths.profile() == "small" else 1))
    for track in used if which in ("image", "video", "all") else ():
        for file in submission.write(FINAL[track], track):
            Job(f"check {file}", submission.check, file, track).end()
    for track in used:
        write_scores(track)  # a run killed before this may have left a finished experiment out
    files = [f for f in sorted({paths.output(t) / "scores.csv" for t in used}) if f.exists()]
    if files:
        Job("report", report).end()
    for file in files:
        print(f"\nScores ({file}):\n{pd.read_csv(file).to_string(index=False)}")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    print(f"\n{len(stages)} stages in {time.perf_counter() - started:.0f} s, none above {peak:.1f} GB of memory")


def with_parents(stages: Sequence[Stage]) -> list[Stage]:
    """The stages and all that they read from each other, in order; without those that this profile does not need."""
    names = {s.name for s in stages}
    for stage in reversed(STAGES):  # parents stand before their children
        names |= {*stage.parents} if stage.name in names else set()
    return [s for s in STAGES if s.name in names and paths.profile() in s.profiles]


def without_pictures(stages: Sequence[Stage]) -> list[Stage]:
    """The stages that can do without representations learnt from pictures; the final one combines what is left."""
    lost = {s.name for s in STAGES if s.track == "image" and s.group == "representations"}
    for stage in STAGES:
        lost |= {stage.name} if lost & {*stage.parents} and stage.name not in FINAL.values() else set()
    left = []
    for stage in stages:
        parents = tuple(p for p in stage.parents if p not in lost)
        fewer = {"parents": parents, "arguments": ("--parents", *parents)} if parents != stage.parents else {}
        left += [] if stage.name in lost else [replace(stage, **fewer)]
    return left


def show(stages: Sequence[Stage]) -> None:
    """Print the stages, what each reads and writes, and whether it is done."""
    rows = [
        (s.name, ", ".join(("official files", *s.parents)), s.writes, "done" if s.is_done else "to do") for s in stages
    ]
    print(pd.DataFrame(rows, columns=["stage", "reads", "writes in its folder", "state"]).to_string(index=False))


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
    for path in page.write():
        print(f"  {path}")


def run_stages(stages: Sequence[Stage], again: set[str], jobs: int) -> None:
    """Run each stage as soon as what it reads is finished, `jobs` at a time; those named in `again` though finished.

    Every job has as many cores of its own as the others, for another number of threads gives other last bits.
    """
    for library in LIBRARIES:
        importlib.import_module(library)  # once here, and not for seconds in every stage
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [None]  # not on every system
    jobs = min(jobs, len(cores))
    free = [cores[i::jobs][: len(cores) // jobs] for i in range(jobs)]
    names, waiting, running, done = {s.name for s in stages}, list(enumerate(stages)), {}, set()
    while waiting or running:
        for i, stage in waiting.copy():
            if free and done >= names.intersection(stage.parents):
                waiting.remove((i, stage))
                title, share = f"[{i + 1}/{len(stages)}] {stage.name}", free.pop()
                job = Job(title, stage.run, stage.name in again, cores=share if jobs > 1 else ())
                running[job.process.sentinel] = job, stage.name, share
        for sentinel in wait(list(running)):
            job, name, share = running.pop(sentinel)
            try:
                job.end()
            except SystemExit:
                for other, *_ in running.values():
                    other.process.terminate()  # goes on from there, like any that is killed
                raise
            done.add(name)
            free.append(share)


class Job:
    """A function in a forked child: its memory is its own, and what is imported already need not be again."""

    def __init__(self, title: str, function: Callable, *arguments: object, cores: Sequence[int] = ()):
        """cores: those that it may use; none named: all."""
        print(f"{title} ...", flush=True)
        self.title, self.started = title, time.perf_counter()
        context = multiprocessing.get_context("fork")
        self.process = context.Process(target=_in_one_line, args=(cores, function, *arguments))
        self.process.start()

    def end(self) -> None:
        """Wait for it. Exits where it failed."""
        self.process.join()
        if code := self.process.exitcode:
            sys.exit(f"{self.title}: stopped with exit code {code}; run the same command again to go on from there")
        print(f"{self.title}: {time.perf_counter() - self.started:.1f} s", flush=True)


def _in_one_line(cores: Sequence[int], function: Callable, *arguments: object) -> None:
    if cores:
        os.sched_setaffinity(0, cores)
        threadpool_limits(len(cores))  # what is loaded already has counted all of them
    with one_line_errors():
        function(*arguments)


if __name__ == "__main__":
    with one_line_errors():
        tyro.cli(main, prog="bash run_all.sh")
