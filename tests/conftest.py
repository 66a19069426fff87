"""A small generated data set for tests of whole runs, and image posts written by hand for those of features."""

import itertools
import json
import os

import numpy as np
import pandas as pd
import pytest

from smp import paths
from smp.folds import label_blocks
from smp.tracks import demo
from smp.tracks.base import Data
from smp.tracks.image import read as image

os.environ.setdefault("LOKY_MAX_CPU_COUNT", "1")  # a worker a core: CatBoost's threads would only wait for each other
FILES = {
    "additional_information": ("Pathalias", "Ispublic", "Mediastatus"),
    "category": ("Category", "Subcategory", "Concept"),
    "text": ("Title", "Mediatype", "Alltags"),
    "temporalspatial_information": ("Postdate", "Latitude", "Longitude", "Geoaccuracy"),
    "user_data": (
        *("photo_firstdate", "photo_count", "ispro", "canbuypro", "timezone_offset", "photo_firstdatetaken"),
        *("timezone_id", "user_description", "location_description"),
    ),
}
PLAIN = {
    **{"Uid": "59@N75", "Pathalias": "None", "Ispublic": "1", "Mediastatus": "ready", "Category": "Fashion"},
    **{"Subcategory": "girl", "Concept": "tattooed", "Title": "", "Mediatype": "photo", "Alltags": ""},
    **{"Postdate": "1425139200", "Latitude": "", "Longitude": "", "Geoaccuracy": "0", "photo_firstdate": "None"},
    **{"photo_count": "10", "ispro": "0", "canbuypro": "0", "timezone_offset": None, "photo_firstdatetaken": None},
    **{"timezone_id": "1", "user_description": None, "location_description": None, "split": "train"},
}


@pytest.fixture(scope="session")
def demo_folder(tmp_path_factory):
    """Folder of 600 generated image posts (no pictures) and the video posts beside them."""
    folder = tmp_path_factory.mktemp("demo") / "input"
    demo.generate(folder, posts=600, images=False, seed=7, only=("image", "video"))
    return folder


@pytest.fixture
def demo_run(demo_folder, tmp_path, monkeypatch):
    """An empty project folder in the small profile, which finds the generated data as its official files."""
    monkeypatch.setenv("SMP_INPUT", str(demo_folder))
    monkeypatch.setenv("SMP_OUTPUT", str(tmp_path / "output"))
    monkeypatch.setenv("SMP_SUBMISSIONS", str(tmp_path / "submissions"))
    monkeypatch.setenv("SMP_PROFILE", "small")
    monkeypatch.setattr("smp.evidence.DRAWS", 16)  # a study's test asks what it compares, not how surely
    return paths.output("image")


@pytest.fixture
def make_posts(tmp_path):
    """records (a dict a post, official keys; what is left out is plain) -> the posts table, as read from files."""
    folders = itertools.count()

    def make(records: list[dict]) -> pd.DataFrame:
        folder = tmp_path / f"official{next(folders)}"
        records = [PLAIN | {"Pid": str(i + 1)} | record for i, record in enumerate(records)]
        for split in ("train", "test"):
            rows = [r for r in records if r["split"] == split] or [PLAIN | {"Pid": "999999"}]
            home = folder / f"{split}_allmetadata_json"
            home.mkdir(parents=True)
            for name, keys in FILES.items():
                table = [{k: row[k] for k in ("Uid", "Pid", *keys)} for row in rows]
                (home / f"{split}_{name}.json").write_text(json.dumps(table))
            lines = {"img_filepath": [f"{split}/{r['Uid']}/{r['Pid']}.jpg" for r in rows], "label": ["6.4"] * len(rows)}
            for name, values in lines.items():
                (home / f"{split}_{name}.txt").write_text("\n".join(values) + "\n")
        posts = image.read(folder)[0].items
        return posts[posts.index != "999999"]  # the loader wants a post in each split

    return make


@pytest.fixture
def random_posts(make_posts):
    """120 posts of 9 users, with equal times, bursts, repeated titles, doubled tags, and gaps in every field."""
    rng = np.random.default_rng(0)
    tags = ["sun", "Sea", "sky", "cat", "été", "nyc", "2015", "東京", "rare1", "rare2"]
    titles = ["", "", "The cat", "Sunset in Rome", "IMG_0042", "La casa de mi madre", "東京 night", "Wow 🎉"]
    users = {}
    for k in range(9):
        users[k] = {
            "Uid": f"{k + 3}@N{k % 4 + 10}",
            "timezone_offset": [None, "+05:30", "-08:00"][k % 3],
            "photo_firstdate": ["None", str(1_300_000_000 + k)][k % 2],
            "photo_firstdatetaken": [None, "2010-01-02 03:04:05"][k % 2],
            "photo_count": [None, str(k * 100)][k > 2],
            "user_description": [None, "I take photos of the sea", "me"][k % 3],
            "location_description": [None, "Paris, France", "Rome,  Italy "][k % 3],
            "Pathalias": ["None", f"alias{k}"][k % 2],
        }
    records = []
    for i in rng.permutation(120):
        located = rng.random() < 0.5
        records.append(
            users[min(int(rng.exponential(2.5)), 8)]
            | {
                "Pid": str(5 * i + 1),
                "split": "train" if rng.random() < 0.6 else "test",
                "Title": str(rng.choice(titles)),
                "Alltags": " ".join(rng.choice(tags, rng.integers(0, 6))),
                "Postdate": str(1_425_000_000 + 1800 * int(rng.integers(0, 40) ** 2)),
                "Category": f"c{rng.integers(3)}",
                "Subcategory": f"s{rng.integers(6)}",
                "Concept": f"k{rng.integers(20)}",
                "Latitude": str(round(rng.normal(40, 2), 4)) if located else "",
                "Longitude": str(round(rng.normal(-179, 2) % 360 - 180, 4)) if located else "",
                "Geoaccuracy": str(rng.integers(1, 17)) if located else "0",
            }
        )
    return make_posts(records)


@pytest.fixture
def bare_posts(make_posts):
    """30 posts of one user with no title, no tags, no place and one time."""
    return make_posts([{"split": "test" if i > 20 else "train"} for i in range(30)])


@pytest.fixture
def blocks_of():
    """posts -> (n,) the time block (of five) of every training post, and 5 for the test's."""

    def blocks(posts: pd.DataFrame) -> np.ndarray:
        data = Data(posts, np.where(posts["split"] == "train", 6.4, np.nan))
        return label_blocks(data, np.flatnonzero(data.labelled), 5)

    return blocks
