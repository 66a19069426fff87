"""What is known of a video when it is published, and what it shows."""

import numpy as np
import pandas as pd

from smp.tracks.microvideo.read import CATEGORIES, NUMBERS


def about(items: pd.DataFrame) -> pd.DataFrame:
    """The family `about`: length, title, tags, category, language, hour and weekday (UTC); not
    the channel, whose past is the family `channel`."""
    seconds = items["time"].to_numpy("datetime64[s]").astype(np.int64)
    table = {"hour": seconds % 86_400 / 3600, "weekday": (seconds // 86_400 + 3) % 7}
    table |= {name: np.log1p(items[name]) for name in NUMBERS if name in items}
    made = pd.DataFrame(table, index=items.index).astype(np.float32)
    return made.join(items[[name for name in CATEGORIES[1:] if name in items]])


def content(items: pd.DataFrame) -> pd.DataFrame:
    """The family `content`: the vectors of features/*.parquet side by side; one empty column where there are none."""
    columns = [name for name in items if name.startswith("content_")]
    if not columns:
        return pd.DataFrame({"content_0": np.nan}, index=items.index, dtype=np.float32)
    return items[columns].astype(np.float32)
