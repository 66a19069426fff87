"""The bench of the whole track runs every stage on both sizes, and the README's table is made of what it measured."""

import os
import sys
from pathlib import Path

import pandas as pd
import pytest

from smp.bench import full
from smp.errors import DataError
from smp.paths import ROOT
from smp.report.readme import block

sys.path.insert(0, str(Path(__file__).parent))  # the server's children find it there too
import forked


def test_full_measures_every_stage_and_fills_the_readme(tmp_path, monkeypatch):
    monkeypatch.setenv("SMP_INPUT", "demo")
    for name in ("output", "submissions"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(f"SMP_{name.upper()}", str(tmp_path / name))
    monkeypatch.setenv("SMP_PROFILE", "small")

    def bench(*arguments: str) -> forked.Run:
        script = ROOT / "src" / "smp" / "bench" / "__main__.py"
        done = forked.start(script, *arguments, log=tmp_path / "logs", environment=dict(os.environ)).end()
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    done = bench("full", "--posts", "2000", "--width", "28", "--components", "14")
    assert done.stdout.count(": valid, ") == 4, "both submission files of either size"
    folder = tmp_path / "output" / "demo" / "bench"
    assert [p.name for p in folder.iterdir()] == ["full.csv"], "the generated data are gone"
    table = pd.read_csv(folder / "full.csv").set_index("stage")
    assert (table.filter(like="seconds") > 0).all(axis=None) and table["peak GB, 2,000 posts"].max() < 4
    stages = table.drop(index="all")
    assert abs(stages["seconds, 2,000 posts"].sum() - table.loc["all", "seconds, 2,000 posts"]) < 0.1

    monkeypatch.setattr(full, "ROOT", tmp_path)
    monkeypatch.setattr(full, "FIGURES", tmp_path / "figures")
    (tmp_path / "exp").mkdir()
    (tmp_path / "exp" / "README.md").write_text("a\n<!-- bench: generated -->\nold\n<!-- /bench -->\nb\n")
    with pytest.raises(DataError, match=r"run python -m smp\.bench representations"):
        full.readme()
    small = ["--models", "small-CLIP", "--projected", "small-CLIP", "--posts", "16", "--batch-size", "8"]
    bench("representations", *small, "--workers", "0")
    measured, projected = (pd.read_csv(folder / f"{name}.csv") for name in ("representations", "projected"))
    assert (measured.select_dtypes("number").drop(columns=["image_overhead", "text_overhead"]) > 0).all(axis=None)
    assert list(projected["gpus"]) == [1, 8]
    bench("gpu", "--models", "small-CLIP", "--posts", "16", "--batch-size", "8", "--workers", "0", "--repeats", "2")
    table_of = pd.read_csv(folder / "gpu.csv")
    on_gpu = ["encoding_device_gb", "training_device_gb", "launching"]
    speeds = table_of.select_dtypes("number").drop(columns=[*on_gpu, "image_overhead", "text_overhead"])
    assert (speeds > 0).all(axis=None) and table_of[on_gpu].isna().all(axis=None)
    full.readme()
    lines = (tmp_path / "exp" / "README.md").read_text().splitlines()
    assert lines[2] == "| stage | seconds, 200 posts | seconds, 2,000 posts | growth | peak GB, 2,000 posts |"
    assert [line.split(" | ")[:2] for line in lines if line.startswith("| small-CLIP")] == [
        ["| small-CLIP", "16"],
        ["| small-CLIP", "1"],
        ["| small-CLIP", "8"],
    ]
    assert len([line for line in lines if line[0:1] == "|"]) == len(table) + 2 + 3 + 4
    assert lines[-1] == "b" and "old" not in lines


def test_the_readmes_tables_are_those_measured_and_the_peak_is_below_16_gb():
    text = (ROOT / "exp" / "README.md").read_text()
    assert block("bench").search(text)[2] == full.tables() + "\n", "run python -m smp.bench readme"
    table = pd.read_csv(full.FIGURES / "bench_full.csv")
    assert list(table.columns[1:3]) == ["seconds, 48,600 posts", "seconds, 486,000 posts"]
    assert table["peak GB, 486,000 posts"].max() < 16
