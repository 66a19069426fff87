"""Runs the stages of a track in order, from official files to submission files: what `bash run_all.sh` calls."""

import multiprocessing
import runpy
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pandas as pd
import tyro

from smp import paths, submission
from smp.data import ensure_data
from smp.paths import ROOT, DataError, Track, one_line_errors
from smp.runner import data_name


@dataclass(frozen=True)
class Stage:
    """One experiment of a track: what it needs and what it leaves under output/."""

    name: str
    track: Track
    reads: tuple[str, ...] = field(default=("official files",))
    writes: tuple[str, ...] = ("oof.parquet", "test.parquet", "metrics.json")

    @property
    def done(self) -> bool:
        return (paths.output(self.track) / self.name / "metrics.json").exists()

    def command(self, force: bool) -> None:
        """Run the experiment's script as `python exp/<name>/train.py` would."""
        sys.argv = [f"exp/{self.name}/train.py", *(["--force"] if force else [])]
        runpy.run_path(str(ROOT / "exp" / self.name / "train.py"), run_name="__main__")


STAGES = (
    Stage("exp010_lgbm", "image"),
    Stage("exp051_lgbm", "video"),
)
FINAL: dict[Track, str] = {"image": "exp010_lgbm", "video": "exp051_lgbm"}  # what the submission is made from


def main(
    which: tyro.conf.Positional[Literal["image", "video", "all"]] = "all",
    force: bool = False,
    from_: str = "",
    list_: bool = False,
) -> None:
    """From official files to submission files; finished stages are skipped.

    Args:
        which: the track to run.
        force: run finished stages again.
        from_: run this experiment and all later ones again (expNNN or its full name).
        list_: only list the stages, what they read and write, and whether they are done.
    """
    tracks = [t for t in paths.TRACKS if which in (t, "all")]
    stages = [s for s in STAGES if s.track in tracks]
    first = next((i for i, s in enumerate(stages) if from_ and s.name.startswith(from_)), None)
    if from_ and first is None:
        raise DataError(f"--from {from_}: no such stage; use one of {', '.join(s.name for s in stages)}")
    if list_:
        rows = [
            (s.name, s.track, ", ".join(s.reads), ", ".join(s.writes), "done" if s.done else "to do") for s in stages
        ]
        print(pd.DataFrame(rows, columns=["stage", "track", "reads", "writes", "state"]).to_string(index=False))
        return
    for track in tracks:
        print(f"{track}: {data_name(track)} data in {paths.data(track)}, profile {paths.profile()}", flush=True)
        if paths.is_demo(track):
            print(
                f"  no official files in {paths.official(track)}: every {track} score below is of GENERATED DEMO data"
            )
        elif paths.profile() == "small":
            print("  small profile on official data (no GPU): set SMP_PROFILE=full on a GPU box for the full one")
        ensure_data(track)
    for i, stage in enumerate(stages):
        again = force or (first is not None and i >= first)
        step(f"[{i + 1}/{len(stages)}] {stage.name}", stage.command, again)
    for track in tracks:
        files: list[Path] = submission.write(FINAL[track], track)
        for file in files:
            step(f"check {file}", submission.check, file, track)
    for root in sorted({paths.output(t) for t in tracks}):
        print(f"\nScores ({root / 'scores.csv'}):\n{pd.read_csv(root / 'scores.csv').to_string(index=False)}")


def step(title: str, function: Callable, *arguments: object) -> None:
    """Run a stage in a forked child: its memory is its own, and what is imported already need not be again."""
    print(f"{title} ...", flush=True)
    started = time.perf_counter()
    child = multiprocessing.get_context("fork").Process(target=function, args=arguments)
    child.start()
    child.join()
    if child.exitcode:
        sys.exit(f"{title}: stopped with exit code {child.exitcode}; run the same command again to go on from there")
    print(f"{title}: {time.perf_counter() - started:.1f} s", flush=True)


if __name__ == "__main__":
    with one_line_errors():
        tyro.cli(main, prog="bash run_all.sh")
