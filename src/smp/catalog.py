"""The experiments there are. There is no list: each says what it is.

Each script under exp/ says in literals its TRACK, its GROUP and the PARENTS it reads (and PROFILES, where it is not run
in both; RANKS = True, where torchrun's ranks can share its work though it makes no representation); these are read from
its source without running it.
"""

import ast
import re
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from smp import paths
from smp.errors import DataError
from smp.paths import ROOT

EXPERIMENTS = ROOT / "exp"
GROUPS = ("submission", "representations", "studies", "systems")  # systems: what the research tracks end in


@dataclass(frozen=True)
class Stage:
    """One experiment, as its script declares it."""

    name: str
    track: str
    group: str
    parents: tuple[str, ...] = ()  # experiments that it reads
    profiles: tuple[str, ...] = ("full", "small")  # where it is run
    asks: str = ""  # its docstring's first sentence and question
    arguments: tuple[str, ...] = ()  # other than the script's defaults
    ranks: bool = False  # torchrun's ranks, a GPU each, share its work

    @property
    def script(self) -> Path:
        return EXPERIMENTS / self.name / "train.py"

    @property
    def folder(self) -> Path:
        return paths.output(self.track) / self.name


def discover() -> list[Stage]:
    """Every experiment, parents before their children. Raises DataError naming a script that declares too little."""
    found = {script.parent.name: declared(script) for script in sorted(EXPERIMENTS.glob("exp*/train.py"))}
    ordered = {}

    def add(stage: Stage, children: tuple[str, ...] = ()) -> None:
        if stage.name in children:
            raise DataError(f"{stage.script}: PARENTS lead back to {stage.name} itself; read earlier ones alone")
        for parent in stage.parents:
            if parent not in found:
                raise DataError(f"{stage.script}: PARENTS names {parent}, which is no folder of {EXPERIMENTS}")
            add(found[parent], (*children, stage.name))
        ordered[stage.name] = stage

    for stage in found.values():
        add(stage)
    return list(ordered.values())


def declared(script: Path) -> Stage:
    """What an experiment's script says of itself, read from its source without running it."""
    tree, said = ast.parse(script.read_bytes()), {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            with suppress(ValueError):  # not a literal: no declaration
                said[node.targets[0].id] = ast.literal_eval(node.value)
    if lacking := [name for name in ("TRACK", "GROUP", "PARENTS") if name not in said]:
        raise DataError(f"{script}: declare {', '.join(lacking)} as literals of the module")
    if said["GROUP"] not in GROUPS:
        raise DataError(f"{script}: GROUP '{said['GROUP']}' must be one of {', '.join(GROUPS)}")
    text = " ".join((ast.get_docstring(tree) or "").split())
    said_first, asked = re.match(r"(.+?)[.](?: [A-Z]|$)", text), re.search(r"Asks[^:]*: ([^?]+[?])", text)
    asks = ": ".join(m[1] for m in (said_first, asked) if m)
    stage = Stage(script.parent.name, said["TRACK"], said["GROUP"], tuple(said["PARENTS"]), asks=asks)
    ranks = said.get("RANKS", stage.group == "representations")
    return replace(stage, profiles=tuple(said.get("PROFILES", stage.profiles)), ranks=ranks)
