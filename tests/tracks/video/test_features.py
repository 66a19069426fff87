"""Families of the video track on generated posts read by the loader: against sums written out, and blind to labels."""

import re

import numpy as np
import pandas as pd
import pytest

from smp import features, paths, tracks
from smp.errors import DataError
from smp.tracks.load import load_data
from smp.tracks.video.features import face_audio, mvp, video_stats

FAMILIES = {
    "video_ratios": video_stats.ratios,
    "video_words": video_stats.words,
    "video_users": video_stats.users,
    "mvp": mvp.build,
    "mvp_text": mvp.text,
}


@pytest.fixture
def data(demo_run):
    return load_data("video")


@pytest.fixture
def posts(data):
    return data.items


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_goes_with_the_post_and_never_sees_a_label(data, name):
    posts = data.items
    assert "label" not in posts
    made = pd.DataFrame(FAMILIES[name](posts)).set_axis(posts.index)
    shuffled = posts.sample(frac=1, random_state=1)
    again = pd.DataFrame(FAMILIES[name](shuffled)).set_axis(shuffled.index).loc[posts.index]
    if name == "mvp_text":  # the sums run in another order
        made, again = (x.T.astype(float).corr() for x in (made.iloc[:60], again.iloc[:60]))
        np.testing.assert_allclose(made, again, atol=0.03)
    else:
        pd.testing.assert_frame_equal(made, again)


def test_tag_dates_count_the_days_on_which_a_suggested_word_occurs(posts):
    days = {}
    for words, time in zip(posts["tags"], posts["time"]):
        for word in words:
            days.setdefault(word, set()).add(time.date())
    expected = [np.mean([len(days[w]) for w in words]) if len(words) else 0 for words in posts["tags"]]
    made = mvp.build(posts)
    np.testing.assert_allclose(made["mvp_avg_tag_popularity"], expected, rtol=1e-5)
    hour_of_week = posts["time"].dt.day_of_week * 7 + posts["time"].dt.hour
    np.testing.assert_array_equal(made["mvp_week_hour"].astype(int), hour_of_week)
    np.testing.assert_array_equal(made["mvp_likes"], posts["user_likes_count"].astype(np.float32))


def test_word_frequencies_are_logs_of_the_number_of_posts_that_say_the_word(posts):
    made, said = (
        video_stats.words(posts),
        [{w for w in re.split(",", text.lower()) if w} for text in posts["post_content"]],
    )
    count = pd.Series([w for words in said for w in words]).value_counts()
    for i in range(0, len(posts), 37):
        if said[i]:
            assert made["word_df_max"].iloc[i] == pytest.approx(np.log(max(count[w] for w in said[i])), rel=1e-5)
            assert made["word_df_mean"].iloc[i] == pytest.approx(np.log(np.mean([count[w] for w in said[i]])), rel=1e-5)
        assert made["says_fyp"].iloc[i] == ("fyp" in said[i])
    assert made["word_df_mean"].isna().equals(pd.Series([not s for s in said], index=posts.index))
    assert made["suggested_df_mean"].isna().equals(pd.Series([not len(t) for t in posts["tags"]], index=posts.index))


def test_ratios_are_differences_of_logs(posts):
    made = video_stats.ratios(posts)
    expected = np.log1p(posts["user_heart_count"]) - np.log1p(posts["user_video_count"])
    np.testing.assert_allclose(made["ratio_heart_video"], expected, rtol=1e-5, atol=1e-5)


def test_every_family_of_the_track_is_made_and_read_as_one_matrix(data):
    families = tracks.get("video").families
    plain = [name for name, family in families.items() if not (family.shards or family.labels)]
    X = features.load("video", plain, data)
    assert len(X) == len(data) and len(set(X.names)) == X.shape[1] > 150
    made = features.from_labels("video", ["user_labels"], data, data.labels, np.arange(len(data)) % 6, 0)
    assert np.isfinite(made.dense()).any()


def test_without_the_face_and_audio_file_the_family_has_no_columns(data):
    assert not face_audio.files() and not features.is_external("video", "face_audio")
    X = features.load("video", ["video_users", "face_audio"], data)
    assert X.names == ("user",)


@pytest.fixture
def own_file(posts, tmp_path, monkeypatch):
    path = tmp_path / "beside" / "face_audio.parquet"
    path.parent.mkdir()
    monkeypatch.setattr(paths, "extra_features", lambda track: path.parent)
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "pid": rng.permutation(posts.index)[:-5],
            "tempo": rng.normal(size=len(posts) - 5),
            "emotion": rng.choice(["happy", "none"], len(posts) - 5),
        }
    )
    table.to_parquet(path)
    return path, table


def test_the_face_and_audio_file_is_joined_by_post_and_declared(data, own_file):
    path, table = own_file
    assert features.is_external("video", "face_audio")
    X = features.load("video", ["face_audio"], data)
    assert X.names == ("tempo", "emotion") and X.categorical == ("emotion",)
    expected = table.set_index("pid")["tempo"].reindex(data.ids)
    np.testing.assert_allclose(X.dense()[:, 0], expected.astype(np.float32))
    assert np.isnan(X.dense()[expected.isna().to_numpy()]).all() and expected.isna().sum() == 5
    table.assign(tempo=0.0).to_parquet(path)  # another file makes the family anew
    assert np.nanmax(features.load("video", ["face_audio"], data).dense()[:, 0]) == 0


def test_a_face_and_audio_file_without_pid_or_with_a_post_twice_is_refused(data, own_file):
    path, table = own_file
    pd.concat([table, table[:1]]).to_parquet(path)
    with pytest.raises(DataError, match=f"post {table['pid'][0]} is there twice"):
        features.load("video", ["face_audio"], data)
    table.drop(columns="pid").to_parquet(path)
    with pytest.raises(DataError, match="no column post_id or pid"):
        features.load("video", ["face_audio"], data)


def test_sentence_families_follow_their_own_text(data, tmp_path, monkeypatch):
    from smp.features import text

    seen, posts = {}, data.items

    def embed(strings, shards):
        seen[shards.name] = strings.to_pylist()
        return np.zeros((len(strings), 384), np.float16)

    monkeypatch.setattr(text, "embed_texts", embed)
    for name, column in {"minilm_content": posts["title"], "minilm_music": posts["music_title"]}.items():
        assert features.build("video", name, data).shape == (len(posts), 16)
        assert seen[f"{name}.shards"] == column.tolist()
    features.build("video", "minilm_suggested", data)
    assert seen["minilm_suggested.shards"] == [" ".join(t) for t in posts["tags"]]
