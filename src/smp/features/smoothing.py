"""Neighbouring-post smoothing: a feature's mean over a post and the posts of the same user just before it."""

import numpy as np

ROWS = 16_384  # rows in memory at a time, so that memory-mapped embeddings stay on disk


def smooth(values: np.ndarray, user: np.ndarray, time: np.ndarray, window: int) -> np.ndarray:
    """Mean over the post and its `window - 1` previous posts of the same user; (n, d), or (n,) for `values` (n,).

    values: (n, d) numbers or a memory map, row i for post i; user: (n,) codes; time: (n,) anything that sorts, equal
    times in row order. The sum is divided by the number of values there are: fewer at the start of a user's history,
    and without the NaN, each column for itself; NaN where the whole window is. float16 in, float16 out (added in
    float32); else float32. Train and test together: it uses features of earlier posts, no label, no later post.
    Source: USTC's sliding windows of 3 and 5, which divide by the window and run over user borders.
    """
    if window < 1 or not len(values) == len(user) == len(time):
        raise ValueError(f"window {window} of {len(values)} values, {len(user)} users, {len(time)} times")
    order = np.lexsort((np.asarray(time), np.asarray(user)))
    sorted_user = np.asarray(user)[order]
    out = np.empty(values.shape, np.float16 if values.dtype == np.float16 else np.float32)
    for start in range(0, len(order), ROWS):
        stop, first = min(start + ROWS, len(order)), max(start - window + 1, 0)
        block = np.asarray(values[order[first:stop]], np.float32).reshape(stop - first, -1)
        known = np.isfinite(block)
        block[~known] = 0
        own = np.arange(start - first, stop - first)
        total, count = (
            np.zeros((len(own), block.shape[1]), np.float32),
            np.zeros((len(own), block.shape[1]), np.float32),
        )
        for back in range(window):
            same = own >= back
            same[same] = sorted_user[first + own[same] - back] == sorted_user[first + own[same]]
            total[same] += block[own[same] - back]
            count[same] += known[own[same] - back]
        mean = np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)
        out[order[start:stop]] = mean.reshape(stop - start, *values.shape[1:])
    return out
