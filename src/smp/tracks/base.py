"""The contract of a track: all that the rest of the project asks of a room."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from smp.metrics import Task


@dataclass(frozen=True)
class Track:
    """One challenge track or data set."""

    name: str  # the room's folder
    task: Task
    read: Callable[[Path], tuple[pd.DataFrame, dict[str, int]]]  # the official files' folder -> posts and quirks
    demo: Callable[[Path, Path, int, bool, int], dict]  # writes generated files in the official layout
    site: str  # where the official files are had
    media: Callable[[Path, pd.DataFrame], Iterator[tuple[str, str]]]  # what smp.check says of pictures or videos
    months: int = 0  # the last labelled months, each also predicted from all earlier ones
