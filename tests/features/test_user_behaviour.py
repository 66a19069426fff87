import math
from collections import Counter
from datetime import timedelta
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from smp.features import user_behaviour


@pytest.fixture
def made(random_posts):
    return user_behaviour.build(random_posts)


@pytest.fixture
def histories(random_posts):
    """Every user's posts in order, and the position of each post in its own."""
    ordered = random_posts.assign(number=random_posts.index.astype(int)).sort_values(["time", "number"])
    ordered["seconds"] = ordered["time"].map(lambda t: int(t.timestamp()))
    ordered["tag_set"] = pd.Series([{t.lower() for t in tags} for tags in ordered["tags"]], ordered.index, dtype=object)
    by_user = {user: own for user, own in ordered.groupby("user_id", observed=True)}
    return [
        (post, by_user[row["user_id"]], by_user[row["user_id"]].index.get_loc(post)) for post, row in ordered.iterrows()
    ]


def check(made, post, **truth):
    got = {name: made.loc[post, name] for name in truth}
    assert got == pytest.approx(
        {k: np.nan if v is None else v for k, v in truth.items()}, rel=1e-5, abs=1e-6, nan_ok=True
    )


def log1p(value):
    return None if value is None else math.log1p(value)


def test_history_and_gaps(made, histories):
    for post, own, at in histories:
        times = own["seconds"].tolist()
        gaps = [b - a for a, b in pairwise(times)]
        burst = next(k for k in range(at, -1, -1) if k == 0 or gaps[k - 1] > 3600)
        end = next(k for k in range(at, len(times)) if k == len(times) - 1 or gaps[k] > 3600)
        check(
            made,
            post,
            user_posts=log1p(len(own)),
            user_posts_before=log1p(at),
            user_history=(at + 1) / len(own),
            user_span=log1p(times[-1] - times[0]),
            user_gap_previous=log1p(gaps[at - 1]) if at else None,
            user_gap_next=log1p(gaps[at]) if at < len(gaps) else None,
            user_gap_min=log1p(min(gaps)) if gaps else None,
            user_gap_mean=log1p(np.mean(gaps)) if gaps else None,
            user_gap_max=log1p(max(gaps)) if gaps else None,
            user_gap_std=log1p(np.std(gaps)) if gaps else None,
            user_burst_posts=log1p(end - burst + 1),
            user_burst_position=log1p(at - burst),
            user_burst_age=log1p(times[at] - times[burst]),
        )


def test_posts_in_windows_and_calendars(made, histories):
    for post, own, at in histories:
        times = own["seconds"].tolist()
        for name, length in {"1h": 3600, "24h": 86_400, "7d": 604_800, "30d": 2_592_000}.items():
            check(made, post, **{f"user_posts_{name}": log1p(sum(t >= times[at] - length for t in times[:at]))})
        local = [t + timedelta(hours=0 if z != z else float(z)) for t, z in zip(own["time"], own["timezone_offset"])]
        periods = {
            "day": lambda t: t.date(),
            "week": lambda t: t.isocalendar()[:2],
            "month": lambda t: (t.year, t.month),
        }
        for name, period in periods.items():
            same = sum(period(t) == period(local[at]) for t in local)
            check(made, post, **{f"user_posts_{name}": log1p(same)})


@pytest.mark.parametrize(("name", "length"), [("1h", 3600), ("24h", 86_400), ("7d", 604_800), ("30d", 2_592_000)])
def test_a_window_is_exact_to_the_second(make_posts, name, length):
    posts = make_posts([{"Postdate": str(1_425_000_000 + s)} for s in (0, length, 2 * length + 1)])
    assert np.expm1(user_behaviour.build(posts)[f"user_posts_{name}"]).round().tolist() == [0, 1, 0]


def test_variety(made, histories):
    for post, own, at in histories:
        for name in ("category", "subcategory", "concept"):
            shares = {k: n / len(own) for k, n in Counter(own[name]).items()}
            entropy = -sum(p * math.log(p) for p in shares.values())
            check(
                made,
                post,
                **{
                    f"user_{name}_values": log1p(len(shares)),
                    f"user_{name}_entropy": entropy,
                    f"user_{name}_share": shares[own[name].iloc[at]],
                },
            )


def test_tag_habits(made, histories):
    for post, own, at in histories:
        sets = own["tag_set"].tolist()
        mine, before = sets[at], set().union(*sets[:at])
        uses = Counter(tag for tags in sets for tag in tags)
        union = mine | sets[at - 1]
        check(
            made,
            post,
            user_tags_mean=np.mean([len(s) for s in sets]),
            user_tags_known=len(mine & before) / len(mine) if mine else None,
            user_tags_jaccard=len(mine & sets[at - 1]) / len(union) if at and union else None,
            user_tags_frequency=np.mean([uses[t] / len(own) for t in mine]) if mine else None,
        )


