"""Micro-videos as daily snapshots of their counters: videos.csv, snapshots.csv, window.json -> the track's data."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

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
THOUSANDS = r"(?<=\d),(?=\d{3}(?:\D|$))"  # the commas of 1,204,000
LONG = 1.5  # times the usual step between two snapshots of a video: a gap


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
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
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
    if not known.any():
        raise DataError(
            f"{counted}: line {snapshots.index[0] + 2}: video {snapshots['video'].iloc[0]!r} is not in {path.name}, as "
            f"no other is; call videos as there, such as {videos.index[0]!r}"
        )
    snapshots = snapshots[known]

    step = snapshots.groupby("video", sort=False)[["age_h", "views"]].diff()
    quirks["views that fall from one snapshot to the next kept"] = int((step["views"] < 0).sum())
    usual = step["age_h"].median()
    gaps = int((step["age_h"] > LONG * usual).sum())
    quirks[f"gaps of more than {LONG * usual:g} h between snapshots that are usually {usual:g} h apart"] = gaps
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
        low, high = snapshots["age_h"].agg(["min", "max"])
        raise DataError(
            f"{counted}: no video has a snapshot before {window.observation:g} h and one at {_span(window)[0]:g} to "
            f"{_span(window)[1]:g} h, of ages {low:g} to {high:g} h; mend {stated}"
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
    """A csv file as text, missing where nothing stands; videos by plain names. Raises DataError where it lacks one of
    the columns needed."""
    try:  # a video, channel or language may be called NA or null
        how = {"dtype": "str", "keep_default_na": False, "na_values": [""]}
        table = pd.read_csv(path, encoding="utf-8-sig", encoding_errors="replace", **how)
    except (ValueError, OSError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: not readable as csv ({reason:.80}); write it again with a header") from None
    lacking = [name for name in needed if name not in table]
    if lacking:
        raise DataError(f"{path}: no column {', '.join(lacking)}; it has {', '.join(map(str, table.columns))[:100]}")
    return table.assign(video=_names(table["video"]))


def _names(column: pd.Series) -> pd.Series:
    """Videos' names as text, 3 where something wrote 3.0; missing where blank."""
    text = column.astype("str").where(column.notna())
    plain = official.plain_ids(pa.array(text, pa.large_string())).to_pandas().set_axis(column.index)
    return plain.where(plain != "").astype("str")


def _videos(path: Path, quirks: Counter) -> pd.DataFrame:
    """By video: time, user_id and what is known at publishing."""
    table = _table(path, ("video", "publish_time"))
    time = pd.Series(official.moments(official.in_seconds(table["publish_time"])), table.index).dt.tz_localize("UTC")
    good = table["video"].notna() & time.notna()
    if not good.any():
        raise _none(path, table[["video", "publish_time"]], "an id and unix seconds, or a date as 2025-01-31 12:00:00")
    quirks["videos without an id or a publish time dropped"] = int((~good).sum())
    twice = table["video"].duplicated() & good
    quirks["videos with an id met before dropped"] = int(twice.sum())
    table, time = table[good & ~twice], time[good & ~twice]
    others = [c for c in table if c not in ("video", "publish_time", *CATEGORIES, *NUMBERS)]
    quirks["columns of videos.csv that may be measured later left out"] = len(others)
    owner = table["channel"].fillna(table["video"]) if "channel" in table else table["video"]
    columns = {"time": time, "user_id": owner.astype("category")}
    columns |= {name: table[name].astype("category") for name in CATEGORIES if name in table}
    columns |= {name: official.numbers(table[name]) for name in NUMBERS if name in table}
    return pd.DataFrame(columns, table.index).set_axis(pd.Index(table["video"], name="video"))


def _none(path: Path, rows: pd.DataFrame, wanted: str) -> DataError:
    """That none of a file's rows is usable: what stands in the first, and what should."""
    if rows.empty:
        return DataError(f"{path}: no row in it; a row needs {wanted}")
    said = ", ".join(f"{name} {value!r:.40}" for name, value in rows.iloc[0].items())
    return DataError(f"{path}: line 2: {said}, and no other row is better; a row needs {wanted}")


