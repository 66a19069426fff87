"""The room: files that are not as they should be, features by hand, and what may not change a feature."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from smp import tracks
from smp.errors import DataError
from smp.folds import load_folds
from smp.oof import holdout_of, parts_of
from smp.tracks.load import load_data
from smp.tracks.microvideo import demo
from smp.tracks.microvideo.features import channel, counters
from smp.tracks.microvideo.read import read

TREES = ("--seeds", "0", "--learner.rounds", "30")
TINY = {
    "exp070_constant": (),
    "exp070_log_linear": (),
    "exp070_knn": ("--neighbours", "10"),
    "exp070_lgbm_counts": TREES,
    "exp070_lgbm": TREES,
    "exp071_m3tr": ("--seeds", "0", "--steps", "10", "--model.retrieved", "4"),
    "exp079_fusion": ("--trials", "5"),
    "exp072_ingredients": ("--seeds", "0"),
}


def folder_of(path: Path, snapshots: str, videos: str = "", window: dict | None = None, content: dict | None = None):
    """A community's folder of these files."""
    (path / "features").mkdir(parents=True)
    (path / "snapshots.csv").write_text(snapshots)
    (path / "videos.csv").write_text(videos or "video,publish_time\na,1000000\nb,2000000\n")
    (path / "window.json").write_text(json.dumps(window or {"observation_hours": 48, "target_day": 7}))
    if content:
        pd.DataFrame(content).to_parquet(path / "features" / "v.parquet")
    return path


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "microvideo"
    demo.write(folder, 260, seed=3)
    return folder


@pytest.fixture(scope="module")
def output(run_room, generated):
    def write(folder):
        """Some videos are seen once, at the moment they are published: counted daily, with a gap."""
        shutil.copytree(generated, folder)
        table = pd.read_csv(folder / "snapshots.csv")
        daily = table["video"] % 9 == 0
        table.loc[daily, "age_h"] = table["age_h"] // 24 * 24
        table[~(daily & (table["age_h"] == 24))].to_csv(folder / "snapshots.csv", index=False)

    return run_room("microvideo", write, TINY)


def test_it_reads_what_a_crawl_may_hold(tmp_path):
    lines = ["video,age_h,views,likes,comments", "a,30,150,,2", "a,5,100,9,1", "a,30,160,,3", "a,170,500,,4"]
    lines += ["a,150,90,,4", "b,20,7,,1", "b,180,7,,1", "b,47.9,5,0,x", "b,48,6,0,1"]
    lines += ["c,5,100,9,1", "d,60,3,1,1", "e,5,8,1,1", "e,5,,1,1", ",5,9,1,1", "e,-1,5,1,1"]
    videos = (
        "video,publish_time,channel,likes_at_crawl\na,1000000,u,5\nb,2000000.7,,6\nb,3,u,6\nd,5,u,1\ne,9,u,1\nf,x,u,1"
    )
    data, quirks = read(folder_of(tmp_path, "\n".join(lines), videos, content={"video": ["b", "a"], "x": [1.0, 2.0]}))
    assert list(data.ids) == ["a", "b", "e"] and list(data.items["split"]) == ["train", "train", "test"]
    # the target day is 168: 170 is nearer than 150, and 180 lies inside +16 h; d was first seen too late
    np.testing.assert_allclose(data.labels, [np.log2(501) - np.log2(161), np.log2(8) - np.log2(6), np.nan])
    np.testing.assert_allclose(data.items["horizon"], [170, 180, 168])
    np.testing.assert_array_equal(data.items["content_0"], [2, 1, np.nan])
    assert data.events.loc["b", "age_h"].tolist() == [20, 47.9] and data.items["user_id"].tolist() == ["u", "b", "u"]
    assert data.items.loc["a", "known"] == pd.Timestamp(1000000 + 170 * 3600, unit="s", tz="UTC")
    assert data.items.loc["a", "asked"] == pd.Timestamp(1000000 + 48 * 3600, unit="s", tz="UTC")
    assert np.isnan(data.events.loc["a", "likes"].iloc[1]) and data.events.loc["a", "views"].tolist() == [100, 160]
    for quirk, count in {
        "snapshots of videos that are not in videos.csv dropped": 1,
        "views that fall from one snapshot to the next kept": 2,
        "videos without a snapshot inside the observation left out": 1,
        "videos without a snapshot at the target day, not labelled": 1,
        "videos without an id or a publish time dropped": 1,
        "videos with an id met before dropped": 1,
        "columns of videos.csv that may be measured later left out": 1,
        "snapshots without a video, an age or views dropped": 3,
        "earlier ones of two snapshots at one age dropped": 1,
        "videos that features/v.parquet lacks": 1,
        "gaps of more than 39.675 h between snapshots that are usually 26.45 h apart": 2,
    }.items():
        assert quirks[quirk] == count, quirk


