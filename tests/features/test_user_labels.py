"""A user's label features against a plain loop over his earlier posts, and the masking of training rows."""

import numpy as np
import pytest

from smp.features.user_labels import RECENT, STRENGTH, build

START = 1_425_139_200


def labelled(make_posts, users: list[str], splits: list[str], hours: list[int]):
    posts = make_posts(
        [{"Uid": u, "split": s, "Postdate": str(START + 3600 * h)} for u, s, h in zip(users, splits, hours)]
    )
    return posts.sort_values("time", kind="stable")


def test_every_statistic_equals_a_plain_loop_over_the_users_earlier_posts(random_posts, blocks_of):
    rng = np.random.default_rng(0)
    posts, block = random_posts, blocks_of(random_posts)
    y = np.where((posts["split"] == "test") | (rng.random(len(posts)) < 0.2), np.nan, rng.normal(6, 2, len(posts)))
    made = build(posts, y, block, 0)
    mean = {b: np.nanmean(y[block == b]) for b in range(5)}
    days = (posts["time"] - posts["time"].min()).dt.total_seconds().to_numpy() / 86_400
    residual = np.array([v - mean.get(b, 0) for v, b in zip(y, block)])
    user = posts["user_id"].to_numpy()
    for i in range(len(posts)):
        mine = [j for j in range(len(posts)) if user[j] == user[i] and np.isfinite(y[j]) and block[j] < block[i]]
        mine.sort(key=lambda j: (block[j], days[j], residual[j]))
        row, seen = made.iloc[i], residual[mine]
        assert row["user_label_count"] == len(seen)
        if not len(seen):
            assert row.drop("user_label_count").isna().all()
            continue
        assert row["user_label_mean"] == pytest.approx(seen.sum() / (len(seen) + STRENGTH), abs=1e-5)
        for k in RECENT:
            name = "user_label_last" + (str(k) if k > 1 else "")
            assert row[name] == pytest.approx(seen[-k:].mean(), abs=1e-5)
        np.testing.assert_allclose(row["user_label_std"], seen.std() if len(seen) > 1 else np.nan, atol=1e-4)
        assert row["user_label_since"] == pytest.approx(days[i] - days[mine[-1]], abs=1e-3)


def test_a_user_with_a_level_of_their_own_is_told_apart_whatever_the_drift(make_posts):
    users = [f"{k % 2}@N00" for k in range(40)]
    posts = labelled(make_posts, users, ["train"] * 40, list(range(40)))
    block = np.repeat(np.arange(4), 10)
    level = np.where(posts["user_id"] == "1@N00", 1.0, -1.0)
    steady, drifting = build(posts, 8 + level, block, 0), build(posts, 8 + level - 2.0 * block, block, 0)
    np.testing.assert_allclose(steady["user_label_last"], drifting["user_label_last"], atol=1e-6)
    assert np.sign(steady["user_label_mean"][block > 0]).eq(level[block > 0]).all()


def test_masked_users_bring_the_unseen_share_of_train_up_to_that_of_test(make_posts):
    many = 300
    users = [f"{k}@N00" for k in range(many)] * 2 + [f"new{k}@N00" for k in range(60)] + [f"{k}@N00" for k in range(20)]
    splits = ["train"] * 2 * many + ["test"] * 80
    posts = labelled(make_posts, users, splits, list(range(len(users))))
    block = np.repeat([0, 1, 5], [many, many, 80])
    y = np.where(block == 5, np.nan, 6.0 + np.arange(len(posts)) % 7)
    y[many + 5 : many + 25] = np.nan  # validation rows, whose users are seen in block 0
    train = np.isfinite(y)
    seen = build(posts, y, block, 3)["user_label_mean"].notna().to_numpy()
    # half of the training rows lie in the first block and the test wants three quarters: half of the rest is masked
    assert 1 - seen[train].mean() == pytest.approx(0.75, abs=0.06)
    assert seen[many + 5 : many + 25].all()
    assert seen[-20:].all()
    assert np.array_equal(seen, build(posts, y, block, 3)["user_label_mean"].notna())
    assert not np.array_equal(seen, build(posts, y, block, 4)["user_label_mean"].notna())


def test_masked_rows_look_like_rows_of_unseen_users_and_a_users_rows_are_masked_together(make_posts):
    users = [f"{k}@N00" for k in range(100)] * 3 + [f"new{k}@N00" for k in range(100)]
    posts = labelled(make_posts, users, ["train"] * 300 + ["test"] * 100, list(range(400)))
    block = np.repeat([0, 1, 2, 5], 100)
    y = np.where(block == 5, np.nan, 1.0 * np.arange(400))
    y[200:300] = np.where(np.arange(100) < 99, y[200:300], np.nan)
    made = build(posts, y, block, 0)
    assert (made["user_label_count"][block == 1] == 0).all()  # every test post is by an unseen user: all are masked
    assert made.drop(columns="user_label_count")[np.isfinite(y)].isna().all(axis=None)
    assert made["user_label_count"].iloc[299] == 2  # the one validation row is not


def test_nothing_is_masked_where_the_test_knows_its_users_as_well_as_the_train(make_posts):
    users = [f"{k}@N00" for k in range(50)] * 3
    posts = labelled(make_posts, users, ["train"] * 100 + ["test"] * 50, list(range(150)))
    block = np.repeat([0, 1, 5], 50)
    y = np.where(block == 5, np.nan, 6.0)
    assert build(posts, y, block, 0)["user_label_mean"][block > 0].notna().all()


def test_a_post_without_user_sees_nothing(make_posts):
    posts = labelled(make_posts, ["1@N00"] * 8, ["train"] * 8, list(range(8)))
    posts.loc[posts.index[[0, 6]], "user_id"] = None
    made = build(posts, np.arange(8.0), np.repeat([0, 1], 4), 0)
    assert made["user_label_count"].tolist() == [0, 0, 0, 0, 3, 3, 0, 3]
