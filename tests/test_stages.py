"""Experiments are found and ordered by what they declare, and run, resume and start again from a stage."""

import json
import multiprocessing
import os
import re
import runpy
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pandas as pd
import pytest
from PIL import Image

from smp import catalog, paths, stages, submission, tracks
from smp.disk.locks import release
from smp.disk.pictures import has_pictures
from smp.errors import DataError
from smp.paths import ROOT
from smp.tracks.load import load_data

SCRIPT = '''"""Asks: nothing. It is a test."""
from dataclasses import dataclass
from smp.learners import LightGBM
from smp.experiment import Experiment
from smp.runner import run_cv

TRACK = "video"
GROUP = "submission"
PARENTS = ()

@dataclass(frozen=True)
class Config(Experiment):
    features: tuple[str, ...] = ("video_stats",)
    learner: LightGBM = LightGBM(rounds=5)
    seeds: tuple[int, ...] = (0,)

if __name__ == "__main__":
    run_cv(__file__, Config, TRACK)
'''
FOUND = catalog.discover()


def test_every_experiment_is_a_stage_after_its_parents():
    names = [s.name for s in FOUND]
    assert sorted(names) == sorted(p.parent.name for p in (ROOT / "exp").glob("exp*/train.py"))
    for i, stage in enumerate(FOUND):
        assert set(stage.parents) <= set(names[:i]), f"{stage.name} comes before a parent"
        assert stage.track in tracks.names() and stage.asks
    assert {final for t in tracks.names() if (final := tracks.get(t).final)} <= set(names)


@pytest.mark.parametrize("stage", FOUND, ids=lambda s: s.name)
def test_a_stage_states_the_parents_of_its_config(stage):
    config = runpy.run_path(str(ROOT / "exp" / stage.name / "train.py"), run_name="config")["Config"]()
    parents = getattr(config, "parents", None) or ([config.parent] if hasattr(config, "parent") else [])
    assert set(parents) <= set(stage.parents)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s: s.replace("PARENTS = ()", ""), "exp950_a/train.py: declare PARENTS as literals"),
        (lambda s: s.replace("()", "('exp777_none',)", 1), "exp950_a/train.py: PARENTS names exp777_none"),
        (lambda s: s.replace("()", "('exp950_a',)", 1), "exp950_a/train.py: PARENTS lead back to exp950_a"),
        (lambda s: s.replace('"submission"', '"submisson"'), "GROUP 'submisson' must be one of submission, "),
    ],
)
def test_a_script_that_declares_too_little_is_refused_with_one_line(two_stages, tmp_path, change, says):
    script = tmp_path / "exp" / "exp950_a" / "train.py"
    script.write_text(change(script.read_text()))
    with pytest.raises(DataError, match=says):
        catalog.discover()


def test_what_makes_representations_or_says_so_shares_ranks():
    ranks = {s.name for s in FOUND if s.ranks}
    assert ranks == {s.name for s in FOUND if s.group == "representations"} | {"exp036_clip_ft_options"}


def test_a_group_brings_what_it_reads_and_only_the_small_profile_trains_its_own_clip(monkeypatch):
    for profile, first in (("small", ["exp000_small_clip"]), ("full", [])):
        monkeypatch.setenv("SMP_PROFILE", profile)
        names = [s.name for s in stages.chosen("representations") if s.track == "image"]
        assert names[: len(first) + 2] == [*first, "exp002_clip", "exp001_clip_ft"]
        every = stages.chosen("all")
        assert all({*s.parents} <= {t.name for t in every} for s in every)


def test_nothing_named_is_the_submissions_and_what_they_read_alone(monkeypatch):
    monkeypatch.setenv("SMP_PROFILE", "small")
    names = {s.name for s in stages.chosen("")}
    assert names == {s.name for t in ("image", "video") for s in stages.chosen(t)}
    assert names >= {"exp000_small_clip", "exp001_clip_ft", "exp020_fusion", "exp059_fusion"}
    assert not names & {"exp003_blip", "exp004_vit_bert", "exp021_ablation", "exp040_hyperfusion", "exp050_mvp"}
    assert {s.group for s in stages.chosen("")} == {"submission", "representations"}
    with pytest.raises(DataError, match=r"'vidoe': use one of .*video, representations, studies, systems, all"):
        stages.chosen("vidoe")