def _snapshots(path: Path, quirks: Counter) -> pd.DataFrame:
    """video, age_h and counters, float64, NaN where hidden; in the order of video and age, views never NaN."""
    table = _table(path, ("video", "age_h", "views"))
    here = [name for name in COUNTERS if name in table]
    numbers = table[here].apply(lambda text: official.numbers(text.str.replace(THOUSANDS, "", regex=True)))
    numbers = numbers.assign(age_h=official.numbers(table["age_h"]))
    numbers = numbers.where(numbers >= 0)
    for name in here[1:]:
        hidden = int(numbers[name].isna().sum())
        if numbers[name].max() == 0:  # a column of zeros tells of no counter
            hidden, numbers[name] = len(numbers), np.nan
        quirks[f"snapshots whose {name} are hidden"] = hidden
    good = table["video"].notna() & (numbers["age_h"] < FURTHEST) & numbers["views"].notna()
    if not good.any():
        raise _none(
            path, table[["video", "age_h", "views"]], "a video, its age of 0 or more hours and a number of views"
        )
    quirks["snapshots without a video, an age or views dropped"] = int((~good).sum())
    table = pd.DataFrame({"video": table["video"], **{c: numbers.get(c, np.nan) for c in ("age_h", *COUNTERS)}})[good]
    twice = table.duplicated(["video", "age_h"], keep="last")
    quirks["earlier ones of two snapshots at one age dropped"] = int(twice.sum())
    return table[~twice].sort_values(["video", "age_h"], kind="stable")


def _content(paths: list[Path], ids: pd.Index, quirks: Counter) -> pd.DataFrame:
    """The numbers of features/*.parquet side by side, NaN for a video that a file lacks.

    A file's column `video` names the videos, or else that which names most of them; of others a column is a number, or
    a vector of numbers. Raises DataError where none names a video, or there are no numbers.
    """
    made = []
    for path in paths:
        try:
            table = pd.read_parquet(path)
        except (ValueError, OSError) as error:
            raise DataError(f"{path}: not readable as parquet ({error!s:.80}); write it again or delete it") from None
        if not isinstance(table.index, pd.RangeIndex):
            table = table.reset_index()
        keys = ["video"] if "video" in table else [c for c in table if _may_name(table[c])]
        names = {c: _names(table[c]) for c in keys}
        hits = {c: int(ids.isin(found).sum()) for c, found in names.items()}
        key = max(hits, key=hits.get, default=None)
        if key is None or not hits[key]:
            raise DataError(f"{path}: no column names a video, such as {ids[0]!r}; call one video")
        row = pd.Index(names[key].drop_duplicates()).get_indexer(ids)
        table = table[~names[key].duplicated()]
        values = np.concatenate(
            [official.vectors(table[c]) for c in table if c != key] or [np.empty((len(table), 0))], axis=1
        )
        if not values.shape[1]:
            raise DataError(
                f"{path}: no numbers beside {key}; write a column a number, or one of vectors, or delete it"
            )
        values = np.where((row >= 0)[:, None] & np.isfinite(values[row]), values[row], np.float32(np.nan))
        quirks[f"videos that features/{path.name} lacks"] = int(np.isnan(values).all(axis=1).sum())
        made.append(values)
    values = np.concatenate(made, axis=1) if made else np.empty((len(ids), 0), np.float32)
    return pd.DataFrame(values, ids, [f"content_{j}" for j in range(values.shape[1])])


def _may_name(column: pd.Series) -> bool:
    """Whether a column holds text or whole numbers."""
    is_text = pd.api.types.is_string_dtype(column) or isinstance(column.dtype, pd.CategoricalDtype)
    return is_text or pd.api.types.is_integer_dtype(column)
