"""What a user's posts of earlier time blocks earned, against what everybody's earned at the time."""

import numpy as np
import pandas as pd

from smp.features.blocks import block_residual, group_sums
from smp.features.time_place import seconds

DAY = 86_400
STRENGTH = 5.0  # labels that the prior counts for
RECENT = (1, 3, 5)  # last labels that a mean is taken over


def build(posts: pd.DataFrame, y: np.ndarray, block: np.ndarray, seed: int) -> pd.DataFrame:
    """One row a post, float32, from the labels of the same user in earlier blocks alone (causal).

    y (n,), NaN where the label is hidden; block (n,) int. Labels drift, so each is taken as its residual r: the label
    minus the mean of its block. user_label_mean = sum(r) / (count + STRENGTH), drawn towards the prior, which is 0 for
    residuals; user_label_last, _last3, _last5, the mean r of that many latest labels (all where there are fewer);
    user_label_std, NaN below two; user_label_count; user_label_since, days since the latest label. A user unseen in
    earlier blocks has count 0 and else NaN. So do, besides, the training rows (y finite) of users drawn with `seed`,
    until training rows lack their user's labels as often as test posts are by users without a training post: a model
    must not trust these columns more than the test does. Rows without a shown label are never masked. Source:
    cactus8603's expanding mean of earlier labels (2026); residuals and blocks are this project's.
    """
    y, block = np.asarray(y, np.float64), np.asarray(block)
    user, time = posts["user_id"].cat.codes.to_numpy().astype(np.int64), seconds(posts["time"])
    residual = block_residual(y, block)
    sums = group_sums(user, residual, block)
    columns = {
        "mean": sums.shrunk(STRENGTH),
        **_latest(user, time, residual, block, sums.count.astype(np.int64)),
        "std": sums.std,
    }
    unseen = (sums.count == 0) | _masked(posts, user, np.isfinite(y), sums.count == 0, seed)
    columns = {name: np.where(unseen, np.nan, values) for name, values in columns.items()}
    columns["count"] = np.where(unseen, 0, sums.count)
    return pd.DataFrame({f"user_label_{k}": v.astype(np.float32) for k, v in columns.items()}, index=posts.index)


def _latest(
    user: np.ndarray, time: np.ndarray, residual: np.ndarray, block: np.ndarray, count: np.ndarray
) -> dict[str, np.ndarray]:
    """Means over each user's latest labels among the `count` (n,) that a row sees, and days since the latest."""
    shown = np.flatnonzero(np.isfinite(residual) & (user >= 0))
    shown = shown[np.lexsort((residual[shown], time[shown], block[shown], user[shown]))]
    end = np.searchsorted(user[shown], user) + count  # a user's labels are in the order of the blocks
    columns, total, since = {}, np.zeros(len(user)), np.full(len(user), np.nan)
    for back in range(1, max(RECENT) + 1):
        there = count >= back
        latest = shown[end[there] - back]
        total[there] += residual[latest]
        if back == 1:
            since[there] = (time[there] - time[latest]) / DAY
        if back in RECENT:
            columns["last" if back == 1 else f"last{back}"] = total / np.maximum(np.minimum(count, back), 1)
    return columns | {"since": since}


def _masked(posts: pd.DataFrame, user: np.ndarray, shown: np.ndarray, unseen: np.ndarray, seed: int) -> np.ndarray:
    """(n,) bool: the training rows of users drawn at random, the same users whichever other rows are given."""
    train, test = ((posts["split"] == split).to_numpy() for split in ("train", "test"))
    if not test.any() or not shown.any():
        return np.zeros(len(posts), bool)
    wanted, there = np.isin(user[test], user[train], invert=True).mean(), unseen[shown].mean()
    share = max(0.0, (wanted - there) / max(1 - there, 1e-9))
    names = posts["user_id"].cat.categories.astype(object).to_numpy()
    draw = pd.util.hash_array(names, hash_key=f"{seed:016d}", categorize=False) / 2.0**64
    return shown & (user >= 0) & np.append(draw < share, False)[user]