def test_without_pictures_the_submission_is_made_of_what_needs_none(tmp_path, monkeypatch):
    monkeypatch.setenv("SMP_PROFILE", "small")
    left = stages.without_representations(stages.chosen("all"), "image")
    names = {s.name for s in left}
    assert not names & {
        "exp000_small_clip",
        "exp001_clip_ft",
        "exp015_clip_ft",
        "exp021_ablation",
        "exp035_representations",
    }
    assert names >= {"exp010_lgbm", "exp020_fusion", "exp033_validation", "exp055_frames", "exp059_fusion"}
    assert all(names >= {*s.parents} for s in left)
    [fusion] = [s for s in left if s.name == "exp020_fusion"]
    assert fusion.arguments == ("--parents", *fusion.parents) and "exp010_lgbm" in fusion.parents
    assert not any(s.arguments for s in left if s != fusion)
    (tmp_path / "7").write_bytes(b"no picture")
    assert not has_pictures(tmp_path)
    Image.new("RGB", (4, 4)).save(tmp_path / "8", "JPEG")
    assert has_pictures(tmp_path)
    (tmp_path / "8").unlink()
    (tmp_path / "train" / "5@N1").mkdir(parents=True)
    (tmp_path / "train" / "5@N1" / "7.JPG").touch()
    assert has_pictures(tmp_path)


@pytest.fixture
def experiments(demo_run, tmp_path, monkeypatch):
    """A project of its own: parents by name -> their scripts written; the video track ends in exp951_b."""

    def write(script: str, **parents: tuple[str, ...]) -> None:
        for name, reads in parents.items():
            (tmp_path / "exp" / name).mkdir(parents=True, exist_ok=True)
            text = script.replace("PARENTS = ()", f"PARENTS = {reads!r}")
            (tmp_path / "exp" / name / "train.py").write_text(text)

    monkeypatch.setattr(catalog, "EXPERIMENTS", tmp_path / "exp")
    monkeypatch.setattr("smp.tracks.video.track.TRACK", replace(tracks.get("video"), final="exp951_b"))
    monkeypatch.setattr(sys, "argv", ["stages"])
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda *_, **__: None)  # the report has its own tests
    return write


@pytest.fixture
def two_stages(experiments):
    experiments(SCRIPT, exp950_a=(), exp951_b=("exp950_a",))
    return paths.output("video")


def test_a_run_ends_in_a_checked_submission_and_a_second_one_repeats_nothing(two_stages, tmp_path, capfd):
    stages.main("video")
    printed = capfd.readouterr().out
    assert "[2/2] exp951_b" in printed and "valid, " in printed and "holdout_mape" in printed
    assert "2 of 2 stages run" in printed and re.search(r"next: .*python exp/exp951_b/train.py --help", printed)
    data = load_data("video")
    assert submission.problems(paths.submissions("video") / "video_exp951_b.csv", "video", data) == []
    times = {p: p.stat().st_mtime_ns for p in two_stages.glob("exp*/*")}
    stages.main("video")
    printed = capfd.readouterr().out
    assert "exp951_b: finished earlier, nothing to do" in printed and "[2/2]" not in printed
    assert {p: p.stat().st_mtime_ns for p in two_stages.glob("exp*/*")} == times
    script = tmp_path / "exp" / "exp951_b" / "train.py"
    script.write_text(script.read_text() + "# says nothing new: asked again, and left as it is\n")
    stages.main("video")
    printed = capfd.readouterr().out
    assert "[2/2] exp951_b" in printed and "exp951_b: finished earlier, nothing to do" in printed
    assert {p: p.stat().st_mtime_ns for p in two_stages.glob("exp*/*")} == times
    stages.main("video", from_="exp951")
    assert all(p.stat().st_mtime_ns == t for p, t in times.items() if p.parent.name == "exp950_a")
    assert all(p.stat().st_mtime_ns > t for p, t in times.items() if p.parent.name == "exp951_b")
    assert len(pd.read_csv(two_stages / "scores.csv")) == 2


