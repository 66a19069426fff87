"""What the encoders read of a post: its picture's path and its description."""

from pathlib import Path
from typing import Literal

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from smp.disk.pictures import check_inside

Description = Literal["title", "tags", "title+tags"]


def descriptions(posts: pd.DataFrame, which: Description = "title+tags") -> list[str]:
    """(n,) the text r of the paper's eq. 3: title, tags or both, "" where there is none."""
    titles = pa.array(posts["title"], pa.string())
    tags = pc.binary_join(pa.array(posts["tags"]).cast(pa.list_(pa.string())), " ")
    parts = {"title": titles, "tags": tags, "title+tags": pc.binary_join_element_wise(titles, tags, " ")}
    return pc.utf8_trim_whitespace(parts[which]).to_pylist()


def picture_paths(posts: pd.DataFrame, folder: Path) -> list[str]:
    """(n,) paths of the pictures below the track's data folder, whether or not they exist.

    Raises DataError for one that a link leads out of it.
    """
    check_inside(folder, posts["image_path"].tolist())
    return [f"{folder}/{path}" for path in posts["image_path"]]
