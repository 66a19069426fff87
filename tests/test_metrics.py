"""The metrics against scipy and the formulas written out."""

import numpy as np
from scipy.stats import rankdata

from smp.metrics import mae, mape, src


def test_src_is_the_papers_formula_without_ties_and_average_ranks_with_them():
    rng = np.random.default_rng(0)
    y, p = rng.permutation(200) * 1.0, rng.permutation(200) * 1.0
    d = rankdata(y) - rankdata(p)
    np.testing.assert_allclose(src(y, p), 1 - 6 * (d**2).sum() / (200 * (200**2 - 1)))
    y = np.floor(y / 20)
    np.testing.assert_allclose(src(y, p), np.corrcoef(rankdata(y), rankdata(p))[0, 1])


def test_src_of_a_constant_is_zero():
    assert src(np.array([1.0, 2, 3]), np.full(3, 5.0)) == 0.0


def test_errors():
    y, p = np.array([2.0, 4.0]), np.array([3.0, 3.0])
    assert mae(y, p) == 1.0
    assert mape(y, p) == (1 / 2 + 1 / 4) / 2
