"""The block rule: sums against plain loops, and no family that uses labels sees one of its own block."""

import numpy as np
import pandas as pd
import pytest

from smp.features import label_means, user_labels
from smp.features.blocks import block_residual, group_sums

FAMILIES = [user_labels.build, label_means.build]


@pytest.fixture
def fold(random_posts, blocks_of):
    """Posts, labels with a tenth hidden besides the test's, and blocks."""
    rng = np.random.default_rng(1)
    y = np.where((random_posts["split"] == "test") | (rng.random(len(random_posts)) < 0.1), np.nan, 0.0)
    return random_posts, y + rng.normal(6, 2, len(y)), blocks_of(random_posts)


def test_sums_equal_a_plain_loop_over_rows_with_missing_keys_and_hidden_labels():
    rng = np.random.default_rng(0)
    key, block = rng.integers(-1, 6, 200), rng.integers(0, 5, 200) * 3 + 2
    y = np.where(rng.random(200) < 0.3, np.nan, rng.normal(6, 2, 200))
    sums = group_sums(key, y, block)
    for i in range(200):
        seen = [y[j] for j in range(200) if key[j] == key[i] >= 0 and np.isfinite(y[j]) and block[j] < block[i]]
        assert sums.count[i] == len(seen)
        assert sums.total[i] == pytest.approx(sum(seen))
        assert sums.squares[i] == pytest.approx(sum(v * v for v in seen))
        np.testing.assert_allclose(sums.mean[i], np.mean(seen) if seen else np.nan)
        np.testing.assert_allclose(sums.std[i], np.std(seen) if len(seen) > 1 else np.nan, atol=1e-6)
        assert sums.shrunk(4.0)[i] == pytest.approx(sum(seen) / (len(seen) + 4))


def test_one_block_or_no_row_shows_nothing():
    one = group_sums(np.zeros(5, int), np.ones(5), np.full(5, 3))
    assert not one.count.any()
    assert not one.total.any()
    assert len(group_sums(*(np.empty(0, t) for t in (int, float, int))).count) == 0


def test_lengths_that_differ_are_refused():
    with pytest.raises(ValueError, match="differ in length: 3, 2, 3"):
        group_sums(np.zeros(3, int), np.zeros(2), np.zeros(3, int))


def test_residual_is_the_label_minus_the_mean_of_the_labels_shown_in_its_block():
    y, block = np.array([1.0, 3.0, np.nan, 8.0, np.nan]), np.array([0, 0, 0, 2, 5])
    np.testing.assert_allclose(block_residual(y, block), [-1, 1, np.nan, 0, np.nan])


@pytest.mark.parametrize("build", FAMILIES)
def test_flipping_one_label_moves_neither_own_features_nor_block_mates(build, fold):
    posts, y, block = fold
    before, moved = build(posts, y, block, 0), False
    for i in np.flatnonzero(np.isfinite(y))[::5]:
        flipped = y.copy()
        flipped[i] = 1000.0
        after = build(posts, flipped, block, 0)
        still = block <= block[i]
        pd.testing.assert_frame_equal(before[still], after[still], check_exact=True)
        moved |= not before.equals(after)
    assert moved


@pytest.mark.parametrize("build", FAMILIES)
def test_labels_that_are_hidden_never_matter(build, fold):
    posts, y, block = fold
    other = posts.assign(label=np.random.default_rng(2).normal(size=len(posts)))
    pd.testing.assert_frame_equal(build(posts, y, block, 0), build(other, y, block, 0), check_exact=True)
    before, after = build(posts, y, block, 0), build(posts, np.where(block == 4, np.nan, y), block, 0)
    asked = (block == 4) & np.isnan(y)  # validation rows: whether their block mates' labels are known is no matter
    pd.testing.assert_frame_equal(before[asked], after[asked], check_exact=True)


@pytest.mark.parametrize("build", FAMILIES)
def test_hiding_all_later_labels_changes_nothing_of_a_causal_family(build, fold):
    posts, y, block = fold
    cut = np.where(block >= 3, np.nan, y)
    before, after = build(posts, y, block, 0), build(posts, cut, block, 0)
    pd.testing.assert_frame_equal(before[block < 3], after[block < 3], check_exact=True)


@pytest.mark.parametrize("build", FAMILIES)
def test_shuffled_rows_give_the_same_features(build, fold):
    posts, y, block = fold
    order = np.random.default_rng(3).permutation(len(posts))
    shuffled = build(posts.iloc[order], y[order], block[order], 0)
    pd.testing.assert_frame_equal(build(posts, y, block, 0).iloc[order], shuffled, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("build", FAMILIES)
def test_frames_are_float32_aligned_and_empty_for_no_posts(build, fold):
    posts, y, block = fold
    made = build(posts, y, block, 0)
    assert made.index.equals(posts.index)
    assert (made.dtypes == np.float32).all()
    assert not np.isinf(made.to_numpy()).any()
    assert made.columns.equals(build(posts.iloc[:0], y[:0], block[:0], 0).columns)


@pytest.mark.parametrize("build", FAMILIES)
def test_where_no_label_may_be_seen_nothing_is_told(build, fold):
    posts, y, _ = fold
    made = build(posts, y, np.zeros(len(y), int), 0)
    assert (made.isna() | made.filter(regex="_count$").eq(0).reindex(columns=made.columns)).all(axis=None)
