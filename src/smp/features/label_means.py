"""What earlier posts that share something with a post earned: mean labels of earlier time blocks, key by key."""

import numpy as np
import pandas as pd

from smp.features.blocks import block_residual, group_sums
from smp.features.keys import keys

STRENGTH = 10.0  # labels that the prior counts for
KEYS = (
    *("subcategory", "concept", "user", "title", "tag_1", "tag_2"),
    *("concept_tags", "subcategory_tags", "user_subcategory"),
)


def build(posts: pd.DataFrame, y: np.ndarray, block: np.ndarray, seed: int) -> pd.DataFrame:
    """One row a post, float32, from labels of earlier blocks alone (causal), as a test post sees all of train.

    y (n,), NaN where the label is hidden; block (n,) int; `seed` is not used, nothing is random. Labels drift, so each
    counts as its residual, the label minus the mean of its block. For each of KEYS (smp.features.keys):
    label_<key> = sum of residuals / (count + STRENGTH), drawn towards 0, NaN where nothing is seen; label_<key>_count,
    ln(1 + labels seen). Source: common practice; the block rule is this project's.
    """
    block = np.asarray(block)
    residual = block_residual(np.asarray(y, np.float64), block)
    codes, columns = keys(posts), {}
    for key in KEYS:
        sums = group_sums(codes[key], residual, block)
        columns[f"label_{key}"] = np.where(sums.count > 0, sums.shrunk(STRENGTH), np.nan)
        columns[f"label_{key}_count"] = np.log1p(sums.count)
    return pd.DataFrame({k: v.astype(np.float32) for k, v in columns.items()}, index=posts.index)
