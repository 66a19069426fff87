"""The same model from one core and two, and from one process and two Dask workers: equal, or within a tolerance."""

import numpy as np
import pandas as pd
import pytest

from smp.learners import MLP, CatBoost, DaskLightGBM, LightGBM
from smp.matrix import FeatureMatrix
from smp.metrics import src


@pytest.fixture(scope="module")
def problem(tmp_path_factory):
    """6,000 rows: a table with a category, beside a memory-mapped embedding."""
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("wide") / "wide.npy"
    np.save(path, rng.standard_normal((6000, 20)).astype(np.float16))
    wide = np.load(path, mmap_mode="r")
    group = rng.integers(0, 6, 6000)
    table = pd.DataFrame({"number": rng.standard_normal(6000), "group": pd.Categorical(group)})
    y = 6 + table["number"].to_numpy() + group / 3 + wide[:, 0] - wide[:, 1] + 0.5 * rng.standard_normal(6000)
    order = rng.permutation(6000)  # rows of the matrix are not those of the file
    X = FeatureMatrix.from_table(table).join(
        FeatureMatrix.from_array(wide, [f"w{j}" for j in range(20)], np.arange(6000))
    )
    return X.take(order), np.asarray(y, np.float64)[order]


@pytest.mark.parametrize("learner", [LightGBM, CatBoost], ids=lambda x: x.__name__)
def test_one_thread_and_two_agree_to_a_millionth(problem, learner):
    X, y = problem
    train, query = slice(0, 4000), slice(4000, None)
    one, two = (learner(rounds=50, threads=n).fit(X.take(train), y[train]).predict(X.take(query)) for n in (1, 2))
    np.testing.assert_allclose(one, two, atol=1e-6)


def test_a_network_trains_on_one_thread_whatever_torch_is_set_to(problem):
    """Bit for bit, and what torch is set to is left as it was."""
    import torch

    if torch.cuda.is_available():
        pytest.skip("the network trains on the GPU")
    X, y = problem
    train, query, threads, made = slice(0, 4000), slice(4000, None), torch.get_num_threads(), []
    try:
        for n in (1, 2):
            torch.set_num_threads(n)
            made.append(MLP(epochs=2, width=32).fit(X.take(train), y[train]).predict(X.take(query)))
            assert torch.get_num_threads() == n
    finally:
        torch.set_num_threads(threads)
    np.testing.assert_array_equal(*made)


@pytest.mark.filterwarnings("ignore")  # of Dask and its web server
def test_two_dask_workers_reach_the_score_of_one_process(problem):
    """SRC within 0.01, predictions within a tenth of their spread: workers bin columns by the rows they hold."""
    distributed = pytest.importorskip("distributed")
    X, y = problem
    train, query = slice(0, 4000), slice(4000, None)
    options = {"rounds": 60, "learning_rate": 0.1, "bagging_fraction": 1.0, "feature_fraction": 1.0, "threads": 1}
    weight = np.linspace(0.5, 1.5, 4000)
    alone = LightGBM(**options).fit(X.take(train), y[train], weight).predict(X.take(query))
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        import dask

        with dask.config.set({"scheduler-address": cluster.scheduler_address}):
            spread = DaskLightGBM(**options, partitions=4).fit(X.take(train), y[train], weight).predict(X.take(query))
    assert abs(src(y[query], spread) - src(y[query], alone)) < 0.01
    assert np.sqrt(np.mean((spread - alone) ** 2)) < 0.1 * alone.std()
    assert src(y[query], alone) > 0.8
