"""Micro-videos as daily snapshots of their counters: videos.csv, snapshots.csv, window.json -> the track's data."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from smp.errors import DataError
from smp.tracks import official
from smp.tracks.base import Data

VIDEOS, SNAPSHOTS, WINDOW = "videos.csv", "snapshots.csv", "window.json"
SITE = "a crawl of your own: a row a video and a row a snapshot, as input/README.md says"
COUNTERS = ("views", "likes", "comments", "n_countries")
CATEGORIES = ("channel", "category", "lang")
# What is known of a video when it is published; of other columns nobody says when they were measured.
NUMBERS = ("duration_s", "title_len", "n_hashtags", "n_tags", "upper_ratio")
EARLY, LATE = 8.0, 16.0  # hours that a label's snapshot may lie before and after the target day
FURTHEST = 1e6  # hours, a century: an age beyond is none


@dataclass(frozen=True)
class Window:
    """Snapshots younger than `observation` are seen; views at about `target` are asked for. Hours since publishing."""

    observation: float
    target: float


def read_window(path: Path) -> Window:
    """`window.json`. Raises DataError where it is missing or says nothing that can be asked."""
    try:
        stated = json.loads(path.read_text(encoding="utf-8-sig"))
        window = Window(float(stated["observation_hours"]), 24 * float(stated["target_day"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f'{path}: not readable ({error!r:.80}); write {{"observation_hours": 48, "target_day": 7}} into it'
        ) from None
    if not 0 < window.observation <= window.target - EARLY or not window.target < FURTHEST:
        raise DataError(f"{path}: the observation must end before the target day's snapshots, {EARLY:g} h before it")
    return window


def files(folder: Path) -> list[Path]:
    """What `read` reads: the videos, their snapshots, what is asked of them, and vectors of their content; the last two
    beside the videos where they lie nowhere else."""
    found = official.needed(folder, {VIDEOS: VIDEOS, SNAPSHOTS: SNAPSHOTS}, SITE, {WINDOW: WINDOW})
    window = found.get(WINDOW, found[VIDEOS].with_name(WINDOW))
    return [found[VIDEOS], found[SNAPSHOTS], window, *sorted(found[VIDEOS].parent.glob("features/*.parquet"))]


def read(folder: Path) -> tuple[Data, dict[str, int]]:
    """The videos with a snapshot inside the observation, and how often each quirk was met.

    Items, in the order of the file: `split` (test where there is no label), `time` (UTC) of publishing, `known` (when
    the label was), `user_id` (the channel), `asked` (when the observation ends), `observation` and `horizon` (hours;
    the age of the label's snapshot), `last` (log2(1 + views) of the last observed snapshot), what videos.csv tells of
    the video, and the columns of features/*.parquet as `content_<j>`. A label is the growth: log2(1 + views) of the
    snapshot nearest to the target day less `last`. Events: the observed snapshots alone, time, age_h and counters (NaN
    where hidden), in the order of age. Raises DataError.
    """
    (path, counted, stated, *vectors), quirks = files(folder), Counter()
    window = read_window(stated)
    videos, snapshots = _videos(path, quirks), _snapshots(counted, quirks)
    known = snapshots["video"].isin(videos.index)
    quirks["snapshots of videos that are not in videos.csv dropped"] = int((~known).sum())
    snapshots = snapshots[known]

    falls = snapshots.groupby("video", sort=False)["views"].diff() < 0
    quirks["views that fall from one snapshot to the next kept"] = int(falls.sum())
    seen = snapshots[snapshots["age_h"] < window.observation]
    last = np.log2(1 + seen.groupby("video", sort=False)["views"].last())
    here = videos.index.isin(last.index)
    quirks["videos without a snapshot inside the observation left out"] = int((~here).sum())
    videos = videos[here]

    away = (snapshots["age_h"] - window.target).abs().where(snapshots["age_h"].between(*_span(window)))
    nearest = snapshots.assign(away=away).dropna(subset="away").sort_values("away", kind="stable")
    label = nearest.drop_duplicates("video").set_index("video").reindex(videos.index)
    quirks["videos without a snapshot at the target day, not labelled"] = int(label["views"].isna().sum())
    if not label["views"].notna().any():
        raise DataError(
            f"{counted}: no video has a snapshot before {window.observation:g} h and one at "
            f"{_span(window)[0]:g} to {_span(window)[1]:g} h; mend {stated}"
        )
    horizon = label["age_h"].fillna(window.target)
    items = pd.DataFrame(
        {
            "split": pd.Categorical(np.where(label["views"].notna(), "train", "test"), categories=["train", "test"]),
            "time": videos["time"],
            "known": videos["time"] + _hours(horizon),
            "asked": videos["time"] + _hours(pd.Series(window.observation, videos.index)),
            "observation": window.observation,
            "horizon": horizon,
            "last": last.reindex(videos.index),
            **{name: videos[name] for name in videos if name != "time"},
        }
    )
    items = items.join(_content(vectors, videos.index, quirks)).rename_axis("post_id")
    events = seen.set_index("video").rename_axis("post_id")
    events.insert(0, "time", events.index.map(items["time"]) + _hours(events["age_h"]))
    data = Data(items, np.log2(1 + label["views"].to_numpy()) - items["last"].to_numpy(), events)
    return data, {k: int(n) for k, n in quirks.items() if n}


def _span(window: Window) -> tuple[float, float]:
    return window.target - EARLY, window.target + LATE


def _hours(hours: pd.Series) -> pd.Series:
    return pd.to_timedelta(np.ceil(3600 * hours), unit="s").astype("timedelta64[s]")


def _table(path: Path, needed: tuple[str, ...]) -> pd.DataFrame:
    """A csv file with a column `video` of text. Raises DataError where it lacks one of the columns needed."""
    try:
        table = pd.read_csv(
            path, dtype={"video": str}, encoding="utf-8-sig", encoding_errors="replace", low_memory=False
        )
    except (ValueError, OSError) as error:
        raise DataError(f"{path}: not readable as csv ({error!s:.80}); write it again with a header") from None
    lacking = [name for name in needed if name not in table]
    if lacking:
        raise DataError(f"{path}: no column {', '.join(lacking)}; it has {', '.join(map(str, table.columns))[:100]}")
    return table


def _videos(path: Path, quirks: Counter) -> pd.DataFrame:
    """By video: time, user_id and what is known at publishing."""
    table = _table(path, ("video", "publish_time"))
    seconds = pd.to_numeric(table["publish_time"], errors="coerce")
    good = table["video"].notna() & seconds.abs().lt(1e11)
    quirks["videos without an id or a publish time dropped"] = int((~good).sum())
    twice = table["video"].duplicated() & good
    quirks["videos with an id met before dropped"] = int(twice.sum())
    table, seconds = table[good & ~twice], seconds[good & ~twice]
    others = [c for c in table if c not in ("video", "publish_time", *CATEGORIES, *NUMBERS)]
    quirks["columns of videos.csv that may be measured later left out"] = len(others)
    owner = table["channel"].astype("string").fillna(table["video"]) if "channel" in table else table["video"]
    columns = {"time": pd.to_datetime(np.floor(seconds), unit="s", utc=True).astype("datetime64[s, UTC]")}
    columns["user_id"] = owner.astype(str).astype("category")
    columns |= {
        name: table[name].astype(str).where(table[name].notna()).astype("category")
        for name in CATEGORIES
        if name in table
    }
    columns |= {name: pd.to_numeric(table[name], errors="coerce") for name in NUMBERS if name in table}
    return pd.DataFrame(columns).set_axis(pd.Index(table["video"], name="video"))


def _snapshots(path: Path, quirks: Counter) -> pd.DataFrame:
    """video, age_h and counters, float64, NaN where hidden; in the order of video and age, views never NaN."""
    table = _table(path, ("video", "age_h", "views"))
    here = [name for name in COUNTERS if name in table]
    numbers = table[["age_h", *here]].apply(pd.to_numeric, errors="coerce")
    numbers = numbers.where(np.isfinite(numbers) & (numbers >= 0))
    for name in here[1:]:
        hidden = int(numbers[name].isna().sum())
        if numbers[name].max() == 0:  # a column of zeros tells of no counter
            hidden, numbers[name] = len(numbers), np.nan
        quirks[f"snapshots whose {name} are hidden"] = hidden
    good = table["video"].notna() & (numbers["age_h"] < FURTHEST) & numbers["views"].notna()
    quirks["snapshots without a video, an age or views dropped"] = int((~good).sum())
    table = pd.DataFrame({"video": table["video"], **{c: numbers.get(c, np.nan) for c in ("age_h", *COUNTERS)}})[good]
    twice = table.duplicated(["video", "age_h"], keep="last")
    quirks["earlier ones of two snapshots at one age dropped"] = int(twice.sum())
    return table[~twice].sort_values(["video", "age_h"], kind="stable")


def _content(paths: list[Path], ids: pd.Index, quirks: Counter) -> pd.DataFrame:
    """The numbers of features/*.parquet side by side, NaN for a video that a file lacks."""
    tables = []
    for path in paths:
        try:
            table = pd.read_parquet(path)
        except (ValueError, OSError) as error:
            raise DataError(f"{path}: not readable as parquet ({error!s:.80}); write it again or delete it") from None
        if "video" in table:
            table = table.set_index("video")
        table = table.select_dtypes("number").set_axis(table.index.astype(str))
        table = table[~table.index.duplicated()].reindex(ids).astype(np.float32)
        quirks[f"videos that features/{path.name} lacks"] = int(table.isna().all(axis=1).sum())
        tables.append(table)
    table = pd.concat(tables, axis=1) if tables else pd.DataFrame(index=ids)
    return table.set_axis([f"content_{j}" for j in range(table.shape[1])], axis=1)
