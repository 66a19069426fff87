"""The linear mixed model against its normal equations."""

import numpy as np
import pandas as pd
import pytest

from smp.learners import Linear
from smp.matrix import FeatureMatrix


def users_words_and_y(n: int = 400) -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(0)
    user, word = rng.integers(0, 30, n), rng.integers(0, 2, n)
    y = 5 + rng.normal(0, 1, 30)[user] + 0.5 * word + rng.normal(0, 1, n)
    return pd.DataFrame({"user_id": pd.Categorical(user, range(32)), "word": np.float32(word)}), y


def test_coefficients_solve_the_penalised_normal_equations():
    table, y = users_words_and_y()
    X = FeatureMatrix.from_table(table)
    pred = Linear(user=0.7, word=0.2).fit(X, y).predict(X)
    Z = np.column_stack([np.ones(len(y)), table["word"], pd.get_dummies(table["user_id"])])
    prior = np.array([0, 1 / 0.2**2] + [1 / 0.7**2] * 32)  # the mean itself has no prior
    truth = Z @ np.linalg.solve(Z.T @ Z + np.diag(prior), Z.T @ y)
    np.testing.assert_allclose(pred, truth, atol=2e-3)


def test_an_unseen_user_gets_the_mean_and_one_of_few_labels_is_drawn_to_it():
    table, y = users_words_and_y()
    y[0], table.loc[0, "user_id"] = y[0] + 20, 31  # one label of one user, far off
    X = FeatureMatrix.from_table(table)
    fitted = Linear().fit(X, y)
    ask = pd.DataFrame({"user_id": pd.Categorical([30, None, 31], range(32)), "word": np.float32(0)})
    unseen, missing, once = fitted.predict(FeatureMatrix.from_table(ask))
    assert unseen == pytest.approx(missing) and abs(unseen - y.mean()) < 0.6
    assert unseen + 3 < once < y[0] - 3


def test_a_spline_follows_a_curve_and_weights_count(monkeypatch):
    rng = np.random.default_rng(1)
    x = rng.normal(size=2000).astype(np.float32)
    y = np.sin(2 * x) + np.where(np.arange(2000) % 2, 100.0, 0.0)
    X = FeatureMatrix.from_table(pd.DataFrame({"x": x}))
    weight = np.where(np.arange(2000) % 2, 0.0, 1.0)  # the rows that are 100 off
    whole = Linear(knots=9, spline=10.0).fit(X, y, weight).predict(X)
    inside = np.abs(x) < 2
    assert np.abs(whole - np.sin(2 * x))[inside].mean() < 0.05
    monkeypatch.setattr("smp.learners.linear.CHUNK", 300)
    np.testing.assert_allclose(Linear(knots=9, spline=10.0).fit(X, y, weight).predict(X), whole, atol=1e-4)
