"""Keys, streams and causal label means against plain loops over the posts."""

import numpy as np
import pandas as pd
import pytest

from smp.features import label_means, stream
from smp.features.keys import keys
from smp.features.time_place import seconds


@pytest.fixture
def plain(random_posts):
    """Key -> the value of every post as a Python object, None for none."""
    posts = random_posts
    tags = [sorted({t.lower() for t in row}) for row in posts["tags"]]
    of_tag = {t: sum(t in row for row in tags) for row in tags for t in row}
    shared = [sorted((t for t in row if of_tag[t] > 1), key=lambda t: (of_tag[t], t)) for row in tags]
    levels = ("category", "subcategory", "concept")
    text = {name: [v if isinstance(v, str) else None for v in posts[name]] for name in levels}

    def both(left, right):
        return [None if a is None or b is None else (a, b) for a, b in zip(left, right)]

    count = [len(row) for row in tags]
    return text | {
        "user": list(posts["user_id"]),
        "title": [t or None for t in posts["title"]],
        "tag_1": [row[0] if row else None for row in shared],
        "tag_2": [row[1] if len(row) > 1 else None for row in shared],
        "concept_tags": both(text["concept"], count),
        "subcategory_tags": both(text["subcategory"], count),
        "user_subcategory": both(posts["user_id"], text["subcategory"]),
    }


def test_posts_share_a_code_exactly_where_they_share_the_value(random_posts, plain):
    made = keys(random_posts)
    assert set(made) == set(plain)
    for name, values in plain.items():
        code = made[name]
        np.testing.assert_array_equal(code < 0, [v is None for v in values], err_msg=name)
        pairs = {(c, v) for c, v in zip(code, values) if v is not None}
        assert len(pairs) == len({c for c, _ in pairs}) == len({v for _, v in pairs}), name


def test_stream_counts_and_gaps_equal_a_loop_over_the_posts(random_posts, plain):
    made, time = stream.build(random_posts), seconds(random_posts["time"]).astype(int)
    place = {row: i for i, row in enumerate(sorted(range(120), key=lambda i: (time[i], random_posts.index[i])))}
    for key, values in {"all": [0] * 120, **{k: plain[k] for k in stream.KEYS}}.items():
        columns = made.filter(regex=rf"^stream_{key}_[a-z]+\d*$").rename(columns=lambda c: c.split("_")[-1])
        for i, value in enumerate(values):
            row = columns.iloc[i]
            if value is None:
                assert row.isna().all()
                continue
            line = sorted((j for j in range(120) if values[j] == value), key=place.get)
            at = line.index(i)
            for k in stream.BEFORE:
                wanted = np.log1p(time[i] - time[line[at - k]]) if at >= k else np.nan
                np.testing.assert_allclose(row[f"since{k}"], wanted, rtol=1e-6)
            for k in stream.AFTER:
                wanted = np.log1p(time[line[at + k]] - time[i]) if at + k < len(line) else np.nan
                np.testing.assert_allclose(row[f"until{k}"], wanted, rtol=1e-6)
            for name, length in stream.WINDOWS.items():
                earlier = [j for j in line[:at] if time[i] - time[j] <= length]
                np.testing.assert_allclose(row[name], np.log1p(len(earlier)), rtol=1e-6)
            today = [j for j in line if time[j] // 86_400 == time[i] // 86_400]
            np.testing.assert_allclose(row["today"], np.log1p(len(today)), rtol=1e-6)
            if key != "all":
                rate = made[f"stream_{key}_since10"].iloc[i] - made["stream_all_since10"].iloc[i]
                np.testing.assert_allclose(row["rate"], rate, rtol=1e-6)


def test_the_last_days_of_one_key_are_not_the_first_days_of_the_next(make_posts):
    day = 86_400
    posts = make_posts(
        [
            {"Postdate": str(1_400_000_000 + days * day), "Category": name}
            for name, every in (("a", (0, 29, 30)), ("b", (0, 1, 30)))
            for days in every
        ]
    )
    np.testing.assert_allclose(stream.build(posts)["stream_category_today"], np.log(2), rtol=1e-6)


def test_the_order_of_the_rows_and_the_split_play_no_part(random_posts):
    other = random_posts.sample(frac=1, random_state=1)
    other["split"] = "train"
    pd.testing.assert_frame_equal(stream.build(other).reindex(random_posts.index), stream.build(random_posts))


def test_label_means_are_shrunken_residuals_of_earlier_blocks(random_posts, plain):
    rng = np.random.default_rng(1)
    block = rng.integers(0, 6, 120)
    y = np.where((block == 5) | (rng.random(120) < 0.2), np.nan, rng.normal(6, 2, 120))
    residual = y - np.array([np.nanmean(y[block == b]) if b < 5 else 0 for b in block])
    made = label_means.build(random_posts, y, block, 0)
    for key in label_means.KEYS:
        for i, value in enumerate(plain[key]):
            alike = [j for j in range(120) if value is not None and plain[key][j] == value]
            seen = [residual[j] for j in alike if block[j] < block[i] and np.isfinite(residual[j])]
            wanted = sum(seen) / (len(seen) + label_means.STRENGTH) if seen else np.nan
            np.testing.assert_allclose(made[f"label_{key}"].iloc[i], wanted, atol=1e-5)
            np.testing.assert_allclose(made[f"label_{key}_count"].iloc[i], np.log1p(len(seen)), rtol=1e-6)


def test_a_label_moves_only_rows_of_later_blocks(random_posts):
    rng = np.random.default_rng(2)
    block, y = np.repeat(np.arange(6), 20), rng.normal(6, 2, 120)
    before = label_means.build(random_posts, y, block, 0)
    y[50] += 3
    moved = ~before.eq(label_means.build(random_posts, y, block, 0)).where(before.notna(), True).all(axis=1).to_numpy()
    assert moved.any() and (block[moved] > block[50]).all()


@pytest.mark.parametrize(("name", "length"), [("hour", 3600), ("day", 86_400), ("week", 604_800)])
def test_a_window_is_exact_to_the_second(make_posts, name, length):
    posts = make_posts([{"Postdate": str(1_425_000_000 + s)} for s in (0, length, 2 * length + 1)])
    assert np.expm1(stream.build(posts)[f"stream_all_{name}"]).round().tolist() == [0, 1, 0]
