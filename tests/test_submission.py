"""Submission files: both official forms, and a checker that refuses each malformed file for the right reason."""

import gzip
import json
import re

import numpy as np
import pandas as pd
import pytest

from smp import features, paths, submission
from smp.disk.store import write_embeddings, write_table
from smp.errors import DataError
from smp.tracks.load import load_data


@pytest.fixture
def finished(demo_run):
    """A finished experiment of each track whose predictions run from far below to far above the labels' range."""
    for track in ("image", "video"):
        posts = load_data(track).items
        ids = posts.index[posts["split"] == "test"]
        folder = paths.output(track) / f"exp900_{track}"
        pred = np.linspace(-3, 30, len(ids))
        write_table(folder / "test.parquet", pd.DataFrame({"pred": pred}, index=ids).sample(frac=1, random_state=0))
        settings = {"features": {"post_stats": "k"}, "config": {}}
        (folder / "config.json").write_text(json.dumps(settings))
        (folder / "metrics.json").write_text("{}")
    return demo_run


def test_image_forms_are_the_official_ones(finished):
    csv, js = submission.write("exp900_image", "image")
    data = load_data("image")
    ids = data.ids[~data.labelled]
    lines = csv.read_text().splitlines()
    assert lines[0] == "post_id,popularity_score"
    assert [line.split(",")[0] for line in lines[1:]] == [f"post{i}" for i in ids]
    content = json.loads(js.read_text())
    assert content["version"] == "VERSION 1.2"
    assert content["external_data"] == {"used": "false", "details": ""}
    assert content["result"][0]["post_id"] == f"post{ids[0]}"
    scores = np.array([r["popularity_score"] for r in content["result"]])
    expected = np.clip(np.linspace(-3, 30, len(ids)), np.nanmin(data.labels), np.nanmax(data.labels))
    np.testing.assert_array_equal(scores, expected.round(4))
    np.testing.assert_array_equal(pd.read_csv(csv)["popularity_score"], scores)
    for file in (csv, js):
        assert submission.problems(file, "image", data) == []


def test_video_header_is_configurable(finished):
    (csv,) = submission.write("exp900_video", "video", score_column="polularity_score")
    assert csv.read_text().startswith("pid,polularity_score\n")
    data = load_data("video")
    assert submission.problems(csv, "video", data, "polularity_score") == []
    assert "header must be pid,popularity_score" in submission.problems(csv, "video", data)[0]


def test_external_inputs_of_parents_are_declared(finished):
    parent = finished / "exp900_image"
    outside = {"account_counters": "k", "my_own": "k"}
    (parent / "config.json").write_text(json.dumps({"features": outside, "config": {}}))
    child = finished / "exp901_fusion"
    child.mkdir()
    (child / "config.json").write_text(json.dumps({"features": {}, "config": {"parents": ["exp900_image"]}}))
    assert submission.external_data("image", "exp901_fusion") == {
        "used": "true",
        "details": "account_counters, my_own",
    }


def test_embeddings_of_an_experiments_own_prefix_are_not_external_data_and_a_users_are(finished):
    for name, note in (("clip_h14_image", {"key": "k"}), ("my_image", {})):
        write_embeddings(paths.features("image"), name, pd.Index(["a"]), np.zeros((1, 2)), note)
    assert [features.is_external("image", name) for name in ("clip_h14_image", "my_image")] == [False, True]


def test_unfinished_or_incomplete_experiments_write_nothing(finished):
    with pytest.raises(DataError, match=r"not finished; make it with: python exp/exp777_none/train\.py"):
        submission.write("exp777_none", "image")
    table = pd.read_parquet(finished / "exp900_image" / "test.parquet")
    write_table(finished / "exp900_image" / "test.parquet", table.iloc[3:])
    with pytest.raises(DataError, match="lacks 3 test posts"):
        submission.write("exp900_image", "image")
    assert not paths.submissions("image").exists()


def edit(change):
    """A corruption of the CSV's lines, as a function of both files that returns the one it corrupted."""

    def corrupt(csv, js):
        lines = csv.read_text().splitlines()
        csv.write_text("\n".join(change(lines)) + "\n")
        return csv

    return corrupt


def raw(change):
    """A corruption of the bytes of whichever file `change(csv, js)` names: (file, its new bytes)."""

    def corrupt(csv, js):
        file, content = change(csv, js)
        file.write_bytes(content)
        return file

    return corrupt


