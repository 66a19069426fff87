"""What lies below a folder, each file and folder once, and what a file is when it is not what its name says."""

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

SETTLED = 2_000_000_000  # nanoseconds: a folder changed more lately may change again within one tick of its clock
Names = tuple[list[str], list[str]]  # of folders, of regular files


def walk(folder: Path, widest: int | None = None) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Every folder from `folder` down, the nearest first, with the names of its folders and of its regular files.

    Links are followed; a folder that is met again through one comes once. Hidden ones and __MACOSX are left out.
    widest: where more folders than this lie side by side (those of 70,000 users), they are named but not entered.
    """
    seen, waiting = set(), deque([folder] if folder.is_dir() else [])
    while waiting:
        place = waiting.popleft()
        status = place.stat()
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        settled = time.time_ns() - status.st_mtime_ns > SETTLED
        folders, names = (_settled if settled else _listed)(place, status.st_ino, status.st_mtime_ns)
        yield place, folders, names
        if widest is None or len(folders) <= widest:
            waiting += [place / name for name in folders]


def below(folder: Path, suffixes: Sequence[str]) -> Iterator[Path]:
    """The files below a folder, the nearest first, whose names end so, in either case."""
    for place, _, names in walk(folder):
        yield from (place / name for name in names if name.lower().endswith(tuple(suffixes)))


def mistaken(path: Path) -> str:
    """What a file is that was not meant: a web page, a pointer to the file; empty where it is neither."""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        head = file.read(256).lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS in the file's place (fetch the file itself: git lfs pull)"
    if head.startswith((b"<!doctype html", b"<html", b"<?xml")):
        return "a web page in the file's place (the download went wrong, or wants a login)"
    return ""


def _listed(place: Path, *_: int) -> Names:
    with os.scandir(place) as found:
        entries = sorted((e for e in found if e.name[0] != "." and e.name != "__MACOSX"), key=lambda e: e.name)
    return [e.name for e in entries if _is(e, os.path.isdir)], [e.name for e in entries if _is(e, os.path.isfile)]


@lru_cache(1024)
def _settled(place: Path, inode: int, changed: int) -> Names:
    """The same of a folder that is as it was: every family of features asks, and 70,000 names take a while."""
    return _listed(place)


def _is(entry: os.DirEntry, kind: Callable[[str], bool]) -> bool:
    """os.path's test, which takes a loop of links for nothing, asked only where the entry itself does not know."""
    if entry.is_symlink():
        return kind(entry.path)
    return entry.is_dir(follow_symlinks=False) if kind is os.path.isdir else entry.is_file(follow_symlinks=False)
