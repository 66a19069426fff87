"""What posts share: the groups that streams of posts and mean labels are taken over."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pyarrow.compute as pc

from smp.features.tags import arrow, encode, read_tags

RAREST = 2  # tags of a post, of those that another post has too


def keys(posts: pd.DataFrame) -> Mapping[str, np.ndarray]:
    """Codes (n,) int64 by name, -1 where a post has no value: what is alike in posts that share a code.

    category, subcategory, concept, user, title; tag_1 and tag_2, a post's rarest tags that stand on other posts too
    (ties by the alphabet); concept_tags and subcategory_tags, with the number of different tags, which is a habit of
    its user; user_subcategory. The order of the rows plays no part beyond the numbering of the codes.
    """
    codes = {name: posts[name].cat.codes.to_numpy().astype(np.int64) for name in ("category", "subcategory", "concept")}
    codes["user"] = posts["user_id"].cat.codes.to_numpy().astype(np.int64)
    title = arrow(posts["title"])
    codes["title"] = np.where(pc.equal(title, "").to_numpy(zero_copy_only=False), -1, encode(title)[0])
    tags = read_tags(posts)
    codes |= _rarest(tags.post, tags.code, len(posts))
    codes["concept_tags"] = pair(codes["concept"], tags.distinct)
    codes["subcategory_tags"] = pair(codes["subcategory"], tags.distinct)
    codes["user_subcategory"] = pair(codes["user"], codes["subcategory"])
    return codes


def pair(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(n,) codes of the pairs of two keys, 0 to the number of pairs; -1 where either is missing."""
    both = (left >= 0) & (right >= 0)
    out = np.full(len(left), -1, np.int64)
    out[both] = np.unique(left[both] * (right.max(initial=0) + 1) + right[both], return_inverse=True)[1]
    return out


def _rarest(post: np.ndarray, code: np.ndarray, n: int) -> dict[str, np.ndarray]:
    """tag_1 ... of n posts, from their pairs of post and tag, sorted by post."""
    posts_of_tag = np.bincount(code)
    shared = posts_of_tag[code] > 1
    post, code = post[shared], code[shared]
    order = np.lexsort((code, posts_of_tag[code], post))
    post, code = post[order], code[order]
    rank = np.arange(len(post)) - np.searchsorted(post, post)
    found = {}
    for place in range(RAREST):
        found[f"tag_{place + 1}"] = np.full(n, -1, np.int64)
        found[f"tag_{place + 1}"][post[rank == place]] = code[rank == place]
    return found