def test_top_tags(random_posts, histories, monkeypatch):
    monkeypatch.setattr(user_behaviour, "MIN_TOP_USERS", 2)
    made = user_behaviour.build(random_posts)
    ranked = {}
    for _, own, _ in histories:
        uses = Counter(tag for tags in own["tag_set"] for tag in tags)
        ranked[own["user_id"].iloc[0]] = (
            sorted(uses.items(), key=lambda item: (-item[1], item[0].encode()))[:3],
            len(own),
        )
    for k in range(3):
        common = Counter(top[k][0] for top, _ in ranked.values() if len(top) > k)
        for post, user in random_posts["user_id"].items():
            top, posts = ranked[user]
            tag, uses = top[k] if len(top) > k else (None, 0)
            check(made, post, **{f"user_top_tag_{k + 1}_share": uses / posts})
            kept = tag if tag and common[tag] >= 2 else None
            got = made.loc[post, f"user_top_tag_{k + 1}"]
            assert (got if isinstance(got, str) else None) == kept


def test_repeated_titles(made, histories):
    for post, own, at in histories:
        title = own["title"].iloc[at]
        group = [k for k in range(len(own)) if k == at or (title and own["title"].iloc[k] == title)]
        check(
            made,
            post,
            user_title_posts=log1p(len(group)),
            user_title_position=log1p(group.index(at)),
            user_title_age=log1p(own["seconds"].iloc[at] - own["seconds"].iloc[group[0]]),
        )


def test_numbers_in_names(make_posts):
    posts = make_posts([{"Uid": "59@N75", "Pid": "775"}, {"Uid": "7@N03", "Pid": "1118345"}, {"Uid": "x", "Pid": "80"}])
    made = user_behaviour.build(posts)
    assert made["user_number"].tolist()[:2] == [59, 7] and made["user_suffix"].tolist()[:2] == [75, 3]
    assert made[["user_number", "user_suffix"]].iloc[2].isna().all()
    assert made["post_number"].tolist() == [775, 1118345, 80]
    np.testing.assert_allclose(made["post_number_share"], [2 / 3, 1, 1 / 3], rtol=1e-6)
    video = posts.set_index(pd.Index(["POST0012", "POST0003", "other"], name="post_id"))
    assert user_behaviour.build(video)["post_number"].tolist()[:2] == [12, 3]


def test_the_account(make_posts):
    start = 1_400_000_000
    posts = make_posts(
        [
            {
                "Postdate": str(start + 86_400 * day),
                "photo_firstdate": str(start - 86_400 * 99),
                "photo_firstdatetaken": "2014-05-12 15:53:20",  # a day before the start, on a clock an hour behind
                "timezone_offset": "-01:00",
                "photo_count": "500",
                "ispro": "1",
                "user_description": "Sea and sun",
            }
            for day in (0, 1)
        ]
        + [{"Uid": "1@N02", "Postdate": str(start + 86_400), "photo_count": "0"}]
    )
    made = user_behaviour.build(posts)
    np.testing.assert_allclose(made["account_photos"], np.log1p([500, 500, 0]), rtol=1e-6)
    np.testing.assert_allclose(made["account_days"], [99, 100, np.nan], rtol=1e-6)
    np.testing.assert_allclose(made["account_camera_days"], [1, 2, np.nan], rtol=1e-6)
    np.testing.assert_allclose(made["account_photos_per_day"], [np.log1p(5), np.log1p(5), np.nan], rtol=1e-6)
    np.testing.assert_allclose(made["account_posts_share"], np.log([2 / 500, 2 / 500, 1]), rtol=1e-5)
    assert made["account_pro"].tolist() == [1, 1, 0]
    np.testing.assert_allclose(made["user_description_chars"], np.log1p([11, 11, 0]), rtol=1e-6)
    np.testing.assert_allclose(made["user_description_words"], np.log1p([3, 3, 0]), rtol=1e-6)


def test_features_go_with_the_post_and_see_no_label(random_posts, made):
    shuffled = random_posts.sample(frac=1, random_state=1).assign(label=1.0)
    pd.testing.assert_frame_equal(user_behaviour.build(shuffled).loc[made.index], made)


def test_missing_only_where_undefined(random_posts, made):
    first = made["user_posts_before"] == 0
    assert made["user_gap_previous"].isna().equals(first)
    may_miss = ("gap", "tags", "top_tag", "account")
    assert not made.drop(columns=[c for c in made if any(part in c for part in may_miss)]).isna().any(axis=None)
    assert not np.isinf(made.select_dtypes("number")).any(axis=None)


def test_a_bare_user_and_a_single_post(bare_posts):
    made = user_behaviour.build(bare_posts)
    assert (np.expm1(made["user_posts"]).round() == 30).all() and (made["user_span"] == 0).all()
    assert sorted(made["user_history"]) == pytest.approx(np.arange(1, 31) / 30)
    assert (np.expm1(made["user_title_posts"]).round() == 1).all() and made["user_top_tag_1"].isna().all()
    assert user_behaviour.build(bare_posts.iloc[:1])["user_gap_mean"].isna().all()
    video = bare_posts[["user_id", "time", "title", "tags"]].assign(
        **dict.fromkeys(("category", "subcategory", "concept"), pd.Categorical([None] * 30))
    )
    made = user_behaviour.build(video)
    assert not [c for c in made if c.startswith(("account", "user_category"))]


def test_the_account_alone_is_the_accounts_part_of_all(random_posts, made):
    alone = user_behaviour.account(random_posts)
    pd.testing.assert_frame_equal(alone, made.loc[alone.index, list(alone)])
    accounts = {c for c in made if c.startswith(("account_", "user_description_", "location_description_"))}
    assert set(alone) == accounts
    without = random_posts.drop(columns="photo_count")
    assert user_behaviour.account(without).shape == (len(without), 0)
