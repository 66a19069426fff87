"""The metrics against scipy and the formulas written out."""

import numpy as np
import pytest
from scipy.stats import rankdata
from sklearn.metrics import mean_squared_error, r2_score

from smp import tracks
from smp.metrics import mae, mape, mean_and_errors, mse, r2, src


def test_src_is_the_papers_formula_without_ties_and_average_ranks_with_them():
    rng = np.random.default_rng(0)
    y, p = rng.permutation(200) * 1.0, rng.permutation(200) * 1.0
    d = rankdata(y) - rankdata(p)
    np.testing.assert_allclose(src(y, p), 1 - 6 * (d**2).sum() / (200 * (200**2 - 1)))
    y = np.floor(y / 20)
    np.testing.assert_allclose(src(y, p), np.corrcoef(rankdata(y), rankdata(p))[0, 1])


def test_src_of_a_constant_is_zero_and_of_what_is_no_number_none():
    assert src(np.array([1.0, 2, 3]), np.full(3, 5.0)) == 0.0
    assert np.isnan(src(np.array([1.0, 2, 3]), np.array([1.0, np.nan, 3])))


def test_errors():
    y, p = np.array([2.0, 4.0]), np.array([3.0, 3.0])
    assert mae(y, p) == 1.0
    assert mape(y, p) == (1 / 2 + 1 / 4) / 2


def test_squared_errors_and_the_explained_variance_are_scikit_learns():
    rng = np.random.default_rng(0)
    y, p = rng.normal(3, 2, 50), rng.normal(3, 2, 50)
    assert mse(y, p) == pytest.approx(mean_squared_error(y, p)) and r2(y, p) == pytest.approx(r2_score(y, p))
    assert r2(np.full(50, 2.0), p) == 0.0


def test_item_losses_average_to_the_metric_and_weights_are_those_of_its_median():
    rng = np.random.default_rng(0)
    y, p = rng.uniform(1, 9, 50), rng.uniform(1, 9, 50)
    for track, metric in {"video": mape, "image": mae}.items():
        task, candidates = tracks.get(track).task, np.sort(y)
        assert np.isclose(task.item_loss(y, p).mean(), metric(y, p)) and task.error == metric.__name__
        weight = task.weight(candidates)
        best = candidates[np.searchsorted(np.cumsum(weight), weight.sum() / 2)]
        assert metric(y, np.full(50, best)) <= min(metric(y, np.full(50, c)) for c in candidates) + 1e-12


@pytest.mark.filterwarnings("error")
def test_mean_and_errors_over_values_and_over_groups():
    rng = np.random.default_rng(0)
    group = np.repeat(["b", "a", "c"], [10, 20, 30])
    values = rng.normal(size=60) + (group == "a")
    found = mean_and_errors(values, group)
    means = [values[group == g].mean() for g in "abc"]
    assert np.isclose(found["mean"], values.mean()) and np.isclose(found["mean_of_groups"], np.mean(means))
    assert np.isclose(found["se_posts"], values.std(ddof=1) / 60**0.5)
    assert np.isclose(found["se_groups"], np.std(means, ddof=1) / 3**0.5)
    assert np.isnan(mean_and_errors(values, np.zeros(60))["se_groups"])
