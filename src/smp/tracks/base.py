"""The contract of a track: all that the rest of the project asks of a room."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from smp.metrics import Task


@dataclass(frozen=True, eq=False)
class Data:
    """What a track's official files hold. The labels stand apart: what builds features is never handed them.

    Raises ValueError where the items have a column `label`, or another number of rows than the labels.
    """

    items: pd.DataFrame  # one row an item in official order, index post_id; at least split, user_id, time (UTC)
    labels: np.ndarray  # float64 (n,) or (n, k), NaN where there is none
    events: pd.DataFrame | None = None  # any number of rows an item, index post_id, with a column time
    edges: pd.DataFrame | None = None  # likewise, who passed it on to whom

    def __post_init__(self):
        object.__setattr__(self, "labels", np.asarray(self.labels, np.float64))
        if "label" in self.items or len(self.items) != len(self.labels):
            raise ValueError(f"labels {self.labels.shape} stand apart from the {len(self.items)} items, a row each")

    def __len__(self) -> int:
        return len(self.items)

    @property
    def ids(self) -> pd.Index:
        return self.items.index

    @property
    def users(self) -> np.ndarray:
        """(n,) a number for the user of every item, -1 for none."""
        return self.items["user_id"].cat.codes.to_numpy()

    @property
    def labelled(self) -> np.ndarray:
        """(n,) bool: the items whose labels are all known."""
        return np.isfinite(self.labels).reshape(len(self), -1).all(axis=1)

    def shown(self, rows: np.ndarray) -> np.ndarray:
        """The labels of the positions `rows`, and NaN for every other item; (n,) or (n, k)."""
        out = np.full_like(self.labels, np.nan)
        out[rows] = self.labels[rows]
        return out

    def until(self, time: pd.Timestamp | pd.Series) -> "Data":
        """What was known at a time, one for all or one an item (by post_id): events and edges after it left out."""
        known = {}
        for name, table in (("events", self.events), ("edges", self.edges)):
            if table is not None and "time" in table:
                last = table.index.map(time) if isinstance(time, pd.Series) else time
                known[name] = table[table["time"] <= last]
        return replace(self, **known)


@dataclass(frozen=True)
class Split:
    """How a track is cut in time."""

    blocks: int = 5  # folds of near-equal size; the last is the holdout
    shares: tuple[float, ...] = ()  # of the blocks, where they are not equal
    of: Literal["items", "moments"] = "items"  # what the blocks have equal numbers, or shares, of
    rolling: bool = False  # every block is predicted from earlier ones alone, and the first by none: no fold sees later
    forward: Literal["blocks", "months"] = "blocks"  # what is also predicted from all that is earlier, one by one
    months: int = 0  # of the last labelled months, where forward parts are months
    # How long after its item a label is known, or the items' column that says when: what is younger is not learnt from.
    purge: pd.Timedelta | str | None = None
    copies: str | None = None  # an items' column: rows that share its value with one that is asked are not learnt from


@dataclass(frozen=True)
class Family:
    """Features that are made together.

    build: `build(items)` -> a frame, or an array (n, d) that is stored as float16; rows as in items. With labels=True
    `build(items, y, block, seed)` -> a frame, y (n,) NaN where hidden, block (n,) the time block of every item: made
    inside each fit and never stored; the seed may change what rows with a label get, and no other's. What else it takes
    is said here and comes as said.
    """

    build: Callable
    # What is learnt of all posts before any is described (a vocabulary, axes, centres): `learn(items)`, with shards=
    # where build has it. build makes it itself, or is given as learnt= what was learnt of other posts: so new ones are
    # described in the terms that the models know.
    learn: Callable | None = None
    alone: bool = False  # but for what is learnt a row is made of itself alone
    reads: tuple[str, ...] = ()  # stored embeddings that follow the items, (n, d) each
    labels: bool = False
    events: bool = False  # given as events=
    edges: bool = False  # given as edges=
    shards: bool = False  # a folder for long work that goes on where it stopped, given as shards=
    inputs: Callable[[], list[Path]] | None = None  # files or folders that it reads beside the official metadata
    external: bool = False  # those files come from outside the official data: a submission has to say so


@dataclass(frozen=True)
class Submission:
    """The files a challenge takes."""

    id_column: str
    prefix: str = ""  # before every id
    score_column: str = "popularity_score"
    decimals: int = 4
    json_version: str = ""  # of the JSON form; empty where there is none


@dataclass(frozen=True)
class NewPosts:
    """How posts are read that are in no split, and for which there is a prediction none the less."""

    read: Callable[[Path], tuple[Data, dict[str, int]]]  # a folder with the test split's files alone
    columns: Mapping[str, str]  # what the official files call the items' columns
    account: tuple[str, ...]  # columns that say something of the account: of a known user the latest post's
    media: str  # the column of paths to the post's picture or video
    complete: Callable[[pd.DataFrame], pd.DataFrame] = lambda items: items  # what follows from other columns


@dataclass(frozen=True)
class Exhibit:
    """A table (csv) or picture (png) of a finished experiment that the report shows."""

    experiment: str
    file: str
    title: str
    section: str = "studies"  # or data, drift; another name is a section of its own
    shape: Callable[[pd.DataFrame], pd.DataFrame] | None = None  # the table as it is to be shown
    summary: Callable[[pd.DataFrame], str] | None = None  # what it says, in one line at the top of the report


@dataclass(frozen=True)
class Track:
    """One challenge track or data set."""

    name: str  # the room's folder
    task: Task
    split: Split
    files: Callable[[Path], list[Path]]  # the official files' folder -> those that `read` reads; DataError: not there
    read: Callable[[Path], tuple[Data, dict[str, int]]]  # the folder -> the data, and how often each quirk was met
    demo: Callable[[Path, Path, int, bool, int], dict]  # writes generated files in the official layout
    site: str  # where the official files are had
    families: Mapping[str, Family]
    embeddings: Mapping[str, str] = field(default_factory=dict)  # stored by an experiment -> the experiment
    media: Callable[[Path, pd.DataFrame], Iterator[tuple[str, str]]] | None = None  # what smp.check says of pictures
    media_paths: tuple[str, ...] = ()  # the items' columns that hold paths of pictures or videos below the folder
    has_media: Callable[[Path], bool] = lambda folder: True  # whether what representations are learnt from is there
    submission: Submission | None = None
    new_posts: NewPosts | None = None  # None: there is no prediction but of the data's own
    final: str = ""  # the experiment that the submission is made from
    exhibits: tuple[Exhibit, ...] = ()  # what the report shows of this track alone
