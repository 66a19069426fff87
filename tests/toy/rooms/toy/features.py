"""What a message shows at first sight, and in its first hour."""

import numpy as np
import pandas as pd


def message(items: pd.DataFrame) -> pd.DataFrame:
    """Its length and its day."""
    day = (items["time"] - items["time"].min()).dt.total_seconds() / 86_400
    return pd.DataFrame({"length": items["length"], "day": day.astype(np.float32)})


def first_hour(items: pd.DataFrame, events: pd.DataFrame) -> pd.DataFrame:
    """How often it was passed on in its first hour (log1p), and after how many seconds on average."""
    after = (events["time"] - items["time"].reindex(events.index)).dt.total_seconds()
    of_item = after.groupby(level=0).agg(["size", "mean"]).reindex(items.index)
    return pd.DataFrame({"passes": np.log1p(of_item["size"].fillna(0)), "delay": of_item["mean"]}).astype(np.float32)