def test_a_finished_run_is_recognised_without_a_heavy_library(two_stages):
    stages.main("video")
    release(two_stages / ".locks" / "run_all")  # which this process would hold to its end
    heavy = "torch", "open_clip", "lightgbm", "catboost", "sklearn", "matplotlib", "timm", "transformers"
    code = f"""
import sys
from dataclasses import replace
from pathlib import Path
from smp import catalog, stages, tracks
import smp.tracks.video.track as room
catalog.EXPERIMENTS = Path({str(catalog.EXPERIMENTS)!r})
room.TRACK = replace(room.TRACK, final="exp951_b")
stages.main("video")
sys.exit(", ".join(m for m in {heavy} if m in sys.modules) or 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "0 of 2 stages run" in done.stdout


def test_a_failing_stage_stops_the_run_with_its_reason(two_stages, tmp_path, capfd):
    (tmp_path / "exp" / "exp951_b" / "train.py").write_text(SCRIPT.replace("video_stats", "no_such_family"))
    with pytest.raises(SystemExit, match="exp951_b: stopped with exit code 1; run the same command again"):
        stages.main("video")
    assert "no such features" in capfd.readouterr().err
    assert not paths.submissions("video").exists()


@pytest.fixture
def timed(experiments, tmp_path):
    """Two stages and a third that reads both; each tells its time and its cores."""
    tell = SCRIPT.replace(
        "    run_cv",
        "    import json, os, pathlib, time\n    told = [time.time(), 0, sorted(os.sched_getaffinity(0))]\n    run_cv",
    )
    tell += "    told[1] = time.time()\n    pathlib.Path(__file__).with_name('told').write_text(json.dumps(told))\n"
    table = {"exp950_a": (), "exp951_b": (), "exp952_c": ("exp950_a", "exp951_b")}
    experiments(tell, **table)
    return lambda: [json.loads((tmp_path / "exp" / name / "told").read_text()) for name in table]


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2, reason="one core")
def test_two_jobs_run_side_by_side_on_cores_of_their_own_and_a_child_waits_for_its_parents(timed, capfd):
    stages.main("video", jobs=2)
    (a, a_end, a_cores), (b, b_end, b_cores), (c, *_) = timed()
    assert max(a, b) < min(a_end, b_end) and c > max(a_end, b_end)
    assert a_cores and len(a_cores) == len(b_cores) and not {*a_cores} & {*b_cores}
    stages.main("video", jobs=1, force=True)
    (a, a_end, a_cores), (b, b_end, b_cores), (c, *_) = timed()
    assert a_end < b and b_end < c and a_cores == b_cores == sorted(os.sched_getaffinity(0))


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2, reason="one core")
def test_a_failing_stage_stops_the_one_beside_it(timed, tmp_path, capfd):
    (tmp_path / "exp" / "exp950_a" / "train.py").write_text(SCRIPT.replace("video_stats", "no_such_family"))
    (tmp_path / "exp" / "exp951_b" / "train.py").write_text(
        SCRIPT.replace("    run_cv", "    import time\n\n    time.sleep(600)\n    run_cv")
    )
    started = time.time()
    with pytest.raises(SystemExit, match="exp950_a: stopped with exit code 1"):
        stages.main("video", jobs=2)
    for child in multiprocessing.active_children():
        child.join()
    assert time.time() - started < 60
    assert "exp952_c" not in capfd.readouterr().out


JOB = """
import os, pathlib, signal, sys, time
from smp import stages, study
from smp.errors import one_line_errors

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs are born without it

def work(cell):
    print(os.getpid(), flush=True)
    time.sleep(600)

def share(folder):
    study.run_cells(pathlib.Path(folder), ["a", "b"], work, 2)

with one_line_errors(), stages.ending_children():
    stages.Job("a job", (work, share)[int(sys.argv[1]) - 1], sys.argv[2]).end()
