"""A user's own feature files: what is a feature becomes one, anything else is named in one line."""

import numpy as np
import pandas as pd
import pytest

from smp.errors import DataError
from smp.features import own

IDS = pd.Index(["775", "800", "1001"], name="post_id")


@pytest.fixture
def laid(tmp_path):
    """Lays a table as tmp_path/own.parquet; returns its path."""

    def lay(**columns):
        pd.DataFrame(columns).to_parquet(tmp_path / "own.parquet")
        return tmp_path / "own.parquet"

    return lay


def test_numbers_texts_and_truth_values(laid, capsys):
    path = laid(post_id=[800.0, 775.0, 5.0], a=[1, 2, 3], word=["x", None, "y"], flag=[True, False, True])
    table = own.read(path, IDS)
    assert table.index.equals(IDS) and table["a"].tolist()[:2] == [2, 1] and np.isnan(table["a"].iloc[2])
    assert table["a"].dtype == "float32" and table["flag"].tolist()[:2] == [0, 1]
    assert table["word"].dtype == "category" and table["word"].tolist()[1] == "x"
    assert "1 of 3 posts without a row, left missing; 1 rows of no post, left out" in capsys.readouterr().err


def test_the_key_may_be_the_index(tmp_path):
    pd.DataFrame({"a": [1.0, 2.0]}, index=pd.Index([1001, 775], name="post_id")).to_parquet(tmp_path / "own.parquet")
    np.testing.assert_array_equal(own.read(tmp_path / "own.parquet", IDS)["a"], [2, np.nan, 1])


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"a": [1.0]}, "no column post_id or pid"),
        ({"pid": [775], "post_id": [775], "a": [1.0]}, "columns pid and post_id, which both name the post"),
        ({"Pid": [775]}, "no column beside Pid"),
        ({"post_id": ["post775"], "a": [1.0]}, "names none of the posts .'post775' there, '775' in the official files"),
        ({"post_id": [], "a": []}, "it has no rows"),
        ({"pid": [775, 775], "a": [1.0, 2.0]}, "post 775 is there twice"),
        ({"pid": [775, 800], "a": [1.0, np.inf]}, "column a: row 2: inf is infinite"),
        ({"pid": [775], "a": [1e300]}, "column a: row 1: 1e.300 is infinite"),
        ({"pid": [775], "a": [pd.Timestamp("2020-01-01")]}, "column a: holds Timestamp; only numbers and texts"),
        ({"pid": [775], "a": [[1.0, 2.0]]}, "column a: holds ndarray; only numbers and texts"),
    ],
)
def test_what_is_no_feature(laid, columns, words):
    path = laid(**columns)
    with pytest.raises(DataError, match=words) as caught:
        own.read(path, IDS)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
        (b"<!DOCTYPE html>", "a web page"),
        (b"pid,a\n1,2\n", "not a readable parquet file"),
    ],
)
def test_what_is_no_table(tmp_path, content, words):
    (tmp_path / "own.parquet").write_bytes(content)
    with pytest.raises(DataError, match=words):
        own.read(tmp_path / "own.parquet", IDS)
