"""How often an object was requested, lately and ever: what the next window's requests are told by."""

import numpy as np
import pandas as pd

from smp.tracks.requests.history import History

HALF_LIVES = (1, 2, 4, 8, 16, 32, 64)  # windows
LAGS = 8


def decays(items: pd.DataFrame) -> pd.DataFrame:
    """The family `decays`: log2(1 + requests a window), the mean of all windows so far and of what lately counts more:
    a window counts half of one that came a half-life later."""
    objects, window, count = (c.to_numpy() for c in (items["user_id"].cat.codes, items["window"], items["count"]))
    keep = 0.5 ** (1 / np.array(HALF_LIVES))[:, None]
    state = np.zeros((len(HALF_LIVES), objects.max() + 1))
    out = np.empty((len(items), len(HALF_LIVES)), np.float32)
    order = np.argsort(window, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(window[order])) + 1):
        state *= keep
        state[:, objects[rows]] += (1 - keep) * count[rows]
        out[rows] = np.log2(1 + state[:, objects[rows]]).T
    table = {f"decays_{h}": column for h, column in zip(HALF_LIVES, out.T)}
    table["decays_ever"] = np.log2(1 + items["total"].to_numpy() / (window + 1))
    return pd.DataFrame(table, index=items.index, dtype=np.float32)


def lags(items: pd.DataFrame) -> pd.DataFrame:
    """The family `lags`: log2(1 + requests) of the last windows one by one, and in how many there were any."""
    history, objects = History.of(items), items["user_id"].cat.codes.to_numpy()
    window = items["window"].to_numpy()
    table = {f"lags_{k}": np.log2(1 + history.look(objects, window - k)[0]) for k in range(LAGS)}
    table["lags_any"] = np.sum([column > 0 for column in table.values()], axis=0)
    return pd.DataFrame(table, index=items.index, dtype=np.float32)


def thing(items: pd.DataFrame) -> pd.DataFrame:
    """The family `thing`: windows since the object was first seen, log2(1 + all requests), log2(1 + size) if known."""
    table = {"thing_age": items["window"] - items["first"], "thing_total": np.log2(1 + items["total"])}
    if "size" in items:
        table["thing_size"] = np.log2(1 + items["size"])
    return pd.DataFrame(table, index=items.index, dtype=np.float32)
