"""Mean labels of a post's concept and of its tags, out of fold by time block."""

import numpy as np
import pandas as pd

from smp.features.blocks import block_residual, group_sums
from smp.features.tags import ratio, read_tags

CONCEPT_STRENGTH = 30.0  # labels that the prior counts for
TAG_STRENGTH = 10.0


def build(posts: pd.DataFrame, y: np.ndarray, block: np.ndarray, seed: int) -> pd.DataFrame:
    """One row a post, float32, from labels of all other blocks (two-sided); `seed` is not used, nothing is random.

    y (n,), NaN where the label is hidden; block (n,) int. Labels count as residuals, the label minus the mean of its
    block, so that the prior is 0. te_concept = sum(r) / (count + CONCEPT_STRENGTH), 0 for a concept seen nowhere else.
    te_tag_mean: the mean label of each of the post's distinct tags, averaged with the weight count / (count +
    TAG_STRENGTH): a tag of few labels says little. NaN for a post without concept, without a tag seen elsewhere, or
    where no other block shows a label. Source: common practice; the block rule is this project's.

    Category, subcategory, hour and their pairs are left out: with few levels, two-sided means tell the learner its own
    block's part of a level (the rest of a fixed sum), and they lost on later posts what concept and tags gained.
    """
    y, block = np.asarray(y, np.float64), np.asarray(block)
    residual = block_residual(y, block)
    concept = posts["concept"].cat.codes.to_numpy().astype(np.int64)
    informed = group_sums(np.zeros(len(y), np.int64), residual, block, two_sided=True).count > 0
    encoded = group_sums(concept, residual, block, two_sided=True).shrunk(CONCEPT_STRENGTH)

    tags = read_tags(posts)
    of_tag = group_sums(tags.code, residual[tags.post], block[tags.post], two_sided=True)
    shrunk, weight = of_tag.shrunk(TAG_STRENGTH), of_tag.count / (of_tag.count + TAG_STRENGTH)
    columns = {
        "te_concept": np.where((concept >= 0) & informed, encoded, np.nan),
        "te_tag_mean": ratio(*(np.bincount(tags.post, v, minlength=len(y)) for v in (shrunk, weight))),
    }
    return pd.DataFrame({k: v.astype(np.float32) for k, v in columns.items()}, index=posts.index)
