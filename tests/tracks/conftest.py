"""What the tests of the research rooms share: a room run from its files to its fusion, in brief."""

import runpy
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from smp import paths
from smp.paths import ROOT


@pytest.fixture(scope="module")
def run_room(tmp_path_factory):
    """track, write(folder), {experiment: arguments} -> the output folder, in a small project of the module's own."""
    with pytest.MonkeyPatch.context() as patch:

        def run(track: str, write: Callable[[Path], object], experiments: Mapping[str, Sequence[str]]) -> Path:
            folder = tmp_path_factory.mktemp(track)
            for name in ("input", "output", "submissions"):
                (folder / name).mkdir()
                patch.setenv(f"SMP_{name.upper()}", str(folder / name))
            patch.setenv("SMP_PROFILE", "small")
            patch.setattr("smp.evidence.DRAWS", 16)
            write(folder / "input" / track)
            for name, arguments in experiments.items():
                patch.setattr(sys, "argv", ["train.py", *arguments])
                runpy.run_path(str(ROOT / "exp" / name / "train.py"), run_name="__main__")
            return paths.output(track)

        yield run
