"""The README's generated parts: what the table says, and that the checked-in README still fits the code."""

import re

import pandas as pd
import pytest

from smp import report
from smp.paths import ROOT, DataError
from smp.stages import STAGES

ROWS = {
    "experiment": ["exp010_lgbm", "exp020_fusion"], "track": "image", "data": "GENERATED DEMO", "profile": "small",
    "scheme": "time", "cv_rows": 6286, "holdout_rows": 1257, "cv_src": [0.7, 0.72], "cv_mae": [1.3, 1.25],
    "holdout_src": [0.6, 0.625], "holdout_mae": [1.4, 1.35], "share_of_ceiling": [0.8, 0.9], "seconds": [10.0, 2.5],
    "peak_memory_gb": [0.5, 0.25],
}  # fmt: skip


def test_the_table_says_the_rows_and_every_score():
    table = report.score_table(pd.DataFrame(ROWS))
    assert "cv on 6,286 posts, holdout on the last 1,257" in table
    assert "| exp020_fusion | 0.72 | 1.25 | 0.625 | 1.35 | 0.9 | 2.5 | 0.25 |" in table
    official = pd.DataFrame(ROWS).assign(data="official", share_of_ceiling=float("nan"))
    assert "share of ceiling" not in report.score_table(official)


def test_a_block_is_replaced_and_nothing_else(tmp_path):
    file = tmp_path / "R.md"
    file.write_text("a\n<!-- scores: made by x -->\nold\nolder\n<!-- /scores -->\nb\n")
    report.replace_block(file, "scores", r"new \1")
    assert file.read_text() == "a\n<!-- scores: made by x -->\nnew \\1\n<!-- /scores -->\nb\n"
    with pytest.raises(DataError, match="no block"):
        report.replace_block(file, "table", "x")


def test_the_figure_is_drawn(tmp_path):
    report.score_figure(pd.DataFrame(ROWS), tmp_path / "f" / "scores.png")
    assert (tmp_path / "f" / "scores.png").read_bytes()[:4] == b"\x89PNG"


def test_without_scores_it_names_the_command(demo_run):
    with pytest.raises(DataError, match=r"no scores yet; make them with: bash run_all\.sh"):
        report.read_scores()


def test_the_readme_names_every_scored_experiment_and_only_those():
    text = (ROOT / "README.md").read_text()
    block = re.search(r"<!-- scores:.*?<!-- /scores -->", text, re.DOTALL)[0]
    named = set(re.findall(r"\| (exp\d+_\w+)", block))
    assert named == {s.name for s in STAGES if "oof.parquet" in s.writes}, "run: python -m smp.report readme"
    assert (ROOT / "exp" / "figures" / "scores.png").exists()
