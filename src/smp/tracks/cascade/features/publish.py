"""When a cascade was published, and what time of day its observation ends (UTC)."""

import numpy as np
import pandas as pd


def build(items: pd.DataFrame) -> pd.DataFrame:
    """The family `publish`: hours and weekdays."""
    table = {}
    for name, at in _moments(items):
        table |= {f"{name}_hour": at % 86_400 / 3600, f"{name}_weekday": (at // 86_400 + 3) % 7}
    return pd.DataFrame(table, index=items.index, dtype=np.float32)


def circle(items: pd.DataFrame) -> pd.DataFrame:
    """The family `circle`: the same hours as points of a circle."""
    table = {}
    for name, at in _moments(items):
        angle = 2 * np.pi * (at % 86_400) / 86_400
        table |= {f"{name}_sin": np.sin(angle), f"{name}_cos": np.cos(angle)}
    return pd.DataFrame(table, index=items.index, dtype=np.float32)


def _moments(items: pd.DataFrame) -> list[tuple[str, np.ndarray]]:
    published = items["time"].to_numpy("datetime64[s]").astype(np.int64)
    return [("publish", published), ("asked", published + items["observation"].to_numpy().round().astype(np.int64))]
