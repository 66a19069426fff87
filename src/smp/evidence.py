"""The one rule for "better": paired over seeds and posts, at a stated level, corrected for how many were tried."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.stats import t as student

from smp.metrics import Metric

LEVEL = 0.05  # chance of a false answer among all that are asked together
DRAWS = 400


@dataclass(frozen=True)
class Gain:
    """What predictions `a` gain over predictions `b` in one metric; positive is better for every metric."""

    mean: float
    se: float  # standard error over posts and seeds
    p: float  # two-sided, uncorrected, of a gain that is `over`
    tried: int  # comparisons that share LEVEL
    over: float = 0.0  # what is asked of the gain; below 0: a loss that is still borne

    @property
    def answer(self) -> Literal["yes", "no", "not resolved"]:
        """yes: better; no: worse; not resolved: no answer that another draw of posts or seeds would have to repeat."""
        if not self.p < LEVEL / self.tried:
            return "not resolved"
        return "yes" if self.mean > self.over else "no"

    def __str__(self) -> str:
        return f"{self.mean:+.4f} (se {self.se:.4f}, p {self.p:.2g} of {LEVEL / self.tried:.2g})"


def gain(
    metric: Metric,
    y: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    group: np.ndarray | None = None,
    tried: int = 1,
    part: np.ndarray | None = None,
    over: float = 0.0,
) -> Gain:
    """Compare two predictions of the same posts, a column a seed.

    y (n,) or (n, k); a, b (n, seeds) or (n, seeds, k), column s of both made with the same seed. The gain is the mean
    over seeds of the metric's difference; its variance the sum of that over draws of posts (a bootstrap of whole groups
    (n,), as posts of one user are alike) and that of the mean over seeds, whose few degrees of freedom Welch and
    Satterthwaite's formula counts.
    part (n,): the metric is taken in each part and averaged, as predictions of different models have no common order.
    tried: how many comparisons are made beside this one, itself among them (Bonferroni). over: asks for a gain of more
    than this; below 0, that no more than this is lost.
    """
    group = np.arange(len(y)) if group is None else np.unique(group, return_inverse=True)[1]
    part = np.zeros(len(y), np.int64) if part is None else np.unique(part, return_inverse=True)[1]

    def gains(rows: np.ndarray) -> np.ndarray:
        """(seeds,) of a sample of posts."""
        pieces = [rows[part[rows] == k] for k in range(part.max() + 1)]
        pieces = [(y[r], a[r].swapaxes(0, 1), b[r].swapaxes(0, 1)) for r in pieces if len(r)]
        of_piece = [[metric(true, one) - metric(true, other) for one, other in zip(p, q)] for true, p, q in pieces]
        return metric.sign * np.mean(of_piece, axis=0)

    of_seed = gains(np.arange(len(y)))
    rng, members = np.random.default_rng(0), np.argsort(group, kind="stable")
    first, size = np.searchsorted(group[members], np.arange(group.max() + 1)), np.bincount(group)
    drawn = []
    for _ in range(DRAWS):
        chosen = rng.integers(0, len(size), len(size))
        within = np.arange(size[chosen].sum()) - np.repeat(np.cumsum(size[chosen]) - size[chosen], size[chosen])
        drawn.append(gains(members[np.repeat(first[chosen], size[chosen]) + within]).mean())
    seeds = len(of_seed)
    of_posts, of_seeds = np.var(drawn, ddof=1), np.var(of_seed, ddof=1) / seeds if seeds > 1 else 0.0
    se = float(np.sqrt(of_posts + of_seeds))
    freedom = (of_posts + of_seeds) ** 2 / (of_seeds**2 / (seeds - 1)) if of_seeds > 0 else np.inf
    mean = float(of_seed.mean())
    p = 2 * float(student.sf(abs(mean - over) / se, freedom)) if se > 0 else float(mean == over)
    return Gain(mean, se, p, tried, over)


def judge(claim: str, gains: Sequence[Gain]) -> dict[str, str]:
    """A claim of several comparisons, its answer and the numbers: yes where all say so, no where any says the contrary.

    One that stays open leaves the claim open.
    """
    said = [g.answer for g in gains]
    if len(gains) == 1:
        numbers = str(gains[0])
    else:
        counts = ", ".join(f"{said.count(a)} {a}" for a in ("yes", "no", "not resolved"))
        numbers = f"of {len(gains)}: {counts}; mean {np.mean([g.mean for g in gains]):+.4f}"
    answer = "yes" if set(said) == {"yes"} else "no" if "no" in said else "not resolved"
    return {"claim": claim, "answer": answer, "numbers": numbers}
