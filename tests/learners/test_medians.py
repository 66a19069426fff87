"""Weighted medians against brute force: they are what minimises the weighted absolute, and so the percentage, error."""

import numpy as np
import pytest

from smp.learners.medians import median_bend, weighted_median
from smp.metrics import mape


def test_the_weighted_median_minimises_the_weighted_absolute_error():
    rng = np.random.default_rng(0)
    values, weights = rng.normal(5, 2, 41), rng.random((6, 41)) * (rng.random((6, 41)) < 0.7)
    found = weighted_median(values, weights)
    for median, w in zip(found, weights):
        losses = [(w * np.abs(values - v)).sum() for v in values]
        assert (w * np.abs(values - median)).sum() == pytest.approx(min(losses))


def test_equal_weights_give_the_median_and_no_weight_is_refused():
    values = np.random.default_rng(1).normal(size=101)
    assert weighted_median(values, np.ones((1, 101)))[0] == np.median(values)
    with pytest.raises(ValueError, match="without weight"):
        weighted_median(values, np.zeros((1, 101)))


def test_weights_one_over_y_give_the_constant_of_least_percentage_error():
    y = np.random.default_rng(2).gamma(4, 1.5, 500) + 0.3
    found = weighted_median(y, (1 / y)[None])[0]
    assert mape(y, np.full(500, found)) <= min(mape(y, np.full(500, c)) for c in np.linspace(0.5, 12, 400)) + 1e-9


def test_a_model_of_the_mean_becomes_one_of_the_median():
    rng = np.random.default_rng(3)
    mean = rng.uniform(2, 12, 4000)
    y = mean + rng.exponential(2, 4000) - 2  # the median lies 2 (1 - ln 2) below the mean
    at = np.array([4.0, 7.0, 10.0])
    np.testing.assert_allclose(median_bend(mean, y, np.ones(4000), 0.8)(at), at - 2 * (1 - np.log(2)), atol=0.12)


def test_where_labels_spread_more_the_curve_bends_more_and_it_holds_beyond_the_ends():
    rng = np.random.default_rng(4)
    mean = rng.uniform(3, 12, 6000)
    y = np.maximum(mean + rng.normal(0, np.where(mean < 6, 2.0, 0.3)), 0.5)
    bent = median_bend(mean, y, 1 / y, 0.5)(np.array([4.0, 10.0]))
    assert 4 - bent[0] > 0.4 and abs(10 - bent[1]) < 0.05
    assert mape(y, median_bend(mean, y, 1 / y, 0.5)(mean)) < mape(y, mean) - 0.01
    far = median_bend(mean, y, 1 / y, 0.5)(np.array([0.0, 20.0]))
    assert np.isfinite(far).all() and abs(far[1] - 20) < 0.5
