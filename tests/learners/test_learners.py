"""Every learner: learns what is there, repeats itself, survives missing and unseen values, honours weights."""

import numpy as np
import pandas as pd
import pytest
import torch

from smp.learners import MLP, CatBoost, Forest, GaussianProcess, LightGBM, TabNet, neural
from smp.learners import forest as forest_module
from smp.learners import gaussian as gaussian_module
from smp.learners import lgbm as lgbm_module
from smp.learners.tabnet_network import GhostBatchNorm, Network, sparsemax
from smp.matrix import FeatureMatrix
from smp.metrics import mape

LEARNERS = {
    "lgbm": LightGBM(rounds=150, learning_rate=0.1, min_child_samples=5, threads=1),
    "catboost": CatBoost(rounds=200, learning_rate=0.1, threads=1),
    "forest": Forest(trees=80, min_samples_leaf=3, max_features=1.0),
    "gaussian": GaussianProcess(sample=300),
    "mlp": MLP(epochs=15, batch_size=64, width=64, dropout=0.0, objective="l2"),
    "tabnet": TabNet(epochs=10, batch_size=64, n_d=8, n_a=8, n_steps=2, ghost_batch_size=32, objective="l2"),
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
    few, y = X.take(slice(0, 150)), y[:150]
    first, again, other = (learner.fit(few, y, seed=seed).predict(X_test) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


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


def test_a_forest_predicts_the_weighted_median_of_the_labels_that_share_its_leaves():
    train, y = table(200, 0)
    weight = 1 / y.clip(1)
    X, X_test = FeatureMatrix.from_table(train), FeatureMatrix.from_table(table(30, 1)[0])
    fitted = Forest(trees=7, min_samples_leaf=5).fit(X, y, weight, seed=1)
    columns = [forest_module._columns(fitted.columns, fitted.frequent, m) for m in (X, X_test)]
    own, asked = (fitted.trees.leaves(c) for c in columns)
    for i, pred in enumerate(fitted.predict(X_test)):
        share = sum((own[:, t] == asked[i, t]) / (own[:, t] == asked[i, t]).sum() for t in range(7)) * weight
        order = np.argsort(y)
        half = np.searchsorted(np.cumsum(share[order]), share.sum() / 2)
        assert abs(pred - y[order][half]) < 1e-6 or np.isclose(np.cumsum(share[order])[half - 1], share.sum() / 2)


def test_a_gaussian_process_equals_scikit_learn_under_the_same_kernel_and_leaves_each_row_out():
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel

    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(60, 2)).astype(np.float32), columns=["a", "b"])
    y = np.sin(frame["a"].to_numpy(float)) + 5 + 0.1 * rng.normal(size=60)
    X = FeatureMatrix.from_table(frame)
    fitted = GaussianProcess(sample=60).fit(X, y)
    scales = {k: v.numpy() for k, v in fitted.scales.items()}
    numbers = fitted.rows.numbers.numpy()
    kernel = ConstantKernel(np.exp(2 * scales["smooth"])) * RBF(np.exp(scales["lengths"]))
    slopes = np.exp(scales["slopes"])
    centre, noise = scales["mean"], np.exp(2 * scales["noise"]) + gaussian_module.JITTER

    def predict(rows, query):
        def cov(a, b):
            return kernel(a, b) + (a * slopes) @ (b * slopes).T

        inverse = np.linalg.inv(cov(numbers[rows], numbers[rows]) + noise * np.eye(len(rows)))
        return cov(numbers[query], numbers[rows]) @ inverse @ (y[rows] - centre) + centre

    everything = np.arange(60)
    np.testing.assert_allclose(fitted.predict(X), predict(everything, everything), rtol=1e-6)
    left_out = [predict(np.delete(everything, i), [i])[0] for i in range(60)]
    np.testing.assert_allclose(fitted.loo, left_out, rtol=1e-6)
    reference = GaussianProcessRegressor(ConstantKernel() * RBF([1.0, 1.0]), alpha=0.01, normalize_y=True)
    reference.fit(numbers[:45], y[:45])
    held = np.abs(reference.predict(numbers[45:]) - y[45:]).mean()
    own = GaussianProcess(sample=45).fit(X.take(everything[:45]), y[:45]).predict(X.take(everything[45:]))
    assert np.abs(own - y[45:]).mean() < held + 0.05