"""


@pytest.mark.parametrize(
    ("number", "code", "told"), [(signal.SIGTERM, 143, ""), (signal.SIGINT, 130, "interrupted; run")]
)
@pytest.mark.parametrize("workers", [1, 2])
def test_whatever_ends_a_run_ends_its_stages_and_their_workers(number, code, told, workers, tmp_path):
    command = [sys.executable, "-c", JOB, str(workers), str(tmp_path)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE if workers == 1 else subprocess.DEVNULL}
    run = subprocess.Popen(command, **pipes, text=True, start_new_session=True)
    assert run.stdout.readline() == "a job ...\n"
    at_work = [int(run.stdout.readline()) for _ in range(workers)]
    os.killpg(run.pid, number) if number == signal.SIGINT else run.terminate()  # Ctrl-C goes to the whole group
    said = run.communicate(timeout=30)[1] or told
    assert run.returncode == code and "Traceback" not in said and told in said and len(said.split("\n")) <= 3
    for process in at_work:
        with pytest.raises(ProcessLookupError):
            for _ in range(100):
                os.kill(process, 0)
                time.sleep(0.05)


WRITER = """
from smp import stages
from smp.errors import one_line_errors

with one_line_errors(), stages.ending_children():
    print("x" * 9, flush=True)
    stages.Job("a job", print, "x\\n" * 100_000).end()
    print("never said")
"""


def test_a_reader_that_wants_no_more_of_a_stage_is_no_error():
    command = f"set -o pipefail; {sys.executable} -c '{WRITER}' | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (141, "x" * 9 + "\n", "")


def test_a_submissions_folder_that_cannot_be_written_is_said_before_the_first_stage(two_stages, tmp_path, monkeypatch):
    (tmp_path / "a file").touch()
    monkeypatch.setenv("SMP_SUBMISSIONS", str(tmp_path / "a file"))
    monkeypatch.setattr(stages, "run_stages", lambda *arguments: pytest.fail("a stage is run"))
    with pytest.raises(DataError, match="a file: cannot be written"):
        stages.main("video")


RANKS = """
import json
import os
import pathlib
import sys

from smp.nn.parallel import once, process_group, ranks

TRACK = "video"
GROUP = "studies"
PARENTS = ()
RANKS = True

with process_group():
    rank, world = ranks()
    if "--fail" in sys.argv and rank:
        sys.exit("error: no such thing")
    if "--kill" in sys.argv and rank:
        os.kill(os.getpid(), 9)
    told = once(lambda: 40 + rank)
    pathlib.Path(__file__).with_name(f"rank{rank}").write_text(json.dumps([world, told, sys.argv[1:]]))
"""


@pytest.mark.parametrize(
    ("arguments", "fails"),
    [
        (("--x", "1"), ""),
        (("--fail",), "exp950_a: stopped with exit code 1; run the same command again"),
        (("--kill",), "exp950_a: stopped with exit code 137; killed, as the system does when memory"),
    ],
)
def test_what_learns_from_pixels_runs_on_every_gpu(tmp_path, monkeypatch, capfd, arguments, fails):
    """Two ranks, on the CPU."""
    monkeypatch.setattr(paths, "gpus", lambda: 2)
    monkeypatch.setattr(catalog, "EXPERIMENTS", tmp_path)
    script = tmp_path / "exp950_a" / "train.py"
    script.parent.mkdir()
    script.write_text(RANKS)
    stage = replace(catalog.declared(script), arguments=arguments)
    job = stages.Job("exp950_a", stages.run_script, stage, False)
    if fails:
        with pytest.raises(SystemExit, match=fails):
            job.end()
        assert ("error: no such thing" in capfd.readouterr().err) == ("--fail" in arguments)
    else:
        job.end()
        assert [json.loads((script.parent / f"rank{r}").read_text()) for r in (0, 1)] == [[2, 40, ["--x", "1"]]] * 2


def test_list_says_what_is_done_and_an_unknown_stage_is_refused(two_stages, capsys):
    stages.main("video", list_=True)
    assert capsys.readouterr().out.count("to do") == 2
    with pytest.raises(DataError, match="--from exp777: no such stage; use one of exp950_a, exp951_b"):
        stages.main("video", from_="exp777")
