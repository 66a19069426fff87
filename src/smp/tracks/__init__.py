"""The tracks: a room each, found by its folder; what differs between tracks stands there and nowhere else."""

import importlib
import pkgutil
from functools import cache
from pathlib import Path

from smp.errors import DataError
from smp.tracks.base import Track


def names() -> tuple[str, ...]:
    """Every room, in alphabetical order: a folder of this package that holds track.py."""
    return _rooms(tuple(__path__))


@cache
def _rooms(places: tuple[str, ...]) -> tuple[str, ...]:
    rooms = (m.name for m in pkgutil.iter_modules(places) if m.ispkg)
    return tuple(sorted(name for name in rooms if any((Path(p) / name / "track.py").is_file() for p in places)))


def get(name: str) -> Track:
    """The track of a room. Raises DataError naming the rooms there are."""
    if name not in names():
        raise DataError(f"no track '{name}'; use one of {', '.join(names())}")
    return importlib.import_module(f"smp.tracks.{name}.track").TRACK
