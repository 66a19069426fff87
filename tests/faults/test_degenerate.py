"""Posts as poor as posts can be still become features of every family, and predictions that are numbers."""

import runpy
import shutil
from pathlib import Path

import numpy as np
import pytest

from smp import features, tracks
from smp.folds import label_blocks
from smp.learners import CatBoost, LightGBM
from smp.tracks.load import load_data

cases = runpy.run_path(str(Path(__file__).with_name("test_corruptions.py")))  # its changes of official files
every, both, put, rows = (cases[name] for name in ("every", "both", "put", "rows"))
change = {name.removeprefix("image: "): case[0] for name, case in cases["HANDLED"].items()}


def no_user_data(folder: Path) -> None:
    for split in ("train", "test"):
        rows("user", lambda t: t | {k: dict.fromkeys(t[k]) for k in t if k not in ("Uid", "Pid")}, split)(folder)


DEGENERATE = {
    "one user": change["one user"],
    "one class": change["one class"],
    "class with one post, and one only in the test": both(
        change["class with one post"], change["class only in the test"]
    ),
    "no words": both(change["no title anywhere"], change["no tag anywhere"]),
    "one word": both(every("text", "Title", "a"), every("text", "Alltags", "a")),
    "words of no alphabet": both(every("text", "Title", "👩‍👩‍👧"), every("text", "Alltags", "\u202e !!! ...")),
    "no place": both(every("place", "Latitude", ""), every("place", "Geoaccuracy", "0")),
    "one place": both(*(every("place", k, v) for k, v in (("Latitude", 1), ("Longitude", 1), ("Geoaccuracy", 16)))),
    "no user data": no_user_data,
    "huge texts, numbers and dates": both(
        change["title of 100,000 characters"],
        change["10,000 tags"],
        put("user", 1, "photo_count", 1e300),
        put("place", 1, "Postdate", "4070908800"),
    ),
    "no external counters": lambda folder: shutil.rmtree(folder / "smpd_image" / "external"),
}


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sound") / "input"
    cases["sound"](folder)
    return folder


WORDS = {"text_words", "title_tags", "tags_post", "tags_user"}
# user_behaviour has the account's columns, what reads embeddings its own tests.
FAMILIES = tracks.get("image").families
LEFT_OUT = {"account", *(name for name, family in FAMILIES.items() if family.reads)}


@pytest.mark.parametrize("name", DEGENERATE)
def test_every_family_and_learner_survives(good, tmp_path, monkeypatch, name):
    folder = Path(shutil.copytree(good, tmp_path / "input"))
    DEGENERATE[name](folder)
    monkeypatch.setenv("SMP_INPUT", str(folder))
    monkeypatch.setenv("SMP_OUTPUT", str(tmp_path / "output"))
    data = load_data("image")
    left_out = LEFT_OUT | (set() if "word" in name or "text" in name else WORDS)
    plain, labelled = (
        [n for n, family in FAMILIES.items() if family.labels == labels and n not in left_out]
        for labels in (False, True)
    )
    X, y = features.load("image", plain, data), data.labels
    block = label_blocks(data, np.flatnonzero(data.labelled), 5)
    labelled = features.from_labels("image", labelled, data, y, block, 0)
    matrix = X.join(labelled)
    assert not np.isinf(matrix.dense()).any()
    train = np.isfinite(y)
    for learner in (LightGBM(rounds=5), CatBoost(rounds=5)):
        pred = learner.fit(matrix.take(train), y[train]).predict(matrix.take(~train))
        assert np.isfinite(pred).all() and len(pred) == (~train).sum()
