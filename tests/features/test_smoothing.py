import numpy as np
import pytest

from smp.features import smoothing


def brute_force(values, user, time, window):
    out = np.full(values.shape, np.nan)
    for u in np.unique(user):
        rows = [i for i in np.argsort(time, kind="stable") if user[i] == u]
        for k, i in enumerate(rows):
            for c in range(values.shape[1]):
                seen = [values[j, c] for j in rows[max(k - window + 1, 0) : k + 1] if np.isfinite(values[j, c])]
                out[i, c] = np.mean(seen) if seen else np.nan
    return out


@pytest.mark.parametrize("window", [1, 3, 5])
@pytest.mark.parametrize("rows", [7, 10_000])
def test_mean_over_the_post_and_those_before_it(window, rows, monkeypatch):
    monkeypatch.setattr(smoothing, "ROWS", rows)  # chunk borders fall inside a user's history
    rng = np.random.default_rng(window)
    values = rng.normal(size=(60, 4))
    values[rng.random(values.shape) < 0.3] = np.nan
    user, time = rng.integers(0, 5, 60), rng.integers(0, 30, 60)
    made = smoothing.smooth(values, user, time, window)
    np.testing.assert_allclose(made, brute_force(values, user, time, window), rtol=1e-5)
    assert made.dtype == np.float32


def test_row_order_does_not_matter():
    rng = np.random.default_rng(0)
    values, user, time = rng.normal(size=(50, 3)), rng.integers(0, 4, 50), rng.permutation(50)
    order = rng.permutation(50)
    np.testing.assert_array_equal(
        smoothing.smooth(values[order], user[order], time[order], 3), smoothing.smooth(values, user, time, 3)[order]
    )


def test_memory_map_of_float16_and_a_single_column(tmp_path):
    values = np.arange(12, dtype=np.float16).reshape(6, 2)
    np.save(tmp_path / "x.npy", values)
    user, time = np.array([0, 1, 0, 1, 0, 2]), np.arange(6).astype("datetime64[s]")
    made = smoothing.smooth(np.load(tmp_path / "x.npy", mmap_mode="r"), user, time, 3)
    assert made.dtype == np.float16
    assert made[:, 0].tolist() == [0, 2, 2, 4, 4, 10]
    assert smoothing.smooth(values[:, 0], user, time, 3).tolist() == [0, 2, 2, 4, 4, 10]


def test_nothing_to_smooth():
    assert smoothing.smooth(np.ones((1, 2)), np.zeros(1, int), np.zeros(1), 5).tolist() == [[1, 1]]
    assert smoothing.smooth(np.empty((0, 2)), np.zeros(0, int), np.zeros(0), 3).shape == (0, 2)
    with pytest.raises(ValueError, match="window 3 of 2 values, 1 users"):
        smoothing.smooth(np.ones((2, 2)), np.zeros(1, int), np.zeros(2), 3)
