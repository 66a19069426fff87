"""How a prediction moves when one thing of a post is another: each variant stands alone beside the known posts."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pyarrow as pa

from smp.features.time_place import local_seconds
from smp.predict.models import Predictor
from smp.predict.world import World

HOURS = range(0, 24, 3)  # of the user's clock
POINTS = 8  # numbers of tags that are tried, at most


def at_hours(post: pd.DataFrame) -> Iterator[tuple[int, pd.DataFrame]]:
    """The post (one row) at other hours of its day, on the user's clock where that is known, else in UTC."""
    hour = int(local_seconds(post)[0] % 86_400 // 3600)
    for other in HOURS:
        yield other, post.assign(time=post["time"] + pd.Timedelta(hours=other - hour))


def with_first_tags(post: pd.DataFrame) -> Iterator[tuple[int, pd.DataFrame]]:
    """The post (one row) with none, some and all of its tags, the first ones."""
    tags = list(post["tags"].iloc[0])
    for count in np.unique(np.linspace(0, len(tags), min(len(tags) + 1, POINTS)).round().astype(int)).tolist():
        kind = post["tags"].dtype
        yield count, post.assign(tags=pd.Series(pa.array([tags[:count]], kind.pyarrow_dtype), post.index, dtype=kind))


def predict_alone(predictor: Predictor, post: pd.DataFrame) -> float:
    """The prediction of one post beside the known ones and no other."""
    return float(predictor.ask(World(predictor.known, post), explain=False).pred[0])
