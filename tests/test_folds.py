"""Folds: contiguous in time, disjoint in users, made once, refused for other posts."""

import numpy as np
import pandas as pd
import pytest

from smp import paths
from smp.errors import DataError
from smp.folds import label_blocks, label_level, load_folds, make_folds, months, split_blocks, time_blocks
from smp.tracks.base import Data, Split

SPLIT = Split()
N_FOLDS = SPLIT.blocks


def data_of(n=500, users=60, seed=0, test=50):
    rng = np.random.default_rng(seed)
    time = pd.Series(pd.to_datetime(rng.integers(1_400_000_000, 1_450_000_000, n), unit="s", utc=True))
    label = rng.normal(6, 2, n)
    label[-test:] = np.nan
    items = pd.DataFrame(
        {"time": time.to_numpy(), "user_id": pd.Categorical(rng.integers(0, users, n))},
        index=pd.Index([str(i) for i in rng.permutation(n)], name="post_id"),
    )
    return Data(items, label)


def test_time_folds_are_contiguous_equal_and_hold_every_labelled_post_once():
    data = data_of()
    folds = make_folds(data, SPLIT)
    assert folds.index.equals(data.ids[data.labelled])
    time = data.items.loc[folds.index, "time"]
    for k in range(N_FOLDS - 1):
        assert time[folds["fold"] == k].max() < time[folds["fold"] == k + 1].min()
    assert folds["fold"].value_counts().between(85, 95).all()
    assert (folds["holdout"] == (folds["fold"] == N_FOLDS - 1)).all()


def test_posts_of_one_moment_share_a_block():
    time = pd.Series(pd.to_datetime([1, 2, 3, 3, 3, 3, 3, 4, 5, 6], unit="s"))
    blocks = time_blocks(time, 5)
    assert blocks.tolist() == [0, 0, 1, 1, 1, 1, 1, 3, 4, 4]


def test_blocks_of_moments_hold_as_many_moments_however_many_items_each_has():
    hours = np.random.default_rng(0).permutation(np.repeat(np.arange(10), [1, 9, 1, 1, 30, 1, 2, 1, 5, 1]))
    time = pd.Series(pd.to_datetime(hours * 3600, unit="s", utc=True))
    np.testing.assert_array_equal(split_blocks(time, Split(of="moments")), hours // 2)
    shares = Split(blocks=3, shares=(0.5, 0.3, 0.2), of="moments")
    np.testing.assert_array_equal(split_blocks(time, shares), np.array([0] * 5 + [1] * 3 + [2] * 2)[hours])


def test_a_rolling_split_predicts_every_block_but_the_first():
    data, split = data_of(n=250), Split(blocks=3, shares=(0.5, 0.25, 0.25), rolling=True)
    folds = make_folds(data, split)
    order = data.items.loc[folds.index, "time"].to_numpy().argsort()
    assert folds["fold"].to_numpy()[order].tolist() == [-1] * 100 + [1] * 50 + [2] * 50
    assert folds["holdout"].to_numpy()[order].tolist() == [False] * 150 + [True] * 50


def test_user_folds_share_no_user_and_every_scheme_has_the_same_holdout():
    data = data_of()
    by_user = make_folds(data, SPLIT, "user")
    assert (by_user.groupby(data.items.loc[by_user.index, "user_id"], observed=True)["fold"].nunique() == 1).all()
    for scheme in ("user", "random"):
        folds = make_folds(data, SPLIT, scheme)
        assert set(folds["fold"]) == set(range(N_FOLDS))
        pd.testing.assert_series_equal(folds["holdout"], make_folds(data, SPLIT)["holdout"])


@pytest.mark.parametrize(("change", "scheme"), [({"users": 3}, "user"), ({"n": 54}, "random"), ({"n": 53}, "time")])
def test_too_few_to_fill_the_folds_is_said(change, scheme):
    with pytest.raises(DataError, match=f"do not fill 5 folds of scheme '{scheme}'"):
        make_folds(data_of(**change), SPLIT, scheme)


def test_the_table_is_made_once_and_refused_for_other_posts(tmp_path, monkeypatch):
    monkeypatch.setenv("SMP_OUTPUT", str(tmp_path))
    data = data_of()
    made = load_folds("image", data)
    written = paths.fold_table("image").stat().st_mtime_ns
    pd.testing.assert_frame_equal(load_folds("image", data), made)
    assert paths.fold_table("image").stat().st_mtime_ns == written
    with pytest.raises(DataError, match="made for other posts; delete it"):
        load_folds("image", Data(data.items.iloc[::-1], data.labels[::-1]))


def test_label_blocks_put_the_test_after_every_training_block():
    data = data_of()
    train = data.labelled
    block = label_blocks(data, np.flatnonzero(train), N_FOLDS)
    assert (block[~train] == N_FOLDS).all()
    np.testing.assert_array_equal(block[train], make_folds(data, SPLIT)["fold"])


def test_months_are_the_last_labelled_ones_each_after_all_it_may_learn_from():
    data = data_of()
    cuts = months(data, 4)
    time, label = data.items["time"].to_numpy("datetime64[s]"), data.labelled
    calendar = data.items["time"].dt.strftime("%Y-%m").to_numpy()
    assert [name for name, _, _ in cuts] == sorted(set(calendar[label]))[-4:]
    for name, earlier, own in cuts:
        assert (calendar[own] == name).all() and len(own) == (label & (calendar == name)).sum()
        assert time[earlier].max() < time[own].min() and label[earlier].all()
        assert len(earlier) == (label & (calendar < name)).sum()
    assert months(data, 0) == []
    assert len(months(data, 1000)) == len(set(calendar[label])) - 1  # the first month has nothing before it


def test_blocks_of_some_training_posts_count_every_other_post_as_later():
    data = data_of()
    _, earlier, own = months(data, 2)[0]
    block = label_blocks(data, earlier, N_FOLDS)
    assert (np.delete(block, earlier) == N_FOLDS).all() and set(block[own]) == {N_FOLDS}
    assert set(block[earlier]) == set(range(N_FOLDS))
    finer = label_blocks(data, earlier, 4 * N_FOLDS)
    np.testing.assert_array_equal(finer // 4, block)  # finer blocks lie inside these


def test_the_level_goes_from_one_blocks_mean_label_to_the_next_and_stays_flat_outside():
    data, rows, k = data_of(), np.arange(300), 4
    seconds = data.items["time"].to_numpy("datetime64[s]").astype(float)
    order = rows[np.argsort(seconds[rows], kind="stable")]
    quarters = np.array_split(order, k)  # 300 posts at moments of their own: equal quarters in time
    middle, mean = ([values[q].mean() for q in quarters] for values in (seconds, data.labels))
    level = label_level(data, rows, k)
    for i in range(len(data)):
        after = np.searchsorted(middle, seconds[i])
        if 0 < after < k:
            share = (seconds[i] - middle[after - 1]) / (middle[after] - middle[after - 1])
            wanted = mean[after - 1] + share * (mean[after] - mean[after - 1])
        else:
            wanted = mean[0 if after == 0 else k - 1]
        assert level[i] == pytest.approx(wanted)
    both = label_level(Data(data.items, np.stack([data.labels, -data.labels], axis=1)), rows, k)
    np.testing.assert_allclose(both, np.stack([level, -level], axis=1))
