"""The real stage runner over four small experiments of this folder, from generated files to submissions, in seconds."""

from pathlib import Path

import tyro

from smp import stages
from smp.errors import one_line_errors
from smp.stages import Stage

stages.ROOT = Path(__file__).parent
stages.STAGES = (
    Stage("exp950_trees", "image"),
    Stage("exp951_catboost", "image"),
    Stage("exp952_fusion", "image", ("exp950_trees", "exp951_catboost")),
    Stage("exp953_video", "video"),
)
stages.FINAL = {"image": "exp952_fusion", "video": "exp953_video"}

if __name__ == "__main__":
    with one_line_errors():
        tyro.cli(stages.main)
