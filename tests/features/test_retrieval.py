"""Neighbours' labels against a plain search in numpy, exact and approximate."""

import faiss
import numpy as np
import pytest

from smp.features import retrieval
from smp.features.retrieval import STRENGTH, TEMPERATURE, build, nearest_earlier, user_space


@pytest.fixture
def fold(random_posts, blocks_of):
    rng = np.random.default_rng(6)
    y = np.where((random_posts["split"] == "test") | (rng.random(120) < 0.2), np.nan, rng.normal(6, 2, 120))
    block = blocks_of(random_posts)
    residual = y - np.array([np.nanmean(y[block == b]) if b < 5 else 0.0 for b in block])
    vectors = rng.normal(size=(120, 5)).astype(np.float16)
    vectors[::17] = 0
    return random_posts, y, block, residual, vectors


def test_near_posts_equal_a_plain_search_among_earlier_blocks(fold, monkeypatch):
    posts, y, block, residual, vectors = fold
    monkeypatch.setattr(retrieval, "POSTS", 7)
    made = build(posts, y, block, 0, vectors=vectors)
    x = vectors.astype(np.float64)
    length = np.linalg.norm(x, axis=1)
    for i in range(120):
        earlier = np.flatnonzero((block < block[i]) & np.isfinite(y) & (length > 0))
        if not len(earlier) or length[i] == 0:
            assert made.filter(like="near_").iloc[i].isna().all()
            continue
        cosine = x[earlier] @ x[i] / length[earlier] / length[i]
        top = np.argsort(-cosine)[:7]
        label, weight = residual[earlier[top]], np.exp((cosine[top] - cosine[top[0]]) / TEMPERATURE)
        truth = [label.mean(), np.average(label, weights=weight), label.std(), cosine[top].mean()]
        names = ["near_mean", "near_weighted", "near_std", "near_similarity"]
        np.testing.assert_allclose(made.iloc[i][names].astype(float), truth, atol=1e-4)


def test_like_users_equal_a_plain_search_among_the_other_users(fold, monkeypatch):
    posts, y, block, residual, _ = fold
    monkeypatch.setattr(retrieval, "USERS", 3)
    made = build(posts, y, block, 0)["like_mean"]
    user = posts["user_id"].cat.codes.to_numpy()
    space = user_space(posts, user).astype(np.float64)
    for i in range(120):
        seen = {u: residual[(user == u) & (block < block[i]) & np.isfinite(y)] for u in set(user) - {user[i]}}
        others = sorted((u for u in seen if len(seen[u])), key=lambda u: np.sum((space[u] - space[user[i]]) ** 2))[:3]
        if not others:
            assert np.isnan(made.iloc[i])
            continue
        top = sum(seen[u].sum() / (len(seen[u]) + STRENGTH) for u in others)
        assert made.iloc[i] == pytest.approx(
            top / sum(len(seen[u]) / (len(seen[u]) + STRENGTH) for u in others), abs=1e-4
        )


def test_no_label_of_the_user_moves_what_is_said_of_users_alike(fold):
    posts, y, block, *_ = fold
    user = posts["user_id"].cat.codes.to_numpy()
    mine = user == np.bincount(user).argmax()
    swapped = y.copy()
    for b in range(5):  # shuffled inside a block: the block's mean stays
        at = np.flatnonzero(mine & (block == b) & np.isfinite(y))
        swapped[at] = y[np.roll(at, 1)] + np.where(np.arange(len(at)) % 2, 3.0, -3.0) * (len(at) % 2 == 0)
    assert not np.array_equal(swapped, y, equal_nan=True)
    np.testing.assert_allclose(
        build(posts, y, block, 0)["like_mean"][mine], build(posts, swapped, block, 0)["like_mean"][mine], atol=1e-5
    )


def test_user_space_is_standardised_and_zero_where_missing(random_posts):
    space = user_space(random_posts, random_posts["user_id"].cat.codes.to_numpy())
    assert np.isfinite(space).all()
    np.testing.assert_allclose(space.std(axis=0)[0], 1, atol=1e-5)
    unknown = random_posts.assign(photo_count=np.float32(np.nan))
    assert not user_space(unknown, unknown["user_id"].cat.codes.to_numpy())[:, 1].any()


def test_vectors_of_another_number_are_refused(fold):
    posts, y, block, _, vectors = fold
    with pytest.raises(ValueError, match="120 posts"):
        build(posts, y, block, 0, vectors=vectors[:50])


@pytest.fixture(scope="module")
def clustered():
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(60, 8))
    items = (centres[rng.integers(0, 60, 3000)] + 0.3 * rng.normal(size=(3000, 8))).astype(np.float32)
    return items, rng.integers(0, 4, 3000)


def test_approximate_search_finds_most_neighbours_of_earlier_blocks_only_and_repeats(clustered, monkeypatch):
    items, block = clustered
    exact = list(nearest_earlier(items, block, items, block, 10, 0))
    monkeypatch.setattr(retrieval, "EXACT_BELOW", 1000)
    approximate = list(nearest_earlier(items, block, items, block, 10, 0))
    again = list(nearest_earlier(items, block, items, block, 10, 0))
    for (b, asked, found, _), (_, same, near, _), (_, _, repeated, _) in zip(exact, approximate, again):
        assert np.array_equal(asked, same)
        assert np.array_equal(near, repeated)
        assert (block[near[near >= 0]] < b).all()
        hits = np.mean([len(set(a) & set(c)) for a, c in zip(found.tolist(), near.tolist())]) / 10
        assert hits > 0.9


def test_the_number_of_threads_does_not_change_the_neighbours(clustered, monkeypatch):
    items, block = clustered
    monkeypatch.setattr(retrieval, "EXACT_BELOW", 1000)
    before, answers = faiss.omp_get_max_threads(), []
    try:
        for threads in (1, 2):
            faiss.omp_set_num_threads(threads)
            answers.append([found for _, _, found, _ in nearest_earlier(items, block, items, block, 10, 0)])
    finally:
        faiss.omp_set_num_threads(before)
    assert all(np.array_equal(a, b) for a, b in zip(*answers))
