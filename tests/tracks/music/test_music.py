"""The room: files that are not as they should be, careers against brute force, networks on what they have to find."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.io import wavfile
from sklearn.metrics import f1_score

from smp import features, paths, tracks
from smp.errors import DataError
from smp.folds import load_folds, make_folds
from smp.models.gamenet import GAMENet, GAMENetNetwork
from smp.models.lyricnet import LyricNet, LyricNetNetwork
from smp.models.spectrogram_cnn import SpectrogramCNN
from smp.nn.loop import Training
from smp.oof import holdout_of, parts_of
from smp.paths import ROOT
from smp.tracks.load import load_data
from smp.tracks.music import demo, networks
from smp.tracks.music.features import career
from smp.tracks.music.networks import Network
from smp.tracks.music.read import files, read

TOOL = ROOT.parent / "shared" / "tools" / "make_tracks.py"
FEW = ("--seeds", "0", "--steps", "4")
TINY = {
    "exp080_constant": (),
    "exp080_lgbm": ("--seeds", "0", "--learner.rounds", "30"),
    "exp081_gamenet": FEW,
    "exp082_hitmusicnet": (*FEW, "--first-steps", "4"),
    "exp082_lyricnet": (*FEW, "--first-steps", "4"),
    "exp083_spectrogram_cnn": (*FEW, "--model.channels", "4", "4", "4", "4"),
    "exp089_fusion": ("--trials", "5", "--parents", "exp080_lgbm", "exp081_gamenet"),
}


@pytest.fixture(scope="module")
def output(run_room):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "RECORDED", 40)
        yield run_room("music", lambda folder: demo.write(folder, 240, 1, 0.2), TINY)


def write(folder: Path, tracks: str, albums: str = "", artists: str = "") -> Path:
    (folder / "Data Sources").mkdir(parents=True)
    for kind, text in (("tracks", tracks), ("albums", albums), ("artists", artists)):
        if text:
            (folder / "Data Sources" / f"spotify_{kind}.csv").write_text(text)
    return folder


def test_it_reads_what_a_crawl_may_hold(tmp_path):
    songs = "id,name,popularity,tempo,album_id,artists_id,available_markets\n"
    songs += "t1,One (Live),40,120,b1,\"['a1', 'a2']\",['DE']\n"
    songs += "t2,One - Remastered,50,110,b2,['a1'],['DE']\n"
    songs += "t3,Two,101,x,b3,['a9'],\n"  # no such popularity, no such tempo
    songs += "t4,Three,10,0,b9,[],\n"  # neither album nor artist: no date
    songs += "t4,Three,10,0,b1,[],\n"  # an id met before
    songs += "t5,Four,20,0,b1,[]\n"
    songs += "t6,too,many,fields,are,in,this,line\n"
    albums = "id,release_date,total_tracks\nb1,2001-05-02,9\nb2,2003,10\nb3,2002-02,5\n"
    artists = "id,genres,followers,artist_popularity\na1,\"['Rock', 'pop']\",5,80\na2,\"['pop', 'folk']\",4,70\n"
    data, quirks = read(write(tmp_path, songs, albums, artists))
    items = data.items
    assert list(items.index) == ["t1", "t2", "t3", "t5"]
    assert list(items["time"].dt.strftime("%Y-%m-%d")) == ["2001-05-02", "2003-01-01", "2002-02-01", "2001-05-02"]
    assert list(data.events["time"].dt.strftime("%Y-%m-%d")) == ["2001-05-02", "2003-12-31", "2001-05-02"]
    assert items.loc["t1", "song"] == items.loc["t2", "song"] and items["song"].nunique() == 3
    assert items.loc["t1", "known"] == pd.Timestamp("2003-12-31 00:00:01", tz="UTC")
    assert list(items["genres"]) == ["rock|pop|folk", "rock|pop", "", ""]
    np.testing.assert_array_equal(data.labels, [40, 50, np.nan, 20])
    assert list(items["split"]) == ["train", "train", "test", "train"]
    assert not set(items) & {"followers", "artist_popularity", "available_markets", "popularity"}
    for quirk, count in {
        "columns of tracks measured at the crawl left out (available_markets)": 1,
        "columns of artists measured at the crawl left out (artist_popularity, followers)": 2,
        "tracks without a date dropped": 1,
        "tracks without an id, or with one met before, dropped": 1,
        "dates of a year alone": 1,
        "dates of a month alone": 1,
        "tracks of a song that is out more than once": 2,
        "lines of spotify_tracks.csv with another number of fields left out": 1,
        "popularity that is no number in range taken for none": 1,
        "tempo that is no number in range taken for none": 1,
    }.items():
        assert quirks[quirk] == count, quirk


def test_dates_may_stand_with_the_tracks_and_what_cannot_be_read_is_said(tmp_path):
    data, quirks = read(write(tmp_path / "a", "id,name,popularity,release_date,id_artists\nx,S,3,1999,['q']\n"))
    assert len(data) == 1 and quirks["no spotify_albums.csv, or no ids in it"] == 1
    assert data.items["user_id"].iloc[0] == "q" and np.isnan(data.items["danceability"].iloc[0])
    with pytest.raises(DataError, match="no track has a release date"):
        read(write(tmp_path / "b", "id,popularity\nx,3\n"))
    with pytest.raises(DataError, match="no column popularity"):
        read(write(tmp_path / "c", "id,name\nx,3\n"))


def test_who_is_not_named_has_no_career(tmp_path):
    who = ("", "[]", "[null]", "[None]", '["", null]', "['a1']", "[null, 'a1']", '[null, "a1"]', "nan", "a1; b1")
    head = "id,name,popularity,release_date,artists_id\n"
    rows = [f't{i},S{i},{i},200{i}-01-01,"{a.replace(chr(34), 2 * chr(34))}"\n' for i, a in enumerate(who)]
    data, quirks = read(write(tmp_path, head + "".join(rows)))
    artist, alone = data.items["user_id"].astype("str"), [0, 1, 2, 3, 4, 8]
    assert set(artist.drop(data.ids[alone])) == {"a1"} and artist.iloc[alone].nunique() == 6
    assert quirks["tracks without an artist, each taken for its own"] == 6
    made = career.history(data.items, data.labels, np.zeros(10), 0, data.events)["history_count"]
    np.testing.assert_allclose(np.expm1(made), [0, 0, 0, 0, 0, 0, 1, 2, 0, 3], atol=1e-5)


@pytest.mark.parametrize(
    ("popularity", "shown"), [("101", "'101' of track x"), ("high", "'high'"), ("", "all are empty")]
)
def test_songs_without_any_popularity_are_refused(tmp_path, popularity, shown):
    with pytest.raises(DataError, match=rf"spotify_tracks\.csv: no popularity is a number from 0 to 100 \({shown}"):
        read(write(tmp_path, f"id,popularity,release_date\nx,{popularity},1999\n"))


@pytest.mark.parametrize("size", [*range(45), None])
def test_a_recording_that_is_cut_in_its_header_is_named(tmp_path, size):
    file = tmp_path / "x.wav"
    wavfile.write(file, 22_050, np.arange(800, dtype=np.int16))
    whole = file.read_bytes()
    file.write_bytes(whole[:size] if size is not None else whole.replace(b"data", b"atad"))
    with pytest.raises(DataError, match=r"x\.wav: not a readable wav file") as raised:
        networks.samples(file)
    assert "\n" not in str(raised.value)


CRAWLS = {  # what Spotify's crawls look like: the file, its text, and the release date of the first song
    "tracks.csv": (
        "id,name,popularity,duration_ms,explicit,artists,id_artists,release_date,tempo\n"
        "s1,One,40,1000,0,\"['A', 'B']\",\"['a1', 'b1']\",1999,120\ns2,Two,50,1000,1,['A'],['a1'],2001-05,90\n",
        "1999-01-01",
    ),
    "spotify_songs.csv": (
        "track_id,track_name,track_artist,track_popularity,track_album_id,track_album_release_date,Tempo (BPM)\n"
        "s1,One,a1,40,b1,12/31/1999,120\ns2,Two,a1,50,b2,1/2/2000,90\ns2,Two,a1,50,b2,1/2/2000,90\n",
        "1999-12-31",
    ),
    "dataset.csv": (
        ",track_id,artists,album_name,track_name,popularity,explicit,tempo,track_genre,release_date\n"
        "0,s1,a1;b1,Hits,One,40,False,120,rock,5.12.1999\n1,s2,a1,Hits,Two,50,True,90,rock,31.1.2000\n",
        "1999-12-05",
    ),
    "spotify-2023.csv": (
        "track_name;artist(s)_name;released_year;released_month;released_day;streams;bpm;popularity;genre\n"
        "One;a1, b1;1999;7;4;9;120;40;rock, pop\nTwo;a1;2000;;;9;90;50;\n",
        "1999-07-04",
    ),
    "spotify_tracks.csv": (
        "id,name,popularity,artist_id,year,tempo,release_date\ns1,One,40,a1,1999.0,120,\ns2,Two,50,a1,,90,5 May 2000\n",
        "1999-01-01",
    ),
}


@pytest.mark.parametrize("name", CRAWLS)
def test_other_crawls_are_read(tmp_path, name):
    text, day = CRAWLS[name]
    (tmp_path / name).write_text(text)
    data, _ = read(tmp_path)
    items = data.items
    assert files(tmp_path) == [tmp_path / name] and len(data) == 2
    np.testing.assert_array_equal(data.labels, [40, 50])
    assert list(items["user_id"]) == ["a1", "a1"] and list(items["tempo"]) == [120, 90]
    assert f"{items['time'].iloc[0]:%Y-%m-%d}" == day and items["time"].iloc[1] > items["time"].iloc[0]
    assert list(items.index) == (["row1", "row2"] if name == "spotify-2023.csv" else ["s1", "s2"])
    assert items["genres"].iloc[0] == {"dataset.csv": "rock", "spotify-2023.csv": "rock|pop"}.get(name, "")
    assert items["album"].nunique() == (1 if name == "dataset.csv" else 2) and items["song"].nunique() == 2


def test_songs_of_words_alone_go_through_every_system(tmp_path, monkeypatch):
    for name in ("input", "output"):
        monkeypatch.setenv(f"SMP_{name.upper()}", str(tmp_path / name))
    monkeypatch.setenv("SMP_PROFILE", "small")
    folder, rng = tmp_path / "input" / "music", np.random.default_rng(0)
    (folder / "features").mkdir(parents=True)
    words, year = rng.standard_normal((120, 40)), rng.integers(1990, 2020, 120)
    popularity = np.round(50 + 10 * words[:, 0].clip(-4, 4)).astype(int)
    table = {"id": np.char.mod("s%d", np.arange(120)), "artist": rng.integers(0, 20, 120), "popularity": popularity}
    pd.DataFrame(table | {"year": year}).to_csv(folder / "songs.csv", index=False)
    pd.DataFrame(words).add_prefix("v").assign(track_id=table["id"]).to_parquet(folder / "features" / "lyrics.parquet")
    for name, arguments in TINY.items():
        if name != "exp089_fusion":
            monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
            runpy.run_path(str(ROOT / "exp" / name / "train.py"), run_name="__main__")
    made = json.loads((paths.output("music") / "exp080_lgbm" / "metrics.json").read_text())
    assert made["holdout"]["r2"] > 0.2


def careers(n=80, seed=0):
    """Songs of four artists, some of one day, some copies; popularity."""
    rng = np.random.default_rng(seed)
    day = rng.integers(0, 900, n)
    items = pd.DataFrame(
        {
            "time": pd.to_datetime(np.datetime64("2015-01-01") + day).tz_localize("UTC"),
            "user_id": pd.Categorical(rng.integers(0, 4, n).astype(str)),
            "album": pd.Categorical(np.char.mod("b%d", day // 30)),
            "song": pd.Categorical(rng.integers(0, 60, n).astype(str)),
        },
        index=pd.Index([f"t{i}" for i in rng.permutation(n)], name="post_id"),
    )
    return items, rng.integers(0, 100, n).astype(float)


def events_of(items, y):
    return pd.DataFrame({"time": items["time"], "popularity": y})


def test_a_career_is_that_of_brute_force(monkeypatch):
    items, y = careers()
    monkeypatch.setattr(career, "CHUNK", 150)  # several chunks
    made = career.history_as_released(items, events_of(items, y).sample(frac=1, random_state=0))
    steps = career.career_as_released(items, events_of(items, y))
    for i, (_, row) in enumerate(items.iterrows()):
        past = (items["user_id"] == row["user_id"]) & (items["time"] < row["time"])
        past &= (items["song"] != row["song"]) & (items["album"] != row["album"])
        own, age = y[past], (row["time"] - items["time"][past]).dt.days.to_numpy() / 365.25
        assert made["history_count"].iloc[i] == pytest.approx(np.log1p(len(own)))
        if len(own):
            wanted = [own.mean(), own.std(), own.min(), np.median(own), own.max(), age.max(), age.min()]
            names = [f"history_{k}" for k in ("mean", "sd", "min", "median", "max", "age", "gap")]
            np.testing.assert_allclose(made[names].iloc[i], wanted, rtol=1e-4, atol=1e-4)
            wanted = np.average(own, weights=0.5 ** (age / 2))
            assert made["history_recent"].iloc[i] == pytest.approx(wanted, rel=1e-4)
            assert made["history_last"].iloc[i] in own[age == age.min()]
        lately = own[(age >= 0.5) & (age < 1)]
        wanted = np.log1p(len(lately)), lately.max(initial=0) / 100
        assert (steps["career_1_releases"].iloc[i], steps["career_1_max"].iloc[i]) == pytest.approx(wanted)


def test_no_career_moves_with_a_label_of_its_day_or_later_nor_with_a_hidden_one():
    items, y = careers(seed=1)
    day = items["time"].sort_values().iloc[40]
    later, hidden = (items["time"] >= day).to_numpy(), np.arange(80) % 3 == 0
    before = (items["time"] <= day).to_numpy()
    for released, shown in (
        (career.history_as_released, career.history),
        (career.career_as_released, career.career),
    ):
        a = released(items, events_of(items, y))
        b = released(items, events_of(items, np.where(later, 100 - y, y)))
        pd.testing.assert_frame_equal(a[before], b[before])
        assert not a.equals(b)
        seen = np.where(hidden, np.nan, y)
        c = shown(items, seen, np.zeros(80), 0, events_of(items, y))
        d = shown(items, seen, np.zeros(80), 0, events_of(items, np.where(hidden, 0, y)))
        pd.testing.assert_frame_equal(c, d)


def test_metrics_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    y, p = rng.integers(0, 101, (2, 300)).astype(float)
    scores = tracks.get("music").task.scores(y, p, None)
    classes = [np.digitize(v, [25, 65]) for v in (y, p)]
    each = f1_score(*classes, average=None)
    assert scores["macro_f1"] == pytest.approx(each.mean())
    assert [scores[f"f1_{c}"] for c in ("low", "middle", "high")] == pytest.approx(list(each))
    assert scores["r2"] == pytest.approx(1 - np.mean((y - p) ** 2) / y.var())


def test_no_copy_of_a_song_that_is_asked_is_learnt_from(output):
    data = load_data("music")
    part = holdout_of(parts_of(data, load_folds("music", data), tracks.get("music").split))
    song = data.items["song"].to_numpy()
    start = data.items["time"].iloc[part.query].min()
    assert len(part.train) and not set(song[part.train]) & set(song[part.query])
    assert (data.items["time"].iloc[part.train] < start).all()
    earlier = data.items["time"] < start
    assert set(song[earlier]) & set(song[part.query])  # there are such copies
    split = tracks.get("music").split
    for part in parts_of(data, make_folds(data, split, "random"), split)[:-1]:
        assert not set(song[part.train]) & set(song[part.query])


def test_every_system_is_scored_on_the_last_songs(output):
    for name in TINY:
        made = json.loads((output / name / "metrics.json").read_text())
        assert {"r2", "mae", "src", "macro_f1"} < set(made["holdout"]) and made["holdout"]["rows"] >= 40


def test_a_kept_network_predicts_as_it_did_and_a_seed_makes_the_same(output, tmp_path):
    kept = networks.Fitted.load(output / "exp081_gamenet" / "models" / "seed0")
    config, data = Network(kept.model, steps=4), load_data("music")
    full = parts_of(data, load_folds("music", data), tracks.get("music").split)[-1]
    blocks = networks.stored(config, "music", data) | networks.from_labels(config, "music", data, full)
    rows = np.arange(9)
    made = [networks.fit(config, blocks, data.labels, full.train, 0) for _ in range(2)]
    made[0].save(tmp_path)
    wanted = made[0].predict(blocks, rows)
    np.testing.assert_array_equal(networks.Fitted.load(tmp_path).predict(blocks, rows), wanted)
    np.testing.assert_array_equal(made[1].predict(blocks, rows), wanted)


def test_words_and_low_level_features_meet_their_tracks(output):
    data = load_data("music")
    for name, width in (("low_level", demo.LOW_LEVEL + 1), ("lyrics", demo.WORDS + 1), ("lyric_counts", 5)):
        made = features.load("music", (name,), data)
        there = made.dense()[:, made.names.index(f"{name}_there")]
        assert made.shape == (len(data), width)
        assert (np.isfinite(made.dense()).all(axis=1) == (there == 1)).all()
        assert there.all() == (name == "low_level")
    table = pd.read_parquet(paths.data("music") / "features" / "lyrics.parquet").set_index("track_id")
    made = features.load("music", ("lyrics",), data).dense()[:, : demo.WORDS]
    np.testing.assert_array_equal(made[data.ids.get_indexer(table.index)], table.to_numpy())


def planted(n, seed=0):
    rng = np.random.default_rng(seed)
    hook = rng.uniform(-2, 2, n)
    model = SpectrogramCNN(channels=(8, 16, 16, 16), mels=16, frames=64, width=32, dropout=0.0)
    waves = demo.wave(hook, rng).astype(np.float32) / 2**15
    mel = np.stack([networks.spectrogram(model, demo.RATE, wave) for wave in waves])
    return hook, model, networks.Sounds(mel, np.arange(n))


def test_the_cnn_hears_a_planted_effect_and_nothing_where_labels_are_shuffled():
    hook, model, sounds = planted(160)
    config = Network(model, Training(batch_size=40, learning_rate=1e-2), steps=60, features=(), label_features=())
    train, rest, scores = np.arange(110), np.arange(110, 160), []
    for labels in (hook, np.random.default_rng(1).permutation(hook)):
        made = networks.fit(config, {}, 40 + 15 * labels, train, 0, sounds).predict({}, rest, sounds)
        scores.append(1 - np.mean((made - 40 - 15 * labels[rest]) ** 2) / np.var(15 * labels[rest]))
    assert scores[0] > 0.8 and scores[1] < 0.1


@pytest.mark.parametrize("fusion", ["gate", "mean", "concat"])
def test_what_is_not_there_has_no_say(fusion):
    torch.manual_seed(0)
    model = GAMENet(fusion=fusion, width=8)
    shape = {"sound": 4, "lyrics": 40, "release": 3, "career": 40}
    network = GAMENetNetwork(model, shape).eval()
    batch = {n: torch.randn(6, d) for n, d in shape.items()} | {f"{n}_there": torch.ones(6) for n in shape}
    other = batch | {"lyrics": torch.randn(6, 40)}
    absent = {"lyrics_there": torch.zeros(6)}
    assert not torch.allclose(network.predict(batch), network.predict(other))
    torch.testing.assert_close(network.predict(batch | absent), network.predict(other | absent))


def test_the_codes_of_absent_words_are_nothing():
    network = LyricNetNetwork(LyricNet(), {"sound": 6, "lyrics": 40, "release": 2}).eval()
    batch = {"sound": torch.randn(5, 6), "lyrics": torch.randn(5, 40), "release": torch.randn(5, 2)}
    batch |= {f"{n}_there": torch.ones(5) for n in list(batch)} | {"lyrics_there": torch.tensor([1.0, 0, 1, 0, 0])}
    code = network.first.codes(batch)[0]
    assert (code[[1, 3, 4]] == 0).all() and (code[[0, 2]] != 0).any()


def test_real_discographies_are_read(tmp_path):
    if not TOOL.exists():
        pytest.skip("the real songs are not beside the checkout")
    subprocess.run([sys.executable, str(TOOL), "music", "discography", str(tmp_path)], check=True, capture_output=True)
    data, quirks = read(tmp_path)
    assert len(data) == 20_082 and data.items["user_id"].nunique() == 459
    assert quirks["dates of a year alone"] == 178 and data.labelled.all()
