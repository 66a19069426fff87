"""Feature files that the user lays beside the official data: one row a post, numbers and texts."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from smp.disk.walk import mistaken
from smp.errors import DataError
from smp.tracks.official import plain_ids


def read(path: Path, ids: pd.Index) -> pd.DataFrame:
    """The features (n, d) of the posts `ids` (n,), keyed in the file by `post_id` or `pid`; texts become categories,
    the rest float32.

    Posts that the file lacks become NaN; they and rows of no post are counted. Raises DataError for what is no feature.
    """
    table = _table(path)
    keys = [c for c in (*table.columns, table.index.name) if str(c).lower() in ("post_id", "pid")]
    if len(keys) != 1:
        there = f"columns {' and '.join(keys)}, which both name the post" if keys else "no column post_id or pid"
        raise DataError(f"{path}: {there}; give it one that names the post of every row")
    key = keys[0]
    table = table.reset_index() if key == table.index.name else table
    posts = pd.Index(plain_ids(pa.array(table.pop(key).astype("str"), pa.large_string())).to_pandas(), name="post_id")
    if not posts.is_unique:
        raise DataError(f"{path}: post {posts[posts.duplicated()][0]} is there twice; keep one row a post")
    of_none = (~posts.isin(ids)).sum()
    if of_none == len(posts):
        example = f"{posts[0]!r} there" if len(posts) else "it has no rows"
        raise DataError(f"{path}: {key} names none of the posts ({example}, {ids[0]!r} in the official files)")
    if table.shape[1] == 0:
        raise DataError(f"{path}: no column beside {key}; add what is a feature")
    lacking = f"{(~ids.isin(posts)).sum()} of {len(ids)} posts without a row, left missing"
    print(f"{path}: {lacking}; {of_none} rows of no post, left out", file=sys.stderr)
    columns = {name: _feature(values, f"{path}: column {name}").set_axis(posts) for name, values in table.items()}
    return pd.DataFrame(columns, index=posts).reindex(ids)


def _table(path: Path) -> pd.DataFrame:
    if kind := mistaken(path):
        raise DataError(f"{path}: {kind}")
    try:
        return pd.read_parquet(path)
    except (ValueError, OSError) as error:  # Arrow's errors are ValueErrors; of a column that is there twice too
        raise DataError(
            f"{path}: not a readable parquet file ({str(error).splitlines()[0]}); write it again"
        ) from error


def _feature(values: pd.Series, where: str) -> pd.Series:
    is_number = pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values)
    kinds = set() if is_number or isinstance(values.dtype, pd.CategoricalDtype) else set(values.dropna().map(type))
    if kinds == {str} or isinstance(values.dtype, pd.CategoricalDtype):
        return values.astype("category")
    if kinds - {bool, int, float}:
        kind = sorted(kind.__name__ for kind in kinds)[0]
        raise DataError(f"{where}: holds {kind}; only numbers and texts are features: give a number for it")
    with np.errstate(over="ignore"):
        numbers = values.to_numpy(np.float32, na_value=np.nan)
    if np.isinf(numbers).any():
        row = np.isinf(numbers).argmax()
        raise DataError(f"{where}: row {row + 1}: {values.iloc[row]} is infinite; write a number or nothing there")
    return pd.Series(numbers, values.index)
