import numpy as np
import pandas as pd
import pytest

from smp.errors import DataError
from smp.tracks.image.features import account_counters

ROWS = [
    ("ann", 1000, 20, 3, 40, 5, 99, 7, 3),
    ("None", 76058, 0, 40, 1, 1, 1, 1, 1),
    ("zero", 0, 0, 0, 0, 0, 0, 0, 0),
    ("12345", 5, 5, 5, 5, 5, 5, 5, 0),
]
HEADER = ("Pathalias", "totalViews", "totalTags", "totalGeotagged", "totalFaves", "totalInGroup", "photoCount")
HEADER = (*HEADER, "followerCount", "followingCount")


@pytest.fixture
def external(tmp_path, monkeypatch):
    folder = tmp_path / "input" / "smpd_image" / "external"
    folder.mkdir(parents=True)
    monkeypatch.setenv("SMP_INPUT", str(tmp_path / "input"))
    return folder


@pytest.fixture
def posts(make_posts):
    users = [
        ("1@N01", "ann"),
        ("1@N01", "None"),
        ("2@N01", "None"),
        ("3@N01", "zero"),
        ("4@N01", "12345"),
        ("5@N01", "new"),
    ]
    return make_posts([{"Uid": uid, "Pathalias": alias} for uid, alias in users])


def write(folder, form):
    lines = [*([HEADER] if "header" in form else []), *ROWS]
    if "parquet" in form:
        pd.DataFrame(ROWS, columns=HEADER).to_parquet(folder / "user_additional.parquet")
    elif "reordered" in form:
        table = pd.DataFrame(ROWS, columns=HEADER)[list(HEADER[::-1])]
        table.to_csv(folder / "user_additional.csv")  # with pandas' own row numbers in front
    else:
        ending, separator = ("csv", ",") if "csv" in form else ("txt", "\t")
        text = "\n".join(separator.join(map(str, line)) for line in lines)
        (folder / f"user_additional.{ending}").write_text(text + "\n")


@pytest.mark.parametrize("form", ["csv", "csv header", "txt", "txt header", "parquet", "csv reordered header"])
def test_counters_of_the_account_in_every_format(external, posts, form):
    write(external, form)
    assert account_counters.files()
    made = account_counters.build(posts)
    ann = made.iloc[0]
    assert ann["counter_views"] == pytest.approx(np.log(1001))
    assert ann["counter_views_per_photos"] == pytest.approx(np.log(1001 / 100), rel=1e-5)
    assert ann["counter_groups_per_photos"] == pytest.approx(np.log(6 / 100), rel=1e-5)
    assert ann["counter_followers_per_following"] == pytest.approx(np.log(8 / 4), rel=1e-5)
    assert ann["counter_reactions_per_views"] == pytest.approx(np.log(48 / 1001), rel=1e-5)
    pd.testing.assert_series_equal(made.iloc[1], ann, check_names=False)  # the alias of the user's other post
    assert made["counter_missing"].tolist() == [0, 0, 1, 1, 0, 1]  # "None" and all zeros are no accounts
    assert made.drop(columns="counter_missing").isna().all(axis=1).equals(made["counter_missing"] == 1)
    assert made.iloc[4]["counter_following"] == 0


def test_features_go_with_the_post_and_see_no_label(external, posts):
    write(external, "csv")
    made = account_counters.build(posts)
    shuffled = posts.sample(frac=1, random_state=1).assign(label=1.0)
    pd.testing.assert_frame_equal(account_counters.build(shuffled).loc[made.index], made)


def test_masking_hides_whole_users_and_whole_blocks(external, make_posts):
    write(external, "csv")
    posts = make_posts([{"Uid": f"{i % 200}@N01", "Pathalias": "ann"} for i in range(1000)])
    table = account_counters.build(posts)
    masked = account_counters.mask(table, posts["user_id"], seed=0, share=0.3)
    hidden = masked["counter_missing"] == 1
    assert 0.2 < hidden.mean() < 0.4 and (table["counter_missing"] == 0).all()
    assert hidden.groupby(posts["user_id"], observed=True).nunique().eq(1).all()
    assert masked[hidden].drop(columns="counter_missing").isna().all(axis=None)
    pd.testing.assert_frame_equal(masked[~hidden], table[~hidden])
    part = account_counters.mask(table[500:], posts["user_id"][500:], seed=0, share=0.3)
    pd.testing.assert_frame_equal(part, masked[500:])
    assert not account_counters.mask(table, posts["user_id"], seed=1, share=0.3).equals(masked)
    assert account_counters.mask(table, posts["user_id"], seed=0, share=0.0).equals(table)
    nobody = pd.Series(pd.Categorical([None] * 1000, posts["user_id"].cat.categories), posts.index)
    for seed in range(5):  # a post of no user has no user's mask
        assert account_counters.mask(table, nobody, seed, share=0.9).equals(table)


def test_no_file(external, posts):
    assert not account_counters.files()
    with pytest.raises(DataError, match=r"no user_additional\.csv"):
        account_counters.build(posts)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "not a table"),
        ("ann,1,2,3\n", "not a table"),
        ("pathalias,views\nann,1\n", "no single column tags"),
        ("ann,1,2,3,4,5,6,7,8\nbob,1,2,3,4,5,6,seven,8\n", "row 2"),
        (",".join(HEADER) + "\nann,1,2,3,4,5,6,7,-8\n", "row 2"),
    ],
)
def test_malformed_files_are_named(external, posts, text, complaint):
    (external / "user_additional.csv").write_text(text)
    with pytest.raises(DataError, match=rf"user_additional\.csv: .*{complaint}"):
        account_counters.build(posts)


def test_training_rows_lack_counters_as_often_as_the_test_does(external, make_posts):
    write(external, "csv")
    rows = [{"Uid": f"{i % 400}@N01", "Pathalias": "ann" if i % 400 < 320 else "None"} for i in range(2000)]
    posts = make_posts(rows)
    posts["split"] = pd.Categorical(np.where(np.arange(2000) % 400 < 200, "train", "test"))
    y = np.where(posts["split"] == "train", 5.0, np.nan)
    table = account_counters.masked(posts, y, np.zeros(2000), seed=0)
    test = (posts["split"] == "test").to_numpy()
    pd.testing.assert_frame_equal(table[test], account_counters.build(posts)[test])
    assert table["counter_missing"][test].mean() == pytest.approx(0.4)
    assert table["counter_missing"][~test].mean() == pytest.approx(0.4, abs=0.12)


def test_without_the_file_there_are_no_columns(external, posts):
    assert account_counters.masked(posts, np.ones(len(posts)), np.zeros(len(posts)), 0).shape == (len(posts), 0)
