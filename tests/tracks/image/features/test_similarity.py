"""Cosines against plain numpy, and their gaps."""

import numpy as np
import pandas as pd
import pytest

from smp.tracks.image.features import similarity
from smp.tracks.image.features.similarity import build


@pytest.fixture
def sides():
    rng = np.random.default_rng(1)
    image, text, title, tags = (rng.normal(size=(120, 6)).astype(np.float16) for _ in range(4))
    image[::9] = 0  # no readable picture
    return image, text, title, tags


def cosine(a, b):
    a, b = a.astype(np.float64), b.astype(np.float64)
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


def test_cosines_of_a_post(random_posts, sides, monkeypatch):
    monkeypatch.setattr(similarity, "ROWS", 50)  # more than one slice
    image, text, title, tags = sides
    made = build(random_posts, *sides)
    for i in range(120):
        picture = i % 9 != 0
        has_title, has_tags = random_posts["title"].iloc[i] != "", len(random_posts["tags"].iloc[i]) > 0
        truth = {
            "image_text": cosine(image[i], text[i]) if picture and (has_title or has_tags) else np.nan,
            "image_title": cosine(image[i], title[i]) if picture and has_title else np.nan,
            "image_tags": cosine(image[i], tags[i]) if picture and has_tags else np.nan,
            "title_tags": cosine(title[i], tags[i]) if has_title and has_tags else np.nan,
        }
        found = made.iloc[i][[f"similarity_{k}" for k in truth]].astype(float)
        np.testing.assert_allclose(found, list(truth.values()), atol=1e-5)


def test_the_user_is_their_other_pictures(random_posts, sides):
    image = sides[0]
    user = random_posts["user_id"].to_numpy()
    made = build(random_posts, *sides)["similarity_image_user"]
    unit = image / np.maximum(np.linalg.norm(image.astype(np.float64), axis=1), 1e-9)[:, None]
    for i in range(120):
        others = unit[(user == user[i]) & (np.arange(120) != i)].sum(axis=0)
        truth = cosine(image[i], others) if i % 9 and others.any() else np.nan
        assert made.iloc[i] == pytest.approx(truth, abs=1e-4, nan_ok=True)


def test_rows_in_another_order_give_the_same(random_posts, sides):
    order = np.random.default_rng(0).permutation(120)
    made = build(random_posts.iloc[order], *(side[order] for side in sides))
    pd.testing.assert_frame_equal(made, build(random_posts, *sides).iloc[order], atol=1e-6)