def test_a_gaussian_process_learns_from_embeddings_and_from_posts_of_one_user():
    rng = np.random.default_rng(0)
    n = 500
    vectors, user = rng.normal(size=(n, 8)).astype(np.float16), rng.integers(0, 60, n)
    y = 6 + np.tanh(vectors[:, 0].astype(float)) + rng.normal(size=60)[user] + 0.2 * rng.normal(size=n)
    frame = pd.DataFrame({"user": pd.Categorical(user), "noise": rng.normal(size=n)})
    embedding = FeatureMatrix.from_array(vectors, [f"e{j}" for j in range(8)], np.arange(n))
    both, plain = FeatureMatrix.from_table(frame).join(embedding), FeatureMatrix.from_table(frame[["noise"]])
    train, test = np.arange(400), np.arange(400, 500)
    error = {
        name: np.abs(GaussianProcess(sample=400).fit(X.take(train), y[train]).predict(X.take(test)) - y[test]).mean()
        for name, X in {"both": both, "table": FeatureMatrix.from_table(frame), "plain": plain}.items()
    }
    assert error["both"] < 0.6 * error["table"] < 0.6 * error["plain"]


def test_a_gaussian_process_with_weights_one_over_y_has_the_lower_percentage_error():
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 10, 600)
    y = np.maximum(x + rng.normal(0, 2, 600), 0.5)
    X = FeatureMatrix.from_table(pd.DataFrame({"x": x}))
    train, test = np.arange(400), np.arange(400, 600)
    learner = GaussianProcess(sample=400)
    mean = learner.fit(X.take(train), y[train]).predict(X.take(test))
    median = learner.fit(X.take(train), y[train], 1 / y[train]).predict(X.take(test))
    assert mape(y[test], median) < mape(y[test], mean) - 0.02


def test_sparsemax_is_the_nearest_point_of_the_simplex():
    """Against every support by brute force: on a support S the projection is z - (sum of z over S - 1) / |S|."""
    for z in torch.randn(40, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 1.5:
        best = None
        for support in range(1, 2**6):
            on = torch.tensor([bool(support >> i & 1) for i in range(6)])
            point = torch.where(on, z - (z[on].sum() - 1) / on.sum(), 0.0)
            distance = ((point - z) ** 2).sum()
            if (point >= 0).all() and (best is None or distance < best[0]):
                best = distance, point
        torch.testing.assert_close(sparsemax(z[None])[0], best[1])
    z = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(sparsemax, z)


def test_tabnet_attends_to_few_columns_and_a_category_is_one_of_them():
    config = TabNet(n_d=4, n_a=4, n_steps=3, gamma=1.0)
    torch.manual_seed(0)
    network = Network(config, 30, [5, 9]).eval()
    _, masks = network.steps({"numbers": torch.randn(50, 30), "codes": torch.zeros(50, 2, dtype=torch.int64)})
    assert masks.shape == (3, 50, 32)
    torch.testing.assert_close(masks.sum(-1), torch.ones(3, 50))
    assert (masks == 0).float().mean() > 0.1


def test_tabnet_finds_the_columns_that_count():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(2000, 12)).astype(np.float32)).add_prefix("x")
    y = 2 * frame["x3"].to_numpy() + np.abs(frame["x8"].to_numpy())
    X = FeatureMatrix.from_table(frame)
    fitted = TabNet(epochs=15, batch_size=128, n_d=8, n_a=8, n_steps=2, sparsity=1e-3).fit(X, y)
    with torch.inference_mode():
        _, masks = fitted.network.eval().steps(neural.tensors(fitted.columns, X))
    share = masks.mean((0, 1)).numpy()
    assert set(np.argsort(-share)[:2]) == {3, 8} and share[[3, 8]].sum() > 0.5


def test_tabnet_survives_a_last_batch_of_one_row():
    train, y = table(65, 0)
    X = FeatureMatrix.from_table(train)
    assert np.isfinite(LEARNERS["tabnet"].fit(X, y).predict(X)).all()  # batches of 64


def test_ghost_batches_are_normalised_apart_and_never_one_row_alone():
    norm = GhostBatchNorm(1, TabNet(ghost_batch_size=4))
    x = torch.tensor([[1.0], [2], [3], [4], [10], [20], [30], [40], [50]])
    made = norm(x)
    for part in (made[:5], made[5:]):
        torch.testing.assert_close(part.mean(), torch.tensor(0.0), atol=1e-5, rtol=0)
    assert torch.isfinite(norm(x[:1])).all()
