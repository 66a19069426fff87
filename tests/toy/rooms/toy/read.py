"""The toy's files -> its data: messages.jsonl, passes.jsonl (who passed on what, when) and labels.csv."""

from pathlib import Path

import orjson
import pandas as pd

from smp.errors import DataError
from smp.tracks.base import Data

NAMES = ("messages.jsonl", "passes.jsonl", "labels.csv")


def files(folder: Path) -> list[Path]:
    """The files that `read` reads. Raises DataError where one is missing."""
    if missing := [name for name in NAMES if not (folder / name).is_file()]:
        raise DataError(f"{folder}: missing {', '.join(missing)}")
    return [folder / name for name in NAMES]


def read(folder: Path) -> tuple[Data, dict[str, int]]:
    """Messages with two labels each, and every pass of the first hour after the message as an event."""
    messages, passes = (pd.DataFrame(_lines(folder / name)) for name in NAMES[:2])
    labels = pd.read_csv(folder / "labels.csv", dtype={"id": str}).set_index("id")
    items = pd.DataFrame(
        {
            "split": pd.Categorical(messages["split"], categories=["train", "test"]),
            "user_id": pd.Categorical(messages["user"].astype("str")),
            "time": _moments(messages["time"]),
            "length": messages["length"].astype("float32"),
        }
    ).set_axis(pd.Index(messages["id"], name="post_id"))
    events = pd.DataFrame({"time": _moments(passes["time"])}).set_axis(pd.Index(passes["id"], name="post_id"))
    return Data(items, labels.reindex(items.index).to_numpy(), events=events), {}


def _lines(path: Path) -> list[dict]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def _moments(seconds: pd.Series) -> pd.Series:
    return pd.to_datetime(seconds, unit="s", utc=True).dt.as_unit("s")
