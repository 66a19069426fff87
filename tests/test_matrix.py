"""The feature matrix: same numbers as the frames it came from, whatever the order of the rows on disk."""

import numpy as np
import pandas as pd
import pytest

from smp.errors import DataError
from smp.matrix import FeatureMatrix


def test_blocks_side_by_side_equal_the_frames():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"a": rng.normal(size=6), "c": pd.Categorical([*list("xyx"), None, "z", "y"])})
    wide = rng.normal(size=(6, 3)).astype(np.float16)
    order = rng.permutation(6)
    stored = np.empty_like(wide)
    stored[order] = wide
    X = FeatureMatrix.from_table(table).join(FeatureMatrix.from_array(stored, ["w0", "w1", "w2"], order))
    assert X.shape == (6, 5) and X.categorical == ("c",) and X.names == ("a", "c", "w0", "w1", "w2")
    expected = np.column_stack([table["a"], [0, 1, 0, np.nan, 2, 1], wide]).astype(np.float32)
    np.testing.assert_array_equal(X.dense(), expected)
    rows = np.array([4, 0, 2])
    np.testing.assert_array_equal(X.take(rows).dense(), expected[rows])
    np.testing.assert_array_equal(X.take(rows).dense(slice(1, 3)), expected[rows][1:3])
    np.testing.assert_array_equal(X.dense(np.array([5, 5])), expected[[5, 5]])


def test_taking_rows_copies_no_values():
    table = FeatureMatrix.from_table(pd.DataFrame({"a": np.arange(4.0)}))
    assert table.take(np.array([1])).blocks[0] is table.blocks[0]


def test_a_name_given_twice_or_other_rows_are_refused():
    a = FeatureMatrix.from_table(pd.DataFrame({"a": [1.0, 2]}))
    with pytest.raises(DataError, match="two feature families: a;"):
        a.join(a)
    with pytest.raises(ValueError, match="cannot stand side by side"):
        a.join(FeatureMatrix.from_table(pd.DataFrame({"b": [1.0]})))


def test_split_takes_embeddings_apart_from_tables():
    table = FeatureMatrix.from_table(pd.DataFrame({"a": [1.0, 2, 3], "c": pd.Categorical([0, 1, 0])}))
    more = FeatureMatrix.from_table(pd.DataFrame({"b": [4.0, 5, 6]}))
    vectors = np.arange(8, dtype=np.float16).reshape(4, 2)
    embedding = FeatureMatrix.from_array(vectors, ["e0", "e1"], np.array([3, 0, 1]))
    tables, embeddings = table.join(embedding, more).take(np.array([2, 0])).split()
    assert tables.names == ("a", "c", "b") and tables.categorical == ("c",)
    np.testing.assert_array_equal(tables.dense(), [[3, 0, 6], [1, 0, 4]])
    assert [e.names for e in embeddings] == [("e0", "e1")]
    np.testing.assert_array_equal(embeddings[0].dense(), [[2, 3], [6, 7]])
    assert embedding.split()[0] is None and table.split()[1] == []
