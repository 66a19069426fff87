"""Target encodings against plain loops over the posts of other blocks."""

import numpy as np
import pytest

from smp.features.target_encoding import CONCEPT_STRENGTH, TAG_STRENGTH, build


@pytest.fixture
def fold(random_posts, blocks_of):
    rng = np.random.default_rng(4)
    y = np.where((random_posts["split"] == "test") | (rng.random(120) < 0.2), np.nan, rng.normal(6, 2, 120))
    block = blocks_of(random_posts)
    residual = y - np.array([np.nanmean(y[block == b]) if b < 5 else 0.0 for b in block])
    return random_posts, y, block, residual


def test_concept_is_the_shrunken_mean_residual_of_the_other_blocks(fold):
    posts, y, block, residual = fold
    concepts = posts["concept"].to_numpy(object)
    for i, value in enumerate(build(posts, y, block, 0)["te_concept"]):
        seen = [residual[j] for j in range(120) if concepts[j] == concepts[i] and block[j] != block[i]]
        seen = [v for v in seen if np.isfinite(v)]
        assert value == pytest.approx(sum(seen) / (len(seen) + CONCEPT_STRENGTH), abs=1e-5)


def test_tags_are_averaged_by_how_much_is_known_of_them(fold):
    posts, y, block, residual = fold
    tags = [sorted({t.lower() for t in row}) for row in posts["tags"]]
    values = build(posts, y, block, 0)["te_tag_mean"]
    for i, value in enumerate(values):
        top = bottom = 0.0
        for tag in tags[i]:
            seen = [residual[j] for j in range(120) if tag in tags[j] and block[j] != block[i] and np.isfinite(y[j])]
            weight = len(seen) / (len(seen) + TAG_STRENGTH)
            top, bottom = top + weight * (np.mean(seen) if seen else 0.0), bottom + weight
        np.testing.assert_allclose(value, top / bottom if bottom else np.nan, atol=1e-5)
    assert values.isna().any()


def test_a_missing_concept_is_missing_and_an_unknown_one_is_the_prior(make_posts):
    posts = make_posts([{"Concept": c, "Postdate": str(1_425_139_200 + i)} for i, c in enumerate("aabbc")])
    posts.loc[posts.index[1], "concept"] = None
    made = build(posts, np.array([1.0, 2.0, 5.0, np.nan, np.nan]), np.array([0, 0, 1, 2, 2]), 0)["te_concept"]
    assert np.isnan(made.iloc[1])
    assert made.iloc[4] == 0
