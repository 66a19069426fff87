import numpy as np
import pytest

from smp.features import tags


def test_every_tag_of_a_post_once_whatever_its_case(make_posts):
    posts = make_posts([{"Alltags": "Sea sun SEA été"}, {}, {"Alltags": "sun"}])
    found = tags.read_tags(posts)
    pairs = [(int(p), found.names[int(c)].as_py()) for p, c in zip(found.post, found.code)]
    assert pairs == [(0, "sea"), (0, "sun"), (0, "été"), (2, "sun")]
    assert found.total.tolist() == [4, 0, 1] and found.distinct.tolist() == [3, 0, 1]
    assert np.array_equal(found.per_post(np.array([1.0, 2, 6, 5])), [3, np.nan, 5], equal_nan=True)
    assert tags.joined_tags(posts).to_pylist() == ["Sea sun SEA été", "", "sun"]


@pytest.mark.parametrize("embedding", [tags.post_embedding, tags.user_embedding])
def test_embeddings_keep_the_angles_of_tf_idf(random_posts, embedding):
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = random_posts["tags"].map(lambda t: " ".join(t)).astype(object)
    if embedding is tags.user_embedding:  # a user's document: each tag once a post
        words = random_posts["tags"].map(lambda t: " ".join(sorted({w.lower() for w in t})))
        words = words.groupby(random_posts["user_id"], observed=True).transform(" ".join).astype(object)
        documents = words.groupby(random_posts["user_id"], observed=True).first().tolist()
        vectorizer = TfidfVectorizer(token_pattern=r"\S+", sublinear_tf=True).fit(documents)
    else:
        vectorizer = TfidfVectorizer(token_pattern=r"\S+", sublinear_tf=True, binary=True).fit(words)
    truth = vectorizer.transform(words).toarray()
    made = embedding(random_posts, 16)  # no more tags than dimensions: nothing is lost
    assert made.shape == (len(random_posts), 16) and made.dtype == np.float16
    np.testing.assert_allclose(made.astype(float) @ made.T.astype(float), truth @ truth.T, atol=5e-3)


@pytest.mark.parametrize("embedding", [tags.post_embedding, tags.user_embedding])
def test_embeddings_go_with_the_post_not_the_row(random_posts, embedding):
    shuffled = random_posts.sample(frac=1, random_state=1)
    made = embedding(random_posts, 4)[random_posts.index.get_indexer(shuffled.index)]
    np.testing.assert_allclose(embedding(shuffled, 4).astype(float), made.astype(float), atol=2e-3)


@pytest.mark.parametrize("embedding", [tags.post_embedding, tags.user_embedding])
def test_no_tags_no_embedding(bare_posts, embedding):
    assert not embedding(bare_posts, 8).any()
    assert embedding(bare_posts.iloc[:1], 8).shape == (1, 8)
