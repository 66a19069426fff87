"""Folds: contiguous in time, disjoint in users, made once, refused for other posts."""

import numpy as np
import pandas as pd
import pytest

from smp import paths
from smp.errors import DataError
from smp.folds import N_FOLDS, label_blocks, load_folds, make_folds, months, time_blocks


def posts_of(n=500, users=60, seed=0, test=50):
    rng = np.random.default_rng(seed)
    time = pd.Series(pd.to_datetime(rng.integers(1_400_000_000, 1_450_000_000, n), unit="s", utc=True))
    label = rng.normal(6, 2, n)
    label[-test:] = np.nan
    return pd.DataFrame(
        {"time": time.to_numpy(), "user_id": pd.Categorical(rng.integers(0, users, n)), "label": label},
        index=pd.Index([str(i) for i in rng.permutation(n)], name="post_id"),
    )


def test_time_folds_are_contiguous_equal_and_hold_every_labelled_post_once():
    posts = posts_of()
    folds = make_folds(posts)
    assert folds.index.equals(posts.index[posts["label"].notna()])
    time = posts.loc[folds.index, "time"]
    for k in range(N_FOLDS - 1):
        assert time[folds["fold"] == k].max() < time[folds["fold"] == k + 1].min()
    assert folds["fold"].value_counts().between(85, 95).all()
    assert (folds["holdout"] == (folds["fold"] == N_FOLDS - 1)).all()


def test_posts_of_one_moment_share_a_block():
    time = pd.Series(pd.to_datetime([1, 2, 3, 3, 3, 3, 3, 4, 5, 6], unit="s"))
    blocks = time_blocks(time, 5)
    assert blocks.tolist() == [0, 0, 1, 1, 1, 1, 1, 3, 4, 4]


def test_user_folds_share_no_user_and_every_scheme_has_the_same_holdout():
    posts = posts_of()
    by_user = make_folds(posts, "user")
    assert (by_user.groupby(posts.loc[by_user.index, "user_id"], observed=True)["fold"].nunique() == 1).all()
    for scheme in ("user", "random"):
        folds = make_folds(posts, scheme)
        assert set(folds["fold"]) == set(range(N_FOLDS))
        pd.testing.assert_series_equal(folds["holdout"], make_folds(posts)["holdout"])


@pytest.mark.parametrize(("change", "scheme"), [({"users": 3}, "user"), ({"n": 54}, "random"), ({"n": 53}, "time")])
def test_too_few_to_fill_the_folds_is_said(change, scheme):
    with pytest.raises(DataError, match=f"do not fill 5 folds of scheme '{scheme}'"):
        make_folds(posts_of(**change), scheme)


def test_the_table_is_made_once_and_refused_for_other_posts(tmp_path, monkeypatch):
    monkeypatch.setenv("SMP_OUTPUT", str(tmp_path))
    posts = posts_of()
    made = load_folds("image", posts)
    written = paths.fold_table("image").stat().st_mtime_ns
    pd.testing.assert_frame_equal(load_folds("image", posts), made)
    assert paths.fold_table("image").stat().st_mtime_ns == written
    with pytest.raises(DataError, match="made for other posts; delete it"):
        load_folds("image", posts.iloc[::-1])


def test_label_blocks_put_the_test_after_every_training_block():
    posts = posts_of()
    block = label_blocks(posts)
    train = posts["label"].notna().to_numpy()
    assert (block[~train] == N_FOLDS).all()
    np.testing.assert_array_equal(block[train], make_folds(posts)["fold"])


def test_months_are_the_last_labelled_ones_each_after_all_it_may_learn_from():
    posts = posts_of()
    cuts = months(posts, 4)
    time, label = posts["time"].to_numpy("datetime64[s]"), posts["label"].notna().to_numpy()
    calendar = posts["time"].dt.strftime("%Y-%m").to_numpy()
    assert [name for name, _, _ in cuts] == sorted(set(calendar[label]))[-4:]
    for name, earlier, own in cuts:
        assert (calendar[own] == name).all() and len(own) == (label & (calendar == name)).sum()
        assert time[earlier].max() < time[own].min() and label[earlier].all()
        assert len(earlier) == (label & (calendar < name)).sum()
    assert months(posts, 0) == []
    assert len(months(posts, 1000)) == len(set(calendar[label])) - 1  # the first month has nothing before it


def test_blocks_of_some_training_posts_count_every_other_post_as_later():
    posts = posts_of()
    _, earlier, own = months(posts, 2)[0]
    block = label_blocks(posts, earlier)
    assert (np.delete(block, earlier) == N_FOLDS).all() and set(block[own]) == {N_FOLDS}
    assert set(block[earlier]) == set(range(N_FOLDS))
    np.testing.assert_array_equal(label_blocks(posts), label_blocks(posts, np.flatnonzero(posts["label"].notna())))