def edit_json(change):
    def corrupt(csv, js):
        content = json.loads(js.read_text())
        js.write_text(json.dumps(change(content) or content))
        return js

    return corrupt


def scored(value):
    return edit(lambda x: [x[0], f"{x[1].split(',')[0]},{value}", *x[2:]])


MALFORMED = {
    "empty file": (edit(lambda x: []), "header must be post_id,popularity_score"),
    "no header": (edit(lambda x: x[1:]), "header must be"),
    "misspelt header": (edit(lambda x: ["post_id,polularity_score", *x[1:]]), "header must be"),
    "columns swapped": (edit(lambda x: ["popularity_score,post_id", *x[1:]]), "header must be"),
    "semicolons": (edit(lambda x: [line.replace(",", ";") for line in x]), "semicolons between the columns"),
    "quoted semicolons": (edit(lambda x: ['"post_id";"popularity_score"', *x[1:]]), "semicolons between the columns"),
    "Excel's separator": (edit(lambda x: ["sep=,", *x]), "first line is Excel's sep="),
    "gzip": (raw(lambda csv, js: (csv, gzip.compress(csv.read_bytes()))), "packed by gzip"),
    "an old workbook": (raw(lambda csv, js: (csv, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")), "an old Excel workbook"),
    "a third field": (edit(lambda x: [x[0], x[1] + ",1", *x[2:]]), "row 1 has 3 fields"),
    "an empty line": (edit(lambda x: [*x[:3], "", *x[3:]]), "row 3 has 0 fields"),
    "a post missing": (edit(lambda x: x[:-1]), "1 test posts are missing"),
    "only the header": (edit(lambda x: x[:1]), "test posts are missing"),
    "a post twice": (edit(lambda x: [*x, x[1]]), "the post is there twice"),
    "an unknown post": (edit(lambda x: [*x, "post999999999,5"]), "not a test post"),
    "ids without post": (edit(lambda x: [x[0], *[line[4:] for line in x[1:]]]), "not a test post; ids look like 'post"),
    "a training post": (edit(lambda x: [*x, f"post{load_data('image').ids[0]},5"]), "not a test post"),
    "NaN": (scored("nan"), "not a finite number"),
    "an empty score": (scored(""), "not a finite number"),
    "infinity": (scored("inf"), "not a finite number"),
    "text": (scored("high"), "not a finite number"),
    "a decimal comma": (scored('"5,1"'), "the score '5,1' is not a finite number, with a point"),
    "Latin-1 bytes": (raw(lambda csv, js: (csv, b"post_id,popularity_score\n\xe9,5\n")), "save it as plain UTF-8"),
    "another ending": (lambda csv, js: csv.rename(csv.with_suffix(".txt")), r"must be a .csv file or a .json file"),
    "truncated JSON": (raw(lambda csv, js: (js, js.read_bytes()[:-40])), "line 1 column"),
    "a byte order mark": (raw(lambda csv, js: (csv, b"\xef\xbb\xbf" + csv.read_bytes())), "a byte order mark"),
    "JSON after a byte order mark": (raw(lambda csv, js: (js, b"\xef\xbb\xbf" + js.read_bytes())), "a byte order mark"),
    "UTF-16": (raw(lambda csv, js: (csv, csv.read_text().encode("utf-16"))), "UTF-16"),
    "a workbook": (raw(lambda csv, js: (csv, b"PK\3\4")), "an Excel workbook"),
    "a web page": (raw(lambda csv, js: (csv, b"<html>")), "a web page"),
    "tabs": (edit(lambda x: [line.replace(",", "\t") for line in x]), "tabs between the columns"),
    "a NUL byte": (edit(lambda x: [*x[:2], "\0" + x[2], *x[3:]]), "row 2 .*not a test post|NUL"),
    "a field without end": (edit(lambda x: [x[0], '"' + x[1], *x[2:], "x" * 200_000]), "field|fields"),
    "blanks around the id": (edit(lambda x: [x[0], " " + x[1], *x[2:]]), "row 1 .*not a test post"),
    "a score of another base": (scored("0x5"), "not a finite number"),
    "JSON details a list": (edit_json(lambda c: c["external_data"].update(details=[])), "external_data must be"),
    "JSON used a truth value": (edit_json(lambda c: c["external_data"].update(used=True)), "external_data must be"),
    "JSON with NaN": (raw(lambda csv, js: (js, js.read_bytes().replace(b'e":', b'e":NaN', 1))), "line 1 column"),
    "JSON id a number": (edit_json(lambda c: c["result"][2].update(post_id=7)), "row 3: post_id must be a string"),
    "JSON id a list": (edit_json(lambda c: c["result"][2].update(post_id=[])), "row 3: post_id must be a string"),
    "JSON row a list": (edit_json(lambda c: c["result"].__setitem__(2, [])), "row 3 must be an object"),
    "JSON post twice": (edit_json(lambda c: c["result"].append(c["result"][0])), "the post is there twice"),
    "JSON score true": (edit_json(lambda c: c["result"][4].update(popularity_score=True)), "row 5 .*not a finite"),
    "JSON list": (edit_json(lambda c: c["result"]), "must be an object with exactly"),
    "JSON without external_data": (edit_json(lambda c: c.pop("external_data") and None), "exactly version, result"),
    "JSON of another version": (edit_json(lambda c: c.update(version="1.0")), "version must be"),
    "JSON with undeclared data": (edit_json(lambda c: c.update(external_data="none")), "external_data must be"),
    "JSON result an object": (edit_json(lambda c: c.update(result={})), "result must be a list"),
    "JSON row without a score": (edit_json(lambda c: c["result"][4].pop("popularity_score") and None), "row 5 must be"),
    "JSON score a string": (edit_json(lambda c: c["result"][4].update(popularity_score="5")), "row 5 .*not a finite"),
    "JSON score null": (edit_json(lambda c: c["result"][4].update(popularity_score=None)), "row 5 .*not a finite"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_submissions_are_refused_for_the_right_reason(finished, name, capsys):
    corrupt, reason = MALFORMED[name]
    file = corrupt(*submission.write("exp900_image", "image"))
    with pytest.raises(SystemExit, match=reason) as refused:
        submission.check(file, "image")
    assert str(file.name) in str(refused.value)
    assert "valid" not in capsys.readouterr().out


MALFORMED_VIDEO = {
    "the image track's header": (lambda text: text.replace("pid,", "post_id,", 1), "header must be pid,popularity"),
    "ids of the image track": (lambda text: text.replace("\nPOST", "\npostPOST", 1), "row 1 .*not a test post"),
    "a post missing": (lambda text: text[: text.rstrip().rindex("\n") + 1], "1 test posts are missing"),
    "JSON": (None, "must be a .csv file$"),
}


@pytest.mark.parametrize("name", MALFORMED_VIDEO)
def test_malformed_video_submissions_are_refused_for_the_right_reason(finished, name):
    change, reason = MALFORMED_VIDEO[name]
    (file,) = submission.write("exp900_video", "video")
    if change:
        file.write_text(change(file.read_text()))
    else:
        file = file.rename(file.with_suffix(".json"))
    with pytest.raises(SystemExit, match=reason):
        submission.check(file, "video")


def test_a_good_file_is_shown_beside_the_training_labels(finished, capsys):
    csv, _ = submission.write("exp900_image", "image")
    submission.check(csv, "image")
    printed = capsys.readouterr().out
    assert "valid" in printed and "training labels" in printed
    label = load_data("image").labels
    label, shown = label[np.isfinite(label)], printed.split("training labels")[1].split()
    wanted = [*np.quantile(label, [0, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1]), label.mean(), label.std(ddof=1)]
    np.testing.assert_allclose([float(v) for v in shown], wanted, atol=0.006)


ODD = {
    "below the range": (scored("0.2"), r"1 scores are outside the labels' range .* \(row 1 is 0.2\)"),
    "above the range": (scored("99"), r"1 scores are outside the labels' range .* \(row 1 is 99\)"),
    "CRLF": (raw(lambda csv, js: (csv, csv.read_bytes().replace(b"\n", b"\r\n"))), "lines end in CRLF"),
}


@pytest.mark.parametrize("name", ODD)
def test_what_the_challenge_takes_but_is_seldom_meant_is_a_warning(finished, name, capsys):
    corrupt, reason = ODD[name]
    submission.check(corrupt(*submission.write("exp900_image", "image")), "image")
    printed = capsys.readouterr().out
    assert "valid" in printed and re.search(f"warning: .*{reason}", printed)


def test_a_missing_file_is_one_line(finished, tmp_path):
    with pytest.raises(SystemExit, match="No such file"):
        submission.check(tmp_path / "none.csv", "image")
