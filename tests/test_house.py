"""The architecture holds: floors, one reader of the environment, experiments that meet only through artifacts."""

import ast
import re
import sys
from pathlib import Path

import pytest

from smp import tracks
from smp.paths import ROOT

GROUPS = ("submission", "representations", "studies", "systems")

SRC = ROOT / "src" / "smp"
FLOORS = (
    {"memory"},
    {"errors", "progress"},
    {"paths", "metrics"},
    {"disk", "catalog", "evidence"},
    {"matrix", "tracks"},
    {"nn"},
    {"folds", "features", "encoders", "learners", "present"},
    {"clip_ft", "models", "tracks.room"},
    {"oof", "tuning", "pseudo_label"},
    {"selection", "study"},
    {"experiment", "scores"},
    {"runner"},
    {"stacking", "tracks.networks"},
    {"submission", "check"},
    {"report"},
    {"stages", "bench", "predict"},
)
FLOOR_OF = {module: i for i, floor in enumerate(FLOORS) for module in floor}
MODULES = sorted(p for p in SRC.rglob("*.py") if p != SRC / "__init__.py")
EXPERIMENTS = sorted((ROOT / "exp").glob("exp*/train.py"))


def imported(path: Path) -> set[str]:
    """Second part of every `smp.<part>` the file imports, at any depth; other packages by their own name."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"smp.{a.name}" for a in node.names] if node.module == "smp" else [node.module or ""]
        found |= {n.removeprefix("smp.").split(".")[0] for n in names}
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SRC)))
def test_a_module_imports_only_from_floors_below(path):
    own = path.relative_to(SRC).parts[0].removesuffix(".py")
    used = imported(path) & set(FLOOR_OF) - {own}
    if own == "tracks" and ("features" in path.parts or path.name == "track.py"):  # a room uses what features share
        own = "tracks.room"
    if own == "tracks" and path.name in ("networks.py", "rules.py"):  # and its experiments share what predicts its data
        own = "tracks.networks"
    for name in used:
        assert FLOOR_OF[name] < FLOOR_OF[own], f"{own} imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SRC)))
def test_only_paths_reads_the_environment(path):
    if path != SRC / "paths.py":
        assert not re.search(r"\benviron\b|\bgetenv\b", path.read_text())


@pytest.mark.parametrize("path", [*MODULES, *EXPERIMENTS], ids=lambda p: str(p.relative_to(ROOT)))
def test_every_module_says_what_it_is_for(path):
    assert ast.get_docstring(ast.parse(path.read_text()))


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda p: p.parent.name)
def test_experiments_do_not_import_each_other_and_name_their_parents(path):
    assert not [n for n in imported(path) if re.match(r"exp\d", n)]
    assert "Parents:" in ast.get_docstring(ast.parse(path.read_text()))


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda p: p.parent.name)
def test_an_experiment_imports_smp_before_what_is_slow_so_that_ctrl_c_ends_it_in_one_line(path):
    roots = re.findall(r"^(?:import|from) (\w+)", path.read_text(), re.MULTILINE)
    assert next(name for name in roots if name not in sys.stdlib_module_names) == "smp"


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda p: p.parent.name)
def test_an_experiment_declares_its_track_its_group_and_its_parents(path):
    said = {}
    for node in ast.parse(path.read_text()).body:
        name = getattr(node.targets[0], "id", "") if isinstance(node, ast.Assign) else ""
        if name in ("TRACK", "GROUP", "PARENTS"):
            said[name] = ast.literal_eval(node.value)  # literals: read without importing
    assert said["TRACK"] in tracks.names() and said["GROUP"] in GROUPS
    assert set(said["PARENTS"]) <= {p.parent.name for p in EXPERIMENTS} - {path.parent.name}
    docstring = ast.get_docstring(ast.parse(path.read_text())).split("Parents:")[1].split("Asks")[0]
    named = set(re.findall(r"exp(\d{3})", docstring))
    spans = re.findall(r"exp(\d{3})-(?:exp)?(\d{3})", docstring)
    named |= {p.parent.name[3:6] for p in EXPERIMENTS for a, b in spans if a <= p.parent.name[3:6] <= b}
    assert {name[3:6] for name in said["PARENTS"]} == named


def test_smp_never_imports_an_experiment():
    assert not [p for p in MODULES if any(re.match(r"exp\d", n) for n in imported(p))]
