"""The generated data: official layouts and quirks, nothing given away, and a ceiling that holds."""

import hashlib
import json
import subprocess
import sys
from itertools import pairwise

import numpy as np
import orjson
import pandas as pd
import pytest
from PIL import Image
from scipy.stats import kstest, truncnorm

from smp.disk import pictures
from smp.errors import DataError
from smp.metrics import mae, mape, src
from smp.tracks import demo
from smp.tracks.demo import ceiling, world
from smp.tracks.image import demo as image_demo
from smp.tracks.image import read as official_image
from smp.tracks.image.demo import posts as image
from smp.tracks.video import demo as video
from smp.tracks.video import read as official_video

POSTS = 1200


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "out"
    demo.generate(folder, posts=POSTS, only=("image", "video"))
    return folder


@pytest.fixture(scope="module")
def posts(out):
    data, quirks = official_image.read(out / "smpd_image")
    return data.items.assign(label=data.labels), quirks


@pytest.fixture(scope="module")
def shots():
    """A larger sample, as drawn, with what stays hidden."""
    return image.sample(20_000, 1, world.build())


@pytest.fixture(scope="module")
def clips():
    return video.sample(6_000, 1, world.build())


def load(path):
    return orjson.loads(path.read_bytes())


def lines(path):
    return [orjson.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def tree(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# --- layouts and quirks ---

ARRAYS = {
    "additional_information": ["Uid", "Pid", "Pathalias", "Ispublic", "Mediastatus"],
    "category": ["Uid", "Pid", "Category", "Subcategory", "Concept"],
    "temporalspatial_information": ["Uid", "Pid", "Postdate", "Latitude", "Longitude", "Geoaccuracy"],
    "text": ["Uid", "Pid", "Title", "Mediatype", "Alltags"],
}
PROFILE = [
    *["Uid", "Pid", "photo_firstdate", "photo_count", "ispro", "canbuypro", "timezone_offset"],
    *["photo_firstdatetaken", "timezone_id", "user_description", "location_description"],
]


@pytest.mark.parametrize("split", ["train", "test"])
def test_image_files_have_the_official_layout(out, split):
    meta = out / "smpd_image" / f"{split}_allmetadata_json"
    names = [*ARRAYS, "user_data"]
    expected = {f"{split}_{name}.json" for name in names} | {f"{split}_img_filepath.txt"}
    assert {path.name for path in meta.iterdir()} == expected | ({"train_label.txt"} if split == "train" else set())
    for name, keys in ARRAYS.items():
        rows = load(meta / f"{split}_{name}.json")
        assert all(list(row) == keys for row in rows)
        assert all(isinstance(value, str) for row in rows for value in row.values())
    columns = load(meta / f"{split}_user_data.json")
    assert list(columns) == PROFILE
    assert list(columns["Uid"]) == [str(i) for i in range(len(rows))]
    assert all(isinstance(pid, int) for pid in columns["Pid"].values())
    assert [str(pid) for pid in columns["Pid"].values()] == [row["Pid"] for row in rows]
    assert (meta / f"{split}_img_filepath.txt").read_text().splitlines() == [
        f"{split}/{row['Uid']}/{row['Pid']}.jpg" for row in rows
    ]
    pids = np.array([int(row["Pid"]) for row in rows])
    assert (np.diff(pids) > 0).all()  # file order is ascending Pid
    assert pids[0] >= 775 and pids[-1] <= 1_118_356


def test_image_quirks_are_there(out, posts):
    table, quirks = posts
    meta = out / "smpd_image" / "train_allmetadata_json"
    place, texts = load(meta / "train_temporalspatial_information.json"), load(meta / "train_text.json")
    assert {row["Latitude"] for row in place} >= {"", "0"}
    assert all((row["Geoaccuracy"] == "0") == (row["Latitude"] in ("", "0")) for row in place)
    assert 0.2 < np.mean([row["Geoaccuracy"] != "0" for row in place]) < 0.5
    assert 0.05 < np.mean([row["Title"] == "" for row in texts]) < 0.2
    assert any(row["Alltags"] == "" for row in texts) and any(row["Mediatype"] == "video" for row in texts)
    profile = load(meta / "train_user_data.json")
    assert "None" in profile["photo_firstdate"].values()
    for key in ("photo_count", "timezone_offset", "photo_firstdatetaken", "user_description", "location_description"):
        assert None in profile[key].values(), key
    aliases = [row["Pathalias"] for row in load(meta / "train_additional_information.json")]
    assert 0.15 < np.mean(np.array(aliases) == "None") < 0.5
    assert "Whether&Season" in set(table["category"])
    assert quirks["Pid given as int"] == POSTS


def test_video_files_have_the_official_layout_and_quirks(out):
    folder = out / "smpd_video"
    kinds = ("posts", "users", "videos")
    name = "SMP-Video_anonymized_{}_{}.jsonl"
    expected = {name.format(kind, split) for kind in kinds for split in ("train", "test")}
    assert {path.name for path in folder.iterdir()} == expected | {name.format("popularity", "train")}
    read = {path.name.removeprefix("SMP-Video_anonymized_")[:-6]: lines(path) for path in folder.iterdir()}
    counts = [f"user_{w}_count" for w in ("following", "follower", "likes", "video", "digg", "heart", "friend")]
    keys = {
        "posts": "pid uid post_content post_location post_suggested_words post_text_language video_path post_time",
        "users": " ".join(["uid", *counts]),
        "videos": "vid pid uid video_height video_width video_duration video_ratio video_format music_title "
        "music_duration",
        "popularity": "pid uid popularity",
    }
    for label, rows in read.items():
        assert all(list(row) == keys[label.split("_")[0]].split() for row in rows), label
    everyone = read["users_train"] + read["users_test"]
    assert all(isinstance(user[key], int) for user in everyone for key in counts)
    assert all(user["user_likes_count"] == user["user_heart_count"] for user in everyone)
    assert all(user["user_friend_count"] == 0 for user in everyone)
    assert sum(user["user_heart_count"] < 0 for user in everyone) >= 2  # overflowed
    ids = [user["uid"] for user in read["users_test"]]
    assert 0.02 < 1 - len(set(ids)) / len(ids) < 0.06  # duplicate rows in the test only
    assert len({user["uid"] for user in read["users_train"]}) == len(read["users_train"])
    for split in ("train", "test"):
        posts = read[f"posts_{split}"]
        assert any(post["post_location"] == "NA" for post in posts)
        assert any(post["post_suggested_words"] == [] for post in posts)
        assert all(post["video_path"].startswith(f"{split}/USER") for post in posts)
        assert [post["pid"] for post in posts] != [clip["pid"] for clip in read[f"videos_{split}"]]
    assert any(post["post_content"] == "" for post in read["posts_train"] + read["posts_test"])
    labels = np.array([row["popularity"] for row in read["popularity_train"]])
    assert labels.min() >= 1.22 and labels.max() <= 13.35 and (labels == labels.round(2)).all()
    assert len(read["posts_train"]) + len(read["posts_test"]) == 600  # a fifth of 1,200 would be too few


def test_the_loaders_read_both_tracks(out, posts):
    table, _ = posts
    clips, quirks = official_video.read(out / "smpd_video")
    clips = clips.items.assign(label=clips.labels)
    for one, share in ((table, image.TRAIN_SHARE), (clips, video.TRAIN_SHARE)):
        train = (one["split"] == "train").to_numpy()
        assert train.sum() == round(share * len(one))
        assert one["time"][train].max() <= one["time"][~train].min()  # chronological
        assert one["label"][train].notna().all() and one["label"][~train].isna().all()
    assert quirks["user counts repaired by +2^32"] > 0 and quirks["duplicate user rows dropped"] > 0
    later = table["split"] == "test"
    pid = table.index.to_numpy().astype(int)
    assert np.median(pid[later]) > 1.5 * np.median(pid[~later])
    unseen = ~table["user_id"][later].isin(table["user_id"][~later])
    assert 0.35 < unseen.mean() < 0.65


def test_unusual_picture_files(out, posts):
    paths = posts[0]["image_path"]
    scan = pictures.scan(out / "smpd_image", paths)
    found = scan["status"].value_counts()
    assert found["missing"] == round(0.003 * POSTS) and found["unreadable"] >= 1
    assert found["ok"] > 0.99 * POSTS
    assert {"RGB", "CMYK", "P", "L"} <= set(scan["mode"].dropna())
    files = [(out / "smpd_image" / path).read_bytes() for path in paths[scan["status"] == "ok"]]
    truncated = [b for b in files if b.startswith(b"\xff\xd8") and not b.endswith(b"\xff\xd9")]
    assert len(truncated) == round(0.002 * POSTS)
    assert sum(b.startswith(b"\x89PNG") for b in files) == round(0.004 * POSTS)  # under the name of a JPEG


# --- writing ---


def test_same_seed_same_bytes_and_pictures_change_nothing_else(out, tmp_path):
    demo.generate(tmp_path / "again", posts=POSTS, only=("image", "video"))
    first, again = tree(out), tree(tmp_path / "again")
    assert first == again
    demo.generate(tmp_path / "plain", posts=POSTS, images=False, only=("image", "video"))
    assert tree(tmp_path / "plain") == {name: digest for name, digest in first.items() if not name.endswith(".jpg")}
    demo.generate(tmp_path / "other", posts=POSTS, images=False, seed=1, only=("image", "video"))
    assert not set(tree(tmp_path / "other").values()) & set(tree(tmp_path / "plain").values())


def test_the_command(tmp_path):
    command = [
        sys.executable,
        "-m",
        "smp.tracks.demo",
        str(tmp_path / "x"),
        "--posts",
        "300",
        "--no-images",
        "--seed",
        "4",
    ]
    (tmp_path / "x" / "smpd_image.partial" / "left").mkdir(parents=True)  # by a run that was killed
    subprocess.run(command, check=True)
    assert json.loads((tmp_path / "x" / "truth" / "image_ceiling.json").read_text())["seed"] == 4
    assert not list((tmp_path / "x").rglob("*.partial")) and not (tmp_path / "x" / "smpd_image" / "left").exists()
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode == 1 and "delete it" in again.stderr and again.stderr.count("\n") == 1
    with pytest.raises(DataError, match="at least 200"):
        demo.generate(tmp_path / "y", posts=20)


def test_truth_is_kept_aside(out, posts):
    table, _ = posts
    truth = pd.read_csv(out / "truth" / "image_test.csv", dtype={"post_id": str})
    assert truth["post_id"].tolist() == table.index[table["split"] == "test"].tolist()
    clips = pd.read_csv(out / "truth" / "video_test.csv")
    assert set(clips["post_id"]) == {row["pid"] for row in lines(next((out / "smpd_video").glob("*posts_test*")))}
    assert {path.name for path in out.iterdir()} == {"smpd_image", "smpd_video", "truth"}
    labelled = [path for path in (out / "smpd_image").rglob("*label*")] + list((out / "smpd_video").glob("*popul*"))
    assert sorted(path.name for path in labelled) == [
        "SMP-Video_anonymized_popularity_train.jsonl",
        "train_label.txt",
    ]


def test_external_counters(out, posts):
    path = out / "smpd_image" / "external" / "user_additional.csv"
    assert path.read_text().splitlines()[0] == (
        "pathalias,totalViews,totalTags,totalGeotagged,totalFaves,totalInGroup,photoCount,followerCount,followingCount"
    )
    counters = pd.read_csv(path, keep_default_na=False).set_index("pathalias")
    assert (counters >= 0).all().all() and (counters.sum(axis=1) == 0).any() and "None" in counters.index
    users = posts[0].groupby("user_id", observed=True)["pathalias"].max()
    known = users[users != ""]
    assert known.isin(counters.index).all() and 0.6 < len(known) / len(users) < 0.8


# --- the model ---


def test_labels_resemble_the_official_ones(shots):
    train, label = shots.is_train, shots.label
    assert label.min() == 1.0 and label.max() <= 16.56
    small = label[label <= 8]
    assert (small == np.round(np.log2(np.round(2**small)), 2)).all()  # log2 of whole numbers
    assert abs(label[train].mean() - 6.4) < 0.3 and abs(label[train].std() - 2.47) < 0.2
    assert label[~train].mean() < label[train].mean() - 0.7
    assert -0.35 < src(shots.posts["pid"][train], label[train]) < -0.2
    assert 0.25 < np.corrcoef(label[train][1:], label[train][:-1])[0, 1] < 0.5  # neighbours in the file
    posts = shots.posts["user"].value_counts()
    assert posts.median() <= 5 and posts.iloc[0] > 20 * posts.median()  # heavy tail


def test_categories_and_texts_resemble_the_official_ones(shots):
    model = world.build()
    assert (len(model.category), len(model.subcategory), len(model.concept)) == (11, 77, 668)
    assert len(set(model.words)) == len(model.words)
    category = model.category_of[model.subcategory_of[shots.posts["concept"]]]
    share = np.bincount(category, minlength=11) / len(category)
    assert np.abs(share - [s for s, _ in world.CATEGORIES.values()]).max() < 0.03
    words = shots.posts["title"].str.split().str.len()
    assert 0.05 < (words == 0).mean() < 0.2 and (words == 1).mean() > 0.5  # paper, Fig. 1
    # Tags of two posts of a subcategory have more in common than those of any two posts of other users.
    tags = shots.posts["alltags"].str.split().map(set).to_numpy()
    subcategory, user = model.subcategory_of[shots.posts["concept"]], shots.posts["user"].to_numpy()
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, len(tags), (2, 60_000))
    common = np.array([len(tags[i] & tags[j]) for i, j in zip(a, b)])
    near, strange = subcategory[a] == subcategory[b], user[a] != user[b]
    assert common[near & strange].mean() > common[~near & strange].mean() + 1


def test_what_the_ceiling_knows_is_published(out, posts):
    """The known terms of the label, computed anew from the loaded official files."""
    table, _ = posts
    sample = image.sample(POSTS, 0, world.build())
    count = ((np.log(table["photo_count"]) - 6.2) / 1.4).fillna(0)
    first = (table["photo_firstdate"] - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(days=365.25)
    age = ((1_425_000_000 / 86_400 / 365.25 - first - 5.25) / 2.7).fillna(0)
    words = table["user_description"].str.count(" ") + (table["user_description"] != "")
    account = count + 0.15 * (count**2 - 1) + 0.8 * age + (table["ispro"] - 0.3) + 0.2 * (np.log1p(words) - 1.3)
    account += 0.6 * (table["user_description"].str.startswith("photographer") - 0.16)
    np.testing.assert_allclose(account, sample.terms["account"], atol=1e-5)
    local = table["time"] + pd.to_timedelta(table["timezone_offset"].fillna(0), unit="h")
    hour = local.dt.hour + local.dt.minute / 60 + local.dt.second / 3600
    expected = 0.3 * np.cos(2 * np.pi * (hour - 20) / 24) + 0.2 * (local.dt.day_of_week >= 5)
    np.testing.assert_allclose(expected, sample.terms["hour"], atol=1e-6)
    n_tags = table["tags"].map(len)
    effects = table["tags"].map(lambda tags: sum(world.WORD_EFFECTS.get(tag, 0.0) for tag in tags))
    text = 0.25 * (np.log1p(n_tags) - 2.9) + effects
    n_words = table["title"].str.split().str.len()
    text += -0.25 * (n_words == 0) + 0.2 * (n_words >= 3)
    np.testing.assert_allclose(text, sample.terms["text"], atol=1e-6)


def test_what_the_video_ceiling_knows_is_published(out):
    clips = official_video.read(out / "smpd_video")[0].items
    sample = video.sample(600, 0, world.build())
    terms = sample.terms.set_index(sample.posts["pid"].to_numpy()).loc[clips.index]
    words = clips["post_content"].str.split(",").map(set)
    content = words.map(lambda said: sum(video.WORD_EFFECTS.get(word, 0.0) for word in said))
    content += -0.45 * (np.log(clips["video_duration"]) - 3.1) - 0.4 * (clips["music_title"].isin(video.SOUNDS) - 0.4)
    content += 0.3 * ((clips["post_location"] == "US") - 0.63) - 0.5 * ((clips["post_text_language"] == "un") - 0.12)
    hour = clips["time"].dt.hour + clips["time"].dt.minute / 60
    content += 0.25 * np.cos(2 * np.pi * (hour - 18) / 24)
    np.testing.assert_allclose(content, terms["content"], atol=1e-5)
    # Hearts per video and followers carry the popularity, once the overflow is repaired.
    rate = np.log(clips["user_heart_count"] / clips["user_video_count"])
    assert np.corrcoef(rate, terms["level"])[0, 1] > 0.8 and (clips["user_heart_count"] > 2**31).any()


def test_the_looks_can_be_seen_in_the_pixels_and_only_there(out, posts):
    sample = image.sample(POSTS, 0, world.build()).posts
    usual = (sample["file"] == "rgb").to_numpy()
    files = [out / "smpd_image" / path for path in posts[0]["image_path"][usual]]
    pixels = np.stack([np.asarray(Image.open(path).resize((32, 32)), dtype=float) / 255 for path in files])
    flat = pixels.reshape(len(files), -1, 3)
    vivid, bright = sample["vivid"][usual], sample["bright"][usual]
    assert src(bright, flat.mean((1, 2))) > 0.85
    assert src(vivid, (flat.max(2) - flat.min(2)).mean(1) / flat.mean((1, 2))) > 0.75
    sizes = np.array([path.stat().st_size for path in files])
    assert abs(src(bright, sizes)) < 0.1 and abs(src(vivid, sizes)) < 0.1
    # A picture is nearer to those of its own subcategory than to others, the more so the clearer it is.
    model = world.build()
    subcategory = model.subcategory_of[sample["concept"]][usual]
    chroma = flat.mean(1) - flat.mean((1, 2))[:, None]
    chroma /= np.linalg.norm(chroma, axis=1, keepdims=True) + 1e-9
    same = subcategory[:, None] == subcategory[None]
    other_burst = sample["burst"].to_numpy()[usual][:, None] != sample["burst"].to_numpy()[usual][None]
    cosine = chroma @ chroma.T
    assert cosine[same & other_burst].mean() > cosine[~same].mean() + 0.3
    clear = (sample["clear"][usual] > 0).to_numpy()
    pairs = same & other_burst
    assert cosine[pairs & clear[:, None] & clear].mean() > cosine[pairs & ~clear[:, None] & ~clear].mean() + 0.1
    # Pictures of one burst look alike (paper 1) and are not equally popular.
    burst = sample["burst"].to_numpy()[usual]
    grey = flat.mean(2) - flat.mean((1, 2))[:, None]
    grey /= np.linalg.norm(grey, axis=1, keepdims=True)
    alike = (grey @ grey.T)[np.triu_indices(len(burst), 1)] > 0.5
    together = (burst[:, None] == burst)[np.triu_indices(len(burst), 1)]
    assert alike[together].mean() > 0.5 > 0.05 > alike[~together].mean()


# --- the ceiling ---


def test_user_level_is_the_gaussian_posterior():
    """Against conditioning the joint normal distribution of one user's level and labels."""
    rng = np.random.default_rng(0)
    user = np.array([0, 0, 0, 1, 1])
    residual, variance = rng.standard_normal(5), rng.uniform(0.5, 2, 5)
    seen = np.array([True, True, False, False, False])
    prior_mean, prior_variance = np.array([0.3, -0.7]), np.array([1.2, 0.6])
    mean, spread = ceiling.user_level(residual, variance, user, seen, prior_mean, prior_variance)
    joint = np.full((2, 2), 1.2) + np.diag(variance[:2])
    gain = np.full(2, 1.2) @ np.linalg.inv(joint)
    np.testing.assert_allclose(mean[:3], 0.3 + gain @ (residual[:2] - 0.3))
    np.testing.assert_allclose(spread[:3], 1.2 - gain @ np.full(2, 1.2))
    np.testing.assert_allclose(mean[3:], -0.7)
    np.testing.assert_allclose(spread[3:], 0.6)


def test_schemes_keep_to_time():
    rng = np.random.default_rng(0)
    time = rng.integers(0, 10**6, 1003)
    is_train = time < 630_000
    split = ceiling.schemes(time, is_train)
    asked = sum(asked.astype(int) for _, asked in split["cv"])
    assert (asked == is_train).all()
    sizes = [asked.sum() for _, asked in split["cv"]]
    assert max(sizes) - min(sizes) <= 1
    ((seen, last),) = split["holdout"]
    assert time[seen].max() <= time[last].min() and (seen | last == is_train).all()
    ((seen, asked),) = split["test"]
    assert (seen == is_train).all() and (asked == ~is_train).all()


def test_mape_optimum_against_search():
    rng = np.random.default_rng(0)
    mean, deviation = np.array([4.0, 8.0, 15.0]), np.array([2.0, 1.0, 1.5])
    best = video.mape_optimum(mean, deviation)
    y = video.to_label(mean[:, None] + deviation[:, None] * rng.standard_normal(20_000))
    grid = np.linspace(1.22, 13.35, 1214)
    for k in range(3):
        loss = np.array([mape(y[k], np.full(y.shape[1], p)) for p in grid])
        assert loss[np.abs(grid - best[k]).argmin()] < loss.min() + 5e-4


def test_moments_of_what_words_tell():
    edges = np.array([-np.inf, -0.8416212, -0.2533471, 0.2533471, 0.8416212, np.inf])
    table = pd.DataFrame({"told_vivid": np.arange(-1, 5), "told_bright": -1, "vivid": 1.0, "bright": 1.0, "clear": 0.0})
    mean, variance = image.picture_told(table, {"vivid": 2.0, "bright": 1.0, "clear": 1.0})
    fifths = [truncnorm(a, b).stats("mv") for a, b in pairwise(edges)]
    np.testing.assert_allclose(mean, [0, *(2 * m for m, _ in fifths)], atol=1e-6)
    np.testing.assert_allclose(variance, [5, *(4 * v + 1 for _, v in fifths)], atol=1e-5)  # `clear` cannot be seen


@pytest.mark.parametrize("pixels", [True, False])
def test_image_ceiling_is_calibrated(shots, pixels):
    """What is left of the latent label has the mean and spread that the predictor states."""
    known, residual, variance = shots.known(pixels)
    user = shots.posts["user"].to_numpy()
    for rounds in ceiling.schemes(shots.posts["time"].to_numpy(), shots.is_train).values():
        rows, mean, deviation = ceiling.predictive(
            known, residual, variance, user, shots.prior_mean, shots.prior_variance, rounds
        )
        z = ((known + residual)[rows] - mean) / deviation
        assert abs(z.std() - 1) < 0.04
        one = pd.Series(z).groupby(user[rows]).sample(1, random_state=0)  # posts of a user are not independent
        assert kstest(one, "norm").pvalue > 1e-3


def test_no_ablated_predictor_beats_the_image_ceiling(shots):
    user, rounds = shots.posts["user"].to_numpy(), ceiling.schemes(shots.posts["time"].to_numpy(), shots.is_train)
    best = image_demo.scores(shots)
    for pixels in (True, False):
        known, residual, variance = shots.known(pixels)
        stated = best if pixels else best["without_pixels"]

        def score(known=known, residual=residual, variance=variance, wide=1.0, prior=True, labels=True, scheme="test"):
            given = [(seen & labels, asked) for seen, asked in rounds[scheme]]
            mean = shots.prior_mean if prior else np.zeros_like(shots.prior_mean)
            spread = wide * (shots.prior_variance if prior else np.ones_like(mean))
            rows, p, _ = ceiling.predictive(known, residual, variance, user, mean, spread, given)
            y = shots.label[rows]
            return mae(y, image.to_label(p)), src(y, p)

        for scheme in rounds:
            full = score(scheme=scheme)
            assert full == pytest.approx((stated[scheme]["mae"], stated[scheme]["src"]), abs=1e-4)
            worse = {"no labels": {"labels": False}, "no counters": {"prior": False}}
            for term in ("drift", "account", "content", "text"):
                without = shots.terms[term].to_numpy() - shots.terms[term].mean()
                worse[term] = {"known": known - without, "residual": residual + without}
            if pixels:
                gone = shots.terms["picture"].to_numpy() - shots.told_mean
                worse["picture"] = {"known": known - gone, "residual": residual + gone}
            for name, change in worse.items():
                error, rank = score(scheme=scheme, **change)
                assert error > full[0] + 0.003 and rank < full[1] - 0.002, (pixels, scheme, name)
            for wide in (0.2, 5.0):  # too much and too little shrinking
                assert score(scheme=scheme, wide=wide)[0] > full[0] - 0.001
    for scheme in rounds:
        assert best[scheme]["src"] > best["without_pixels"][scheme]["src"] + 0.03


def test_picture_needs_its_category(shots):
    """Brightness moves the label up in some categories, down in others, and little over all of them."""
    category = world.build().category_of[world.build().subcategory_of[shots.posts["concept"]]]
    rest = shots.terms["picture"] + shots.terms["noise"]
    bright = shots.posts["bright"]
    slope = [np.polyfit(bright[category == c], rest[category == c], 1)[0] for c in range(11)]
    assert min(slope) < -0.3 and max(slope) > 0.3
    assert abs(np.polyfit(bright, rest, 1)[0]) < 0.1
    assert np.polyfit(shots.posts["vivid"], rest, 1)[0] > 0.4


def test_no_other_guess_beats_the_video_ceiling(clips):
    stated = video.scores(clips)
    known, residual, variance = clips.known()
    rounds = ceiling.schemes(clips.posts["time"].to_numpy(), clips.is_train)
    for scheme, split in rounds.items():
        rows, mean, deviation = ceiling.predictive(
            known, residual, variance, clips.posts["user"].to_numpy(), clips.prior_mean, clips.prior_variance, split
        )
        y, best = clips.label[rows], video.mape_optimum(mean, deviation)
        score = mape(y, best)
        assert score == pytest.approx(stated[scheme]["mape"], abs=1e-4) and 0.14 < score < 0.21
        assert mape(y, video.to_label(mean)) > score  # the plain median
        assert mape(y, 0.95 * best) > score and mape(y, 1.05 * best) > score
        assert mape(y, np.full(len(y), np.median(clips.label))) > 1.8 * score
        z = ((known + residual)[rows] - mean) / deviation
        assert abs(z.std() - 1) < 0.06
    assert abs(clips.label.mean() - 8.3) < 0.5 and abs(clips.label.std() - 2.86) < 0.3
