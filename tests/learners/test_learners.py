"""Every learner: learns what is there, repeats itself, survives missing and unseen values, honours weights."""

import numpy as np
import pandas as pd
import pytest

from smp.learners import MLP, CatBoost, LightGBM
from smp.learners import lgbm as lgbm_module
from smp.matrix import FeatureMatrix

LEARNERS = {
    "lgbm": LightGBM(rounds=150, learning_rate=0.1, min_child_samples=5, threads=1),
    "catboost": CatBoost(rounds=200, learning_rate=0.1, threads=1),
    "mlp": MLP(epochs=15, batch_size=64, width=64, dropout=0.0, objective="l2"),
}


def table(n: int, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(seed)
    number = rng.normal(size=n).astype(np.float32)
    group = rng.integers(0, 6, n)
    y = number + np.array([0.0, 2, -2, 1, -1, 3])[group] + 5
    number[rng.random(n) < 0.05] = np.nan
    frame = pd.DataFrame({"number": number, "noise": rng.normal(size=n), "group": pd.Categorical(group, range(8))})
    return frame, y


@pytest.mark.parametrize("name", LEARNERS)
def test_learns_numbers_and_categories_and_repeats_itself(name):
    learner = LEARNERS[name]
    (train, y), (test, y_test) = table(1500, 0), table(500, 1)
    X, X_test = FeatureMatrix.from_table(train), FeatureMatrix.from_table(test)
    pred = learner.fit(X, y, seed=3).predict(X_test)
    known = test["number"].notna().to_numpy()
    assert np.abs(pred - y_test)[known].mean() < 0.25 * np.abs(y_test - y.mean())[known].mean()
    np.testing.assert_array_equal(pred, learner.fit(X, y, seed=3).predict(X_test))
    assert not np.array_equal(pred, learner.fit(X, y, seed=4).predict(X_test))


@pytest.mark.parametrize("name", LEARNERS)
def test_a_category_never_seen_in_training_gives_a_finite_prediction(name):
    train, y = table(300, 0)
    fitted = LEARNERS[name].fit(FeatureMatrix.from_table(train), y)
    unseen = train.head(4).assign(group=pd.Categorical([7, 7, None, 6], range(8)), number=np.float32(np.nan))
    pred = fitted.predict(FeatureMatrix.from_table(unseen))
    assert pred.shape == (4,) and np.isfinite(pred).all()


@pytest.mark.parametrize("name", LEARNERS)
def test_rows_of_weight_zero_do_not_matter(name):
    train, y = table(400, 0)
    wrong = y.copy()
    wrong[::2] += 50
    weight = np.ones(400)
    weight[::2] = 1e-9
    X = FeatureMatrix.from_table(train)
    assert LEARNERS[name].fit(X, wrong, weight).predict(X).mean() < y.mean() + 3


def test_streamed_binning_gives_the_same_trees_as_a_dense_matrix(monkeypatch, tmp_path):
    rng = np.random.default_rng(0)
    np.save(tmp_path / "wide.npy", rng.normal(size=(900, 40)).astype(np.float16))
    wide = np.load(tmp_path / "wide.npy", mmap_mode="r")
    frame, y = table(900, 0)
    y = y + np.asarray(wide[:, 3], np.float64)
    X = FeatureMatrix.from_table(frame).join(
        FeatureMatrix.from_array(wide, [f"wide_{j}" for j in range(40)], np.arange(900)[::-1])
    )
    learner = LightGBM(rounds=30, threads=1)
    dense = learner.fit(X, y).predict(X)
    monkeypatch.setattr(lgbm_module, "DENSE_LIMIT", 2**16)
    np.testing.assert_allclose(learner.fit(X, y).predict(X), dense)


def test_importance_names_the_columns():
    train, y = table(500, 0)
    X = FeatureMatrix.from_table(train.rename(columns={"noise": 'odd [name], "quoted"'}))
    for name in ("lgbm", "catboost"):
        importance = LEARNERS[name].fit(X, y).importance()
        assert set(importance) == set(X.names) and importance["group"] > importance['odd [name], "quoted"']
