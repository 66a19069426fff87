"""The real stage runner over four small experiments of this folder, from generated files to submissions, in seconds."""

from dataclasses import replace
from pathlib import Path

import tyro
from matplotlib.figure import Figure

import smp.tracks.image.track as image
import smp.tracks.video.track as video
from smp import catalog, stages
from smp.errors import one_line_errors

catalog.EXPERIMENTS = Path(__file__).parent / "exp"
image.TRACK = replace(image.TRACK, final="exp952_fusion")
video.TRACK = replace(video.TRACK, final="exp953_video")
Figure.savefig = lambda *_, **__: None  # half the time of a run: what the report shows has its own tests

if __name__ == "__main__":
    with one_line_errors():
        tyro.cli(stages.main)
