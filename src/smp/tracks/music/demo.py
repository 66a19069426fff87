"""Generated songs in the layout of SpotGenTrack, from a stated model.

    popularity = round(clip(L, 0, 100))
    L = 40 + level + 8 sound + 6 words + 5 hook + genre + album, N(0, 4^2) + noise, N(0, 6^2)

    level   of an artist when a song comes out: N(0, 12^2), drifting 3 a year as a random walk
    sound   a direction in the descriptors and in the low-level block, standard normal
    words   a direction in the vectors of the words, standard normal
    hook    standard normal; a recording (some songs have one) beats 2 + hook / 2 times a second: nothing else tells it

The best score (`write`) is that of one who knows everything but the album's and the song's own part: a bound, as a
model has to learn an artist's level from its earlier songs.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.io import wavfile

RATE, SECONDS = 22_050, 1.5  # of a recording
START, DAYS = np.datetime64("2012-01-01"), 3_650
LOW_LEVEL, WORDS, COUNTS = 80, 48, 4
GENRES = {"pop": 3.0, "rap": 1.0, "rock": 0.0, "jazz": -4.0, "folk": -2.0, "metal": -1.0}
RECORDED = 320  # songs with a recording


def wave(hook: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(n, RATE * SECONDS) int16: a chord under noise, its loudness beating the faster the larger the hook is."""
    t = np.arange(int(RATE * SECONDS)) / RATE
    pitch = rng.uniform(200, 400, len(hook))[:, None] * np.array([1.0, 1.25, 1.5])
    chord = np.sin(2 * np.pi * pitch[:, :, None] * t).mean(axis=1)
    beat = 0.5 + 0.5 * np.sin(2 * np.pi * ((4 + 1.2 * hook.clip(-2.5, 2.5))[:, None] * t + rng.random((len(hook), 1))))
    return np.round(8_000 * (chord * beat + 0.05 * rng.standard_normal(chord.shape))).astype(np.int16)


def write(folder: Path, n: int, seed: int, last: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Write the files of n songs; the same seed gives the same bytes. Returns popularity (n,), what can be known of it,
    and which songs are the last share in time."""
    rng = np.random.default_rng([seed, 9])
    artists, albums = max(n // 30, 8), max(n // 8, 20)
    of_album = rng.integers(0, artists, albums)
    begun = rng.uniform(0, 0.6, artists)
    day = np.floor(DAYS * (begun[of_album] + (0.999 - begun[of_album]) * rng.random(albums))).astype(int)
    album = np.sort(rng.integers(0, albums, n))
    album = np.argsort(np.argsort(day, kind="stable"), kind="stable")[album]  # files come in no order of time
    artist, time = of_album[album], day[album]

    steps = rng.normal(0, 3 * (30 / 365) ** 0.5, (artists, DAYS // 30 + 1))
    level = 12 * rng.standard_normal(artists)[:, None] + np.cumsum(steps, axis=1)
    descriptors, low = rng.standard_normal((n, 6)), rng.standard_normal((n, LOW_LEVEL))
    words = rng.standard_normal((n, WORDS))
    sound = (descriptors[:, 0] + descriptors[:, 1] + low[:, 0] + low[:, 1]) / 2
    said = (words[:, 0] + words[:, 1]) / 2**0.5
    has_words, recorded = rng.random(n) < 0.7, np.isin(np.arange(n), rng.permutation(n)[:RECORDED])
    hook, style = rng.standard_normal(n), rng.integers(0, len(GENRES), artists)
    known = 40 + level[artist, time // 30] + 8 * sound + 6 * said + np.array(list(GENRES.values()))[style[artist]]
    known = known + 5 * hook
    latent = known + 4 * rng.standard_normal(albums)[album] + 6 * rng.standard_normal(n)
    label = np.round(latent.clip(0, 100)).astype(int)

    ids = np.char.mod("t%05d", np.arange(n))
    date = np.char.mod("%s", START + time)
    short = rng.random(albums)[album]
    date = np.select([short < 0.03, short < 0.05], [date.astype("<U4"), date.astype("<U7")], date)
    names = np.char.mod("Song %d", np.arange(n))
    title = names.astype(object)
    for i in rng.permutation(n)[: n // 8]:  # a song that comes again, later and on another album
        others = np.flatnonzero((artist == artist[i]) & (time > time[i]))
        if len(others):
            title[others[0]] = f"{names[i]} - Remastered"
    squash = 1 / (1 + np.exp(-descriptors))
    tracks = pd.DataFrame(
        {
            "id": ids,
            "name": title,
            "popularity": label,
            "danceability": squash[:, 0],
            "energy": squash[:, 1],
            "loudness": -8 + 2 * descriptors[:, 2],  # decibel
            "valence": squash[:, 3],
            "acousticness": squash[:, 4],
            "tempo": 120 + 20 * descriptors[:, 5],
            "key": rng.integers(0, 12, n),
            "mode": rng.integers(0, 2, n),
            "duration_ms": np.round(1000 * np.exp(rng.normal(5.3, 0.3, n))),
            "explicit": rng.random(n) < 0.2,
            "track_number": rng.integers(1, 15, n),
            "album_id": np.char.mod("b%04d", album),
            "artists_id": [f"['a{a:04d}']" for a in artist],
            "available_markets": "['DE', 'US']",
        }
    )
    shown = pd.DataFrame({"id": tracks["album_id"], "release_date": date, "total_tracks": 14}).drop_duplicates("id")
    fame = np.round(60 + 2 * level[:, -1]).astype(int)
    people = pd.DataFrame({"id": np.char.mod("a%04d", np.arange(artists)), "artist_popularity": fame})
    people["genres"] = [f"['{list(GENRES)[s]}']" for s in style]
    sources, extracted = folder / "Data Sources", folder / "Features Extracted"
    for place in (sources, extracted, folder / "features", folder / "audio"):
        place.mkdir(parents=True)
    for kind, table in (("tracks", tracks), ("albums", shown), ("artists", people)):
        table.to_csv(sources / f"spotify_{kind}.csv", index=False, float_format="%.4f")
    kinds = [f"{kind}_{j}" for kind in ("MFCC", "MEL") for j in range(LOW_LEVEL // 2)]
    block = pd.DataFrame(low, columns=kinds).assign(track_id=ids)
    block.to_csv(extracted / "low_level_audio_features.csv", index=False, float_format="%.4f")
    counts = pd.DataFrame(np.exp(words[:, :COUNTS]), columns=[f"count_{j}" for j in range(COUNTS)]).assign(track_id=ids)
    counts[has_words].to_csv(extracted / "lyrics_features.csv", index=False, float_format="%.4f")
    vectors = pd.DataFrame(words.astype(np.float32)).add_prefix("v").assign(track_id=ids)
    vectors[has_words].to_parquet(folder / "features" / "lyrics.parquet", index=False)
    for name, sounds in zip(ids[recorded], wave(hook[recorded], rng)):
        wavfile.write(folder / "audio" / f"{name}.wav", RATE, sounds)
    (folder / "about.json").write_text(json.dumps({"generated": True, "songs": n, "seed": seed}) + "\n")
    known, order = known.clip(0, 100), np.argsort(time, kind="stable")
    late = np.zeros(n, bool)
    late[order[int((1 - last) * n) :]] = True
    return label.astype(float), known, late
