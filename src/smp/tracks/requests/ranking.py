"""How well a ranking fills a cache: predictions judged window by window, and the metrics made of that."""

from functools import partial

import numpy as np

from smp.metrics import Metric

LONG = 50  # objects of the list that NDCG and MAP judge
SHARES = (0.01, 0.05, 0.1)  # of the catalogue that a cache holds
BEST = ("ideal", "least", "relevant")  # what `best_of` says of the next window: for metrics alone, no input
BESIDE = ("window", "catalogue", "requests", *BEST)


def requested(z: np.ndarray) -> np.ndarray:
    """Requests, of labels or predictions log2(1 + requests)."""
    return np.exp2(np.asarray(z, np.float64)) - 1


def best_of(came: np.ndarray) -> tuple[float, float, int]:
    """Of the next window's requests (n,) of all objects seen, candidates or not: the DCG of the best ranking's first
    LONG, the requests that make an object relevant (those of the LONG-th, at least 1), and how many are, LONG at most.
    """
    top = np.sort(came[came > 0])[: -LONG - 1 : -1]
    return float(top @ (1 / np.log2(np.arange(len(top)) + 2))), float(top[-1]) if len(top) == LONG else 1.0, len(top)


class Ranked:
    """The rows window by window, the highest score first: code of the window, place in it, requests that came."""

    def __init__(self, y: np.ndarray, score: np.ndarray, window: np.ndarray):
        first = np.argsort(-np.asarray(score))  # two sorts of one key each are much faster than one of two keys
        self.order = first[np.argsort(window[first].astype(np.uint16), kind="stable")]
        begins = np.diff(window[self.order], prepend=-1) > 0
        self.code = np.cumsum(begins) - 1
        self.place = np.arange(len(self.code)) - np.flatnonzero(begins)[self.code]
        self.came = requested(y)[self.order]

    def once(self, values: np.ndarray) -> np.ndarray:
        """(windows,) of (n,) values that all rows of a window share."""
        return values[self.order][self.place == 0]

    def sums(self, values: np.ndarray) -> np.ndarray:
        """(windows,) of (n,) values in the order of the ranking."""
        return np.bincount(self.code, values)


def hits(
    y: np.ndarray, p: np.ndarray, window: np.ndarray, catalogue: np.ndarray, requests: np.ndarray, *_, share: float
) -> np.ndarray:
    """(windows,) share of the next window's requests that meet a cache filled with the first objects of the ranking.

    It holds that share of the catalogue, rounded up, as it was when the first of the windows was ranked: a cache does
    not grow. Requests of objects never seen before miss it, as any cache.
    """
    ranked = Ranked(y, p, window)
    kept = ranked.place < np.ceil(share * catalogue.min())
    return ranked.sums(ranked.came * kept / requests[ranked.order])


def ndcg(y: np.ndarray, p: np.ndarray, window: np.ndarray, *beside: np.ndarray) -> np.ndarray:
    """(windows,) NDCG of the first LONG: an object's gain is its requests in the next window, its discount log2.

    The best ranking is that of all objects seen: what is no candidate is not ranked, and missing.
    """
    ranked, ideal = Ranked(y, p, window), beside[-3]
    gained = ranked.sums(ranked.came * (ranked.place < LONG) / np.log2(ranked.place + 2))
    return gained / np.maximum(ranked.once(ideal), 1e-12)


def average_precision(y: np.ndarray, p: np.ndarray, window: np.ndarray, *beside: np.ndarray) -> np.ndarray:
    """(windows,) average precision of the first LONG. Relevant are the LONG objects, of all seen, that were requested
    most in the next window, and those that were as often as the last of them."""
    ranked, (least, relevant) = Ranked(y, p, window), beside[-2:]
    right = (ranked.came >= least[ranked.order] - 1e-6) & (ranked.place < LONG)  # labels are logarithms
    before = (np.cumsum(right) - right)[ranked.place == 0][ranked.code]
    found = ranked.sums(right * (np.cumsum(right) - before) / (ranked.place + 1))
    return found / np.maximum(ranked.once(relevant), 1)


HITS = {share: f"hit_{100 * share:.0f}" for share in SHARES}  # the metric's name
OF_WINDOWS = {name: partial(hits, share=share) for share, name in HITS.items()}
OF_WINDOWS |= {f"ndcg_{LONG}": ndcg, f"map_{LONG}": average_precision}


def _mean(of_windows, *arrays: np.ndarray) -> float:
    return float(of_windows(*arrays).mean())


RANKINGS = tuple(Metric(name, partial(_mean, f), True, BESIDE) for name, f in OF_WINDOWS.items())
