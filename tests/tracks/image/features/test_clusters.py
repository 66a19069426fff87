"""Clusters: found where they are, nested, repeatable, missing where there is nothing to cluster."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_rand_score

from smp.tracks.image.features import clusters
from smp.tracks.image.features.clusters import build, hierarchy


@pytest.fixture
def blobs():
    """900 points around 9 centres that lie by three around 3 far places; the 9 codes."""
    rng = np.random.default_rng(0)
    far = np.repeat(rng.normal(size=(3, 8)) * 40, 3, axis=0)
    code = rng.integers(0, 9, 900)
    return ((far + rng.normal(size=(9, 8)) * 5)[code] + rng.normal(size=(900, 8)) * 0.1).astype(np.float32), code


def test_levels_are_the_clusters_that_are_there_and_nested(blobs):
    points, code = blobs
    (fine, near), (coarse, far) = hierarchy(points, (9, 3))
    assert adjusted_rand_score(code, fine) > 0.85 and adjusted_rand_score(code // 3, coarse) == 1
    assert (pd.DataFrame({"fine": fine, "coarse": coarse}).groupby("fine")["coarse"].nunique() == 1).all()
    centre = np.array([points[coarse == c].mean(axis=0) for c in range(3)])
    np.testing.assert_allclose(far, np.linalg.norm(points - centre[coarse], axis=1), rtol=0.05)
    assert near.mean() < far.mean() / 2


def test_every_space_and_level_and_nothing_for_a_missing_picture(random_posts, monkeypatch):
    monkeypatch.setattr(clusters, "LEVELS", (16, 4))
    monkeypatch.setattr(clusters, "POSTS_A_CLUSTER", 5)
    rng = np.random.default_rng(2)
    image, text = (rng.normal(size=(120, 10)).astype(np.float16) for _ in range(2))
    image[::10] = 0
    made = build(random_posts, image, text)
    assert made.shape == (120, 12)
    assert made["cluster_text16"].nunique() == 16 and made["cluster_joint4"].nunique() <= 4
    for space in ("image", "joint"):
        gaps = made.filter(like=f"cluster_{space}").isna()
        assert gaps[::10].all(axis=None) and gaps.sum().eq(12).all()
    assert made.filter(like="cluster_text").notna().all(axis=None)

    order = rng.permutation(120)
    again = build(random_posts.iloc[order], image[order], text[order])
    codes = [c for c in made if not c.endswith("distance")]
    pd.testing.assert_frame_equal(again[codes], made[codes].iloc[order])


def test_few_posts_lie_in_few_clusters(bare_posts):
    image, text = np.zeros((30, 5), np.float16), np.random.default_rng(0).normal(size=(30, 5)).astype(np.float16)
    made = build(bare_posts, image, text)
    assert made["cluster_image32"].isna().all() and (made["cluster_text512"] == 0).all()
    assert made.shape == (30, 18) and made["cluster_text512_distance"].gt(0).all()