@pytest.mark.parametrize(
    ("snapshots", "window", "match"),
    [
        ("video,age_h\na,5\n", None, "snapshots.csv: no column views"),
        ("video,age_h,views\na,5,1\n", None, "before 48 h and one at 160 to 184 h, of ages 5 to 5 h; mend .*window"),
        ("video,age_h,views\n", None, "snapshots.csv: no row in it"),
        ("video,age_h,views\na,x,1\n", None, "snapshots.csv: line 2: video 'a', age_h 'x', .* a row needs a video"),
        ("video,age_h,views\n3,5,1\n", None, "snapshots.csv: line 2: video '3' is not in videos.csv.* such as 'a'"),
        (
            "video,age_h,views\na,5,1\na,6,1,9\n",
            None,
            r"snapshots.csv: not readable as csv \(.* line 3, saw 4\); write",
        ),
        ("video,age_h,views\na,5,1\n", {"observation_hours": 48, "target_day": 10**400}, "window.json: not readable"),
        ("video,age_h,views\na,5,1\n", {"observation_hours": 48}, "window.json: not readable"),
        ("video,age_h,views\na,5,1\n", {"observation_hours": 170, "target_day": 7}, "must end before the target day"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path, snapshots, window, match):
    with pytest.raises(DataError, match=match):
        read(folder_of(tmp_path, snapshots, window=window))


VALUES = {
    "plain": {"x": [1.0, 2.0], "z": [3.0, np.inf]},
    "vectors": {"v": [[1.0, 3.0], [2.0, np.inf]], "text": ["p", "q"]},
}


@pytest.mark.parametrize("values", VALUES)
@pytest.mark.parametrize(
    "key", [{"video": ["NA", "7"]}, {"video_id": ["NA", "7"]}, {"video": [None, 7.0]}, {"n": [8, 7]}]
)
@pytest.mark.parametrize("time", ["1735689600", "1735689600000", "2025-01-01 00:00:00", "2025-01-01T00:00:00Z"])
def test_names_times_counts_and_vectors_are_read_however_they_are_written(tmp_path, values, key, time):
    first = str(next(iter(key.values()))[0] or "null")
    lines = ["video,age_h,views", f'{first},0,"1,023"', f'{first},168,"1,048,575"', "7.0,0,1", "7,168,3", "7.0,24,3"]
    videos = f"video,publish_time,channel\n{first},{time},NA\n7,{time},"
    data, quirks = read(folder_of(tmp_path, "\n".join(lines), videos, content=key | VALUES[values]))
    assert list(data.ids) == [first, "7"] and data.items["user_id"].tolist() == ["NA", "7"]
    np.testing.assert_allclose(data.labels, [20 - 10, 0])
    assert (data.items["time"] == pd.Timestamp("2025-01-01", tz="UTC")).all()
    content = data.items[["content_0", "content_1"]].to_numpy()
    np.testing.assert_array_equal(content, [[np.nan] * 2 if first == "null" else [1, 3], [2, np.nan]])
    counted = {"videos that features/v.parquet lacks": 1} if first == "null" else {}
    assert quirks == counted


@pytest.mark.parametrize(
    ("videos", "content", "match"),
    [
        (
            "video,publish_time\na,31st of May\n",
            None,
            "videos.csv: line 2: video 'a', publish_time '31st of May', and no",
        ),
        ("video,publish_time\n", None, "videos.csv: no row in it; a row needs an id and unix seconds"),
        ("", {"video": ["c"], "x": [1.0]}, "v.parquet: no column names a video, such as 'a'; call one video"),
        ("", {"x": [1.0]}, "v.parquet: no column names a video"),
        ("", {"video": ["a"], "x": ["text"]}, "v.parquet: no numbers beside video"),
    ],
)
def test_what_says_nothing_of_any_video_is_named(tmp_path, videos, content, match):
    with pytest.raises(DataError, match=match):
        read(folder_of(tmp_path, "video,age_h,views\na,5,1\na,168,2\n", videos, content=content))


def test_counters_are_those_of_a_calculation_by_hand(tmp_path):
    lines = ["video,age_h,views,likes,comments", "a,10,127,7,", "a,34,255,7,3", "a,46,1023,15,3", "a,168,2047,0,0"]
    data, _ = read(folder_of(tmp_path, "\n".join([*lines, "b,20,63,1,1", "b,170,127,1,1"])))
    a, b = counters.counters(data.items, data.events).T.to_dict().values()
    for made, wanted in (
        (a["views"], 10), (a["views_first"], 7), (a["views_step"], 2), (a["views_a_day"], 4), (a["likes_share"], -6),
        (a["views_slope"], 2 / np.log2(47 / 35)), (a["views_turn"], 2 / np.log2(47 / 35) - 1 / np.log2(35 / 11)),
        (a["silence"], 2), (a["ahead"], 122), (a["snapshots"], 3), (a["comments_step"], 0), (a["falls"], 0),
        (a["log_ahead"], np.log2(169 / 47)),
        (a["views_an_hour"], 10 - np.log2(47)), (b["age_first"], 20), (b["views"], 6), (a["likes_share_step"], 1 - 2),
    ):  # fmt: skip
        assert made == pytest.approx(wanted, rel=1e-5)
    assert np.isnan([a["comments_first"], b["views_step"], b["views_slope"], a["n_countries"]]).all()


def test_a_channel_is_what_was_known_of_its_videos_when_one_is_asked(generated):
    items, labels = read(generated)[0].items, read(generated)[0].labels
    shown = np.where(np.arange(len(labels)) % 5 == 0, np.nan, labels)
    made = channel.channel(items, shown, np.zeros(len(labels)), 0)
    for i in range(len(items)):
        past = (items["user_id"] == items["user_id"].iloc[i]) & (items["known"] < items["asked"].iloc[i])
        past &= np.isfinite(shown)
        own = shown[past][np.argsort(items["known"][past], kind="stable")]
        assert made["channel_count"].iloc[i] == pytest.approx(np.log1p(len(own)))
        if len(own):
            spread = own.std() if len(own) > 1 else np.nan
            wanted = own.mean(), spread, own[-1], items["last"][past].mean()
            np.testing.assert_allclose(made.iloc[i, 1:], wanted, rtol=1e-4, atol=1e-4)
    assert (made["channel_count"] > 0).sum() > 50


def test_a_day_without_a_snapshot_is_counted_as_a_gap(generated):
    table = pd.read_csv(generated / "snapshots.csv").sort_values(["video", "age_h"])
    missing = int((table.groupby("video")["age_h"].diff() > 24).sum())
    quirks = read(generated)[1]
    assert quirks["gaps of more than 36 h between snapshots that are usually 24 h apart"] == missing > 0


def test_the_files_are_found_wherever_the_unpacking_put_them(generated, tmp_path):
    shutil.copytree(generated, tmp_path / "youtube" / "v1")
    (tmp_path / "youtube" / "v1" / "videos.csv").rename(tmp_path / "youtube" / "v1" / "Videos.CSV")
    (wanted, _), (made, _) = read(generated), read(tmp_path)
    pd.testing.assert_frame_equal(made.items, wanted.items)
    pd.testing.assert_frame_equal(made.events, wanted.events)


def test_no_feature_moves_with_a_later_snapshot_or_a_label_that_was_not_known(generated, tmp_path):
    data, _ = read(generated)
    table = pd.read_csv(generated / "snapshots.csv")
    other = folder_of(tmp_path, "", (generated / "videos.csv").read_text())
    late = table["age_h"].between(48, 150)
    table.loc[late, ["views", "likes", "comments"]] = 1
    table.to_csv(other / "snapshots.csv", index=False)
    again, _ = read(other)
    known = data.items.columns[~data.items.columns.str.startswith("content_")]
    pd.testing.assert_frame_equal(data.items[known], again.items[known])
    pd.testing.assert_frame_equal(data.events, again.events)

    more = pd.concat([data.events, data.events.assign(age_h=data.events["age_h"] + 48, views=1e9)])  # not even so
    for build in (counters.counters, counters.trajectory):
        pd.testing.assert_frame_equal(build(data.items, data.events), build(data.items, more))

    moment = data.items["asked"].sort_values().iloc[150]
    early = (data.items["asked"] <= moment).to_numpy()
    later = (data.items["known"] >= moment).to_numpy()
    made = [
        channel.channel(data.items, y, np.zeros(len(early)), 0)
        for y in (data.labels, np.where(later, -data.labels, data.labels))
    ]
    pd.testing.assert_frame_equal(made[0][early], made[1][early], atol=1e-5)
    assert (made[0] - made[1]).abs().max().max() > 0.1


def test_metrics_are_those_of_their_formulas():
    rng = np.random.default_rng(0)
    growth, made, last = rng.normal([[1], [1], [9]], 1, (3, 50))
    scores = tracks.get("microvideo").task.scores(growth, made, pd.DataFrame({"last": last}))
    error = np.mean((growth - made) ** 2)
    assert scores["nmse_growth"] == pytest.approx(error / growth.var())
    assert scores["nmse"] == pytest.approx(error / (last + growth).var())
    assert scores["mae"] == pytest.approx(np.abs(growth - made).mean())
    assert scores["src"] == pytest.approx(spearmanr(last + growth, last + made).statistic)


def test_growth_is_the_generators(generated):
    """What `best` expects explains nearly all of it, and a video that draws more grows more."""
    begun = demo.write(generated.parent / "again", 260, seed=3)
    data, _ = read(generated.parent / "again")
    rows = data.ids.astype(int).to_numpy()[data.labelled]
    items = data.items[data.labelled]
    made = demo.best(begun, rows, items["horizon"].to_numpy()) - items["last"].to_numpy()
    y = data.labels[data.labelled]
    assert np.mean((made - y) ** 2) < 0.1 * y.var()
    assert spearmanr(begun.videos.drawn[rows], y).statistic > 0.7
    for name in ("videos.csv", "snapshots.csv", "features/content.parquet"):
        assert (generated / name).read_bytes() == (generated.parent / "again" / name).read_bytes()


def test_every_system_is_scored_on_the_last_videos(output):
    data, folds = load_data("microvideo"), load_folds("microvideo", load_data("microvideo"))
    part = holdout_of(parts_of(data, folds, tracks.get("microvideo").split))
    start = data.items["time"].iloc[part.query].min()
    assert len(part.train) and (data.items["known"].iloc[part.train] <= start).all()
    for name in TINY.keys() - {"exp072_ingredients"}:
        made = json.loads((output / name / "metrics.json").read_text())["holdout"]
        assert set(made) == {"rows", "nmse_growth", "nmse", "mae", "src"} and made["rows"] == len(part.query)
    assert (output / "exp071_m3tr" / "models" / "seed0" / "model.json").exists()


def test_the_study_answers_every_claim(output):
    answers = json.loads((output / "exp072_ingredients" / "metrics.json").read_text())["answers"]
    assert {a["answer"] for a in answers} <= {"yes", "no", "not resolved"} and len(answers) == 10
    table = pd.read_csv(output / "exp072_ingredients" / "ingredients.csv")
    assert {"M3TR without retrieval", "M3TR without the Hawkes process", "exp070_knn"} <= set(table["compared with"])
    process = pd.read_csv(output / "exp072_ingredients" / "process.csv")
    assert np.isfinite(process[["m3tr", "hawkes", "poisson"]]).all(axis=None)
