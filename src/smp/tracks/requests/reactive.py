"""Policies that change the cache at every request: beside rankings they need no model, and they learn within a window.

They are another task, so they stand in a table of their own.
"""

from collections.abc import Sequence

import numpy as np
from cachetools import LFUCache, LRUCache

POLICIES = {"LRU": LRUCache, "LFU": LFUCache}


def hit_rate(policy: str, objects: Sequence[int], capacity: int, since: int) -> float:
    """Share of the requests from position `since` on that meet the cache of so many objects, warm from those before."""
    cache, met = POLICIES[policy](capacity), np.zeros(len(objects), bool)
    for i, one in enumerate(objects):
        if one in cache:
            met[i] = True
            cache[one]  # asked for: the policy remembers
        else:
            cache[one] = True
    return float(met[since:].mean())
