"""The stage table agrees with the experiments, and the pipeline runs, resumes and starts again from a stage."""

import json
import multiprocessing
import os
import runpy
import sys
import time

import pandas as pd
import pytest

from smp import paths, stages, submission
from smp.disk.pictures import has_pictures
from smp.errors import DataError
from smp.paths import ROOT
from smp.stages import FINAL, STAGES, Stage
from smp.tracks.load import load_data

SCRIPT = '''"""Parents: none."""
from dataclasses import dataclass
from smp.learners import LightGBM
from smp.experiment import Experiment
from smp.runner import run_cv

@dataclass(frozen=True)
class Config(Experiment):
    features: tuple[str, ...] = ("video_stats",)
    learner: LightGBM = LightGBM(rounds=5)
    seeds: tuple[int, ...] = (0,)

if __name__ == "__main__":
    run_cv(__file__, Config, track="video")
'''


def test_every_experiment_is_a_stage_after_its_parents():
    names = [s.name for s in STAGES]
    assert sorted(names) == sorted(p.parent.name for p in (ROOT / "exp").glob("exp*/train.py"))
    for i, stage in enumerate(STAGES):
        assert set(stage.parents) <= set(names[:i]), f"{stage.name} comes before a parent"
    assert set(FINAL.values()) <= set(names)


@pytest.mark.parametrize("stage", STAGES, ids=lambda s: s.name)
def test_a_stage_states_the_parents_of_its_config(stage):
    config = runpy.run_path(str(ROOT / "exp" / stage.name / "train.py"), run_name="config")["Config"]()
    parents = getattr(config, "parents", None) or ([config.parent] if hasattr(config, "parent") else [])
    assert set(parents) <= set(stage.parents)


def test_a_group_brings_what_it_reads_and_only_the_small_profile_trains_its_own_clip(monkeypatch):
    study = [s for s in STAGES if s.name == "exp035_representations"]
    for profile, first in (("small", ["exp000_small_clip"]), ("full", [])):
        monkeypatch.setenv("SMP_PROFILE", profile)
        names = [s.name for s in stages.with_parents(study)]
        assert names == [*first, "exp002_clip", "exp001_clip_ft", "exp005_resnet_bert", "exp035_representations"]


def test_without_pictures_the_submission_is_made_of_what_needs_none(tmp_path, monkeypatch):
    monkeypatch.setenv("SMP_PROFILE", "small")
    left = stages.without_pictures(stages.with_parents(STAGES))
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
    assert not has_pictures(tmp_path)
    (tmp_path / "train" / "5@N1").mkdir(parents=True)
    (tmp_path / "train" / "5@N1" / "7.JPG").touch()
    assert has_pictures(tmp_path)


@pytest.fixture
def two_stages(demo_run, tmp_path, monkeypatch):
    for name in ("exp950_a", "exp951_b"):
        (tmp_path / "exp" / name).mkdir(parents=True)
        (tmp_path / "exp" / name / "train.py").write_text(SCRIPT)
    monkeypatch.setattr(stages, "ROOT", tmp_path)
    monkeypatch.setattr(stages, "STAGES", (Stage("exp950_a", "video"), Stage("exp951_b", "video", ("exp950_a",))))
    monkeypatch.setattr(stages, "FINAL", {"video": "exp951_b"})
    monkeypatch.setattr(sys, "argv", ["stages"])
    return paths.output("video")


def test_a_run_ends_in_a_checked_submission_and_a_second_one_repeats_nothing(two_stages, capfd):
    stages.main("video")
    printed = capfd.readouterr().out
    assert "[2/2] exp951_b" in printed and "valid, " in printed and "holdout_mape" in printed
    data = load_data("video")
    assert submission.problems(paths.submissions("video") / "video_exp951_b.csv", "video", data) == []
    times = {p: p.stat().st_mtime_ns for p in two_stages.glob("exp*/*")}
    stages.main("video")
    assert "exp951_b: finished earlier, nothing to do" in capfd.readouterr().out
    assert {p: p.stat().st_mtime_ns for p in two_stages.glob("exp*/*")} == times
    stages.main("video", from_="exp951")
    assert all(p.stat().st_mtime_ns == t for p, t in times.items() if p.parent.name == "exp950_a")
    assert all(p.stat().st_mtime_ns > t for p, t in times.items() if p.parent.name == "exp951_b")
    assert len(pd.read_csv(two_stages / "scores.csv")) == 2


def test_a_failing_stage_stops_the_run_with_its_reason(two_stages, tmp_path, capfd):
    (tmp_path / "exp" / "exp951_b" / "train.py").write_text(SCRIPT.replace("video_stats", "no_such_family"))
    with pytest.raises(SystemExit, match="exp951_b: stopped with exit code 1; run the same command again"):
        stages.main("video")
    assert "no such features" in capfd.readouterr().err
    assert not paths.submissions("video").exists()


@pytest.fixture
def timed(two_stages, tmp_path, monkeypatch):
    """Two stages and a third that reads both; each tells its time and its cores, the second as it is told."""
    tell = SCRIPT.replace(
        "    run_cv",
        "    import json, os, pathlib, time\n    told = [time.time(), 0, sorted(os.sched_getaffinity(0))]\n    run_cv",
    )
    tell += "    told[1] = time.time()\n    pathlib.Path(__file__).with_name('told').write_text(json.dumps(told))\n"
    for name in ("exp950_a", "exp951_b", "exp952_c"):
        (tmp_path / "exp" / name).mkdir(exist_ok=True)
        (tmp_path / "exp" / name / "train.py").write_text(tell)
    table = Stage("exp950_a", "video"), Stage("exp951_b", "video"), Stage("exp952_c", "video", ("exp950_a", "exp951_b"))
    monkeypatch.setattr(stages, "STAGES", table)
    return lambda: [json.loads((tmp_path / "exp" / s.name / "told").read_text()) for s in table]


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
    (tmp_path / "exp" / "exp951_b" / "train.py").write_text("import time\ntime.sleep(600)\n")
    started = time.time()
    with pytest.raises(SystemExit, match="exp950_a: stopped with exit code 1"):
        stages.main("video", jobs=2)
    for child in multiprocessing.active_children():
        child.join()
    assert time.time() - started < 60
    assert "exp952_c" not in capfd.readouterr().out


def test_list_says_what_is_done_and_an_unknown_stage_is_refused(two_stages, capsys):
    stages.main("video", list_=True)
    assert capsys.readouterr().out.count("to do") == 2
    with pytest.raises(DataError, match="--from exp777: no such stage; use one of exp950_a, exp951_b"):
        stages.main("video", from_="exp777")
