import math

import numpy as np
import pandas as pd
import pytest

from smp.features import post_stats


def share(text, holds):
    return sum(map(holds, text)) / max(len(text), 1)


def test_lengths_and_shares(random_posts):
    made = post_stats.build(random_posts)
    for post, row in random_posts.iterrows():
        for name, text in {"title": row["title"], "tags": " ".join(row["tags"])}.items():
            got = {k: made.loc[post, f"{name}_{k}"] for k in ("chars", "digits", "nonascii", "upper", "emoji")}
            assert got == pytest.approx(
                {
                    "chars": len(text),
                    "digits": share(text, str.isdigit),
                    "nonascii": share(text, lambda c: not c.isascii()),
                    "upper": share(text, str.isupper),
                    "emoji": share(text, "🎉".__eq__),
                }
            )
        assert made.loc[post, "title_words"] == len(row["title"].split())
        assert made.loc[post, "title_is_file"] == (row["title"] == "IMG_0042")


def test_document_frequency_and_rarity_of_tags(random_posts):
    made = post_stats.build(random_posts)
    sets = pd.Series(
        [{t.lower() for t in tags} for tags in random_posts["tags"]], index=random_posts.index, dtype=object
    )
    users = random_posts["user_id"]
    for post, own in sets.items():
        frequency = [math.log(sum(t in s for s in sets)) for t in own]
        rarity = [math.log(users.nunique() / len({u for u, s in zip(users, sets) if t in s})) for t in own]
        total = len(random_posts.loc[post, "tags"])
        got = made.loc[post]
        assert (got["tags_count"], got["tags_duplicates"]) == (len(own), total - len(own))
        columns = ["tags_frequency_min", "tags_frequency_mean", "tags_frequency_max", "tags_rarity"]
        truth = [min(frequency), np.mean(frequency), max(frequency), np.mean(rarity)] if own else [np.nan] * 4
        np.testing.assert_allclose(got[columns].astype(float), truth, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("title", "language"),
    [
        ("", "none"),
        ("123 !!", "none"),
        ("Paris 2015", "latin"),
        ("the cat", "english"),
        ("Sunset in Rome", "english"),
        ("La casa de mi madre", "spanish"),
        ("Une vue sur la mer", "french"),
        ("Der Hund und die Katze", "german"),
        ("Gli amici di Roma", "italian"),
        ("O menino da rua", "portuguese"),
        ("Het huis van de boer", "dutch"),
        ("東京タワー", "japanese"),
        ("北京 2008", "chinese"),
        ("Привет мир", "cyrillic"),
        ("서울의 밤", "korean"),
        ("صباح الخير", "arabic"),
    ],
)
def test_language(make_posts, title, language):
    assert post_stats.build(make_posts([{"Title": title}]))["post_language"].tolist() == [language]


@pytest.mark.parametrize("title", ["DSC_0123", "dscn4711", "IMG 4456 (2)", "P1010234", "_MG_0001", "100_0001"])
def test_camera_file_names(make_posts, title):
    made = post_stats.build(make_posts([{"Title": title}, {"Title": "Pictures of 2015"}, {"Title": "P 1"}]))
    assert made["title_is_file"].tolist() == [1, 0, 0]


def test_categories_as_they_are(random_posts):
    made = post_stats.build(random_posts)
    for name in ("category", "subcategory", "concept", "mediatype"):
        assert made[name].tolist() == random_posts[name].tolist()
        assert isinstance(made[name].dtype, pd.CategoricalDtype)
    nowhere = random_posts.assign(concept=pd.Categorical([None] * len(random_posts)))
    assert "concept" not in post_stats.build(nowhere)


def test_features_go_with_the_post_and_see_no_label(random_posts):
    made = post_stats.build(random_posts)
    shuffled = random_posts.sample(frac=1, random_state=1).assign(label=1.0)
    pd.testing.assert_frame_equal(post_stats.build(shuffled).loc[made.index], made)


def test_nothing_to_say(bare_posts):
    for posts in (bare_posts, bare_posts.iloc[:1]):
        made = post_stats.build(posts)
        undefined = made.columns[made.isna().all()]
        assert list(undefined) == ["tags_frequency_min", "tags_frequency_mean", "tags_frequency_max", "tags_rarity"]
        assert (made[["title_chars", "title_words", "tags_count"]] == 0).all(axis=None)


def test_a_title_of_one_character_is_all_of_it(make_posts):
    made = post_stats.build(make_posts([{"Title": "7"}, {"Title": "É"}]))
    assert made[["title_chars", "title_digits", "title_upper", "title_nonascii"]].to_numpy().tolist() == [
        [1, 1, 0, 0],
        [1, 0, 1, 1],
    ]
