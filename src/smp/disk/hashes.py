"""Hashes of files and of code: what was made from them is made again when they change."""

import ast
import hashlib
import os
from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec
from pathlib import Path


def source_hash(*files: str | Path) -> str:
    """Short hash of the contents of files, such as weights or predictions."""
    digest = hashlib.blake2b(digest_size=8)
    for path in files:
        with Path(path).open("rb") as file:
            while block := file.read(2**24):  # weights may be larger than the memory
                digest.update(block)
    return digest.hexdigest()


def stat_key(files: Iterable[Path]) -> str:
    """Short hash of names, sizes, times and (behind links) identities of inputs too large to be read for it.

    A folder that is moved on its disk keeps its key, a copy does not.
    """
    found = [(p.name, p.stat(), p.is_file()) for p in files]
    stats = [(name, s.st_size if is_file else 0, s.st_mtime_ns, s.st_ino) for name, s, is_file in found]
    return hashlib.blake2b(repr(stats).encode(), digest_size=8).hexdigest()


# What decides where things lie and how they are named, but no value that is made.
NEUTRAL = {"smp.errors", "smp.paths", "smp.progress", "smp.disk.locks", "smp.disk.store", "smp.tracks.base"}


@cache
def code_hash(module: str) -> str:
    """Short hash of a module's source and of all the modules of this project that it imports, but for the NEUTRAL."""
    return source_hash(*sorted(_imported(module, set())))


def _imported(module: str, seen: set[str]) -> set[str]:
    """Source files of a module `smp...` and of what it imports; a package stands for its __init__ alone."""
    file = find_spec(module).origin
    if module in NEUTRAL or file in seen:
        return seen
    seen.add(file)
    for node in ast.walk(ast.parse(Path(file).read_bytes())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "smp":
            for alias in node.names:
                _imported(f"{node.module}.{alias.name}" if _is_module(node.module, alias.name) else node.module, seen)
    return seen


def _is_module(package: str, name: str) -> bool:
    folders = find_spec(package).submodule_search_locations or ()
    return any(os.path.exists(os.path.join(f, found)) for f in folders for found in (f"{name}.py", name))
