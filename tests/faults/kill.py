"""Kill a run at random moments until it completes, and hold what it left against an undisturbed one.

    python tests/faults/kill.py                              # bash run_all.sh on the demo, killed at least 20 times
    python tests/faults/kill.py --posts 1000 --kills 30 -- python -m smp.stages image

Each kill is a SIGKILL to the whole process group. Shown, and else the script fails: no finished file is ever written
again, every file of the end is byte for byte that of the undisturbed run, nothing half-written is left where a file
should be. Under --folder lie the two runs' outputs and `killed.log`, all that the killed run printed.
"""

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import torch

ROOT = Path(__file__).resolve().parents[2]
# Rewritten by every run: stamps, tables, logs; or not whole yet.
VOLATILE = re.compile(
    r"(^|/)(run\.json|stages\.json|scores\.csv|log\.txt|studies/.*|report/.*|\.locks/.*|\.[^/]*\.lock)$|\.(partial|shards|deleted)(/|$)"
)
BESIDE = re.compile(r"(^|/)posts/\w+\.\w+\.parquet$")  # labels, events and edges of the items
# What counts before an experiment is complete.
PART = re.compile(r"(^|/)((fold\d+|month[\d-]+|block\d+|holdout|full)|cells/[^/]+)\.parquet$")
TIMED = re.compile(r"(^|/)((metrics|config)\.json|selection\.png)$")  # show seconds, or times of input files
KEYED = re.compile(r"(^|/)(posts|features|cells)/.*\.parquet$")  # the same table under a note that holds such
COST = re.compile(r"seconds|_mb(_|$)")  # columns of a csv file that are measured anew


def finished(folder: Path) -> dict[str, tuple[int, int]]:
    """Finished files below a folder: relative path -> inode and time of the last change."""
    found = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            relative = str(path.relative_to(folder))
            last = path.with_name(f"{path.stem}.ids.parquet") if path.suffix == ".npy" else path  # the ids come last
            if BESIDE.search(relative):
                last = path.with_name(f"{path.name.split('.')[0]}.parquet")  # the items do
            if last.exists() and not VOLATILE.search(relative) and (PART.search(relative) or not is_open(path, folder)):
                stat = path.stat()
                found[relative] = stat.st_ino, stat.st_mtime_ns
    return found


def is_open(path: Path, folder: Path) -> bool:
    """Whether the file belongs to an experiment that is not complete: it has no metrics.json yet."""
    home = next((p for p in path.parents if re.match(r"exp\d", p.name) and p.is_relative_to(folder)), None)
    return home is not None and not (home / "metrics.json").exists()


def environment(folder: Path, posts: int) -> dict[str, str]:
    """A project folder of its own, in the small profile, of generated data."""
    folder.mkdir(parents=True, exist_ok=True)
    places = {f"SMP_{name.upper()}": str(folder / name) for name in ("output", "submissions")}
    return (
        os.environ
        | places
        | {"SMP_INPUT": "demo", "SMP_DEMO_POSTS": str(posts), "SMP_PROFILE": "small", "PYTHONUNBUFFERED": "1"}
    )


def fits(output: Path) -> list[tuple[str, str]]:
    """(experiment, fit) of every fit that a log tells of."""
    told = re.compile(r"^\S+ \S+ (\S+ seed \d+): ", re.MULTILINE)
    return [(log.parent.name, fit) for log in output.rglob("exp*/log.txt") for fit in told.findall(log.read_text())]


def run_killed(command: list[str], folder: Path, posts: int, reach: float, rng: np.random.Generator) -> int:
    """Run and kill until the command completes; returns the number of kills. reach: the longest time to a kill, s."""
    before, kills, stuck = {}, 0, 0
    with (folder / "killed.log").open("a") as log:
        while True:
            delay = rng.uniform(0, reach * 1.3**stuck)
            process = subprocess.Popen(
                command, env=environment(folder, posts), stdout=log, stderr=log, start_new_session=True
            )
            try:
                code = process.wait(timeout=delay)
            except subprocess.TimeoutExpired:
                code = None
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            after = finished(folder / "output")
            lost = [name for name in before if after.get(name) != before[name]]
            assert not lost, f"finished, and written again or lost after kill {kills}: {lost}"
            if code == 0:
                return kills
            assert code is None, f"stopped by itself with exit code {code}; see {folder / 'killed.log'}"
            kills += 1
            stuck = stuck + 1 if len(after) == len(before) else 0  # a fit may need longer than the time to a kill
            print(f"kill {kills:3} after {delay:5.1f} s: {len(after):5} finished files, none written again", flush=True)
            before = after


def content(path: Path) -> object:
    """What must be equal: a file's bytes; of a checkpoint the values, as pickle tells who shared a string; of a table
    what was not measured while it was made."""
    if path.suffix == ".pt":
        return plain(torch.load(path, weights_only=True))
    if KEYED.search(str(path)):
        return pq.read_table(path).replace_schema_metadata()
    if path.suffix == ".csv":
        table = pd.read_csv(path)
        return table[[c for c in table if not COST.search(c)]].to_csv()
    return path.read_bytes()


def plain(state: object) -> object:
    if isinstance(state, dict):
        return {key: plain(value) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return [plain(value) for value in state]
    return (state.dtype, state.shape, state.numpy().tobytes()) if isinstance(state, torch.Tensor) else state


def compare(whole: Path, killed: Path) -> list[str]:
    """Names of the files under both; raises AssertionError where they or their bytes differ."""
    left, right = (sorted(finished(folder)) for folder in (whole, killed))
    assert left == right, f"{killed}: other files than {whole}: {sorted(set(left) ^ set(right))}"
    names = [name for name in left if not TIMED.search(name)]
    other = [name for name in names if content(whole / name) != content(killed / name)]
    assert not other, f"{killed}: other bytes than in {whole}: {other}"
    assert not list(killed.rglob("*.partial")), f"{killed}: half-written files are left"
    return names


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="kills that the run must survive before it completes")
    parser.add_argument("--posts", type=int, default=600, help="size of the demo (SMP_DEMO_POSTS)")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments")
    parser.add_argument("--folder", type=Path, help="where both runs' outputs are kept (default: nowhere)")
    parser.add_argument("command", nargs="*", default=["bash", str(ROOT / "run_all.sh")], help="after --")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder, rng = options.folder or Path(temporary), np.random.default_rng(options.seed)
        whole = folder / "whole"
        started = time.perf_counter()
        done = subprocess.run(
            options.command, env=environment(whole, options.posts), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        seconds = time.perf_counter() - started
        print(f"undisturbed: {seconds:.1f} s, {len(finished(whole / 'output'))} files, {len(fits(whole))} fits")
        reach, attempt = max(2.5 * seconds / options.kills, 1.0), 0
        while True:
            attempt += 1
            killed = folder / f"killed{attempt}"
            killed.mkdir(parents=True)
            kills = run_killed(options.command, killed, options.posts, reach, rng)
            if kills >= options.kills:
                break
            print(f"complete after {kills} kills only: once more, with shorter times", flush=True)
            reach /= 1.5
        names = compare(whole / "output", killed / "output")
        uploads = compare(whole / "submissions", killed / "submissions")
        made, logged = set(fits(whole)), fits(killed)
        assert made <= set(logged), f"fits that no log tells of: {made - set(logged)}"
        print(
            f"completed after {kills} kills: {len(names)} outputs and {len(uploads)} submission files byte for byte "
            f"those of the undisturbed run; {len(made)} fits, {len(logged) - len(made)} begun again after a kill"
        )


if __name__ == "__main__":
    sys.exit(main())
