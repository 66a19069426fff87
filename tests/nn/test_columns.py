"""Columns: what is not finite is missing, and nothing is learnt of rows that are only read."""

import numpy as np
import pandas as pd

from smp.matrix import FeatureMatrix
from smp.nn.columns import Columns


def test_what_is_not_finite_is_read_as_missing():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"a": rng.normal(size=80), "b": rng.normal(size=80), "c": np.nan, "d": rng.normal(size=80)})
    table["kind"] = pd.Categorical(rng.choice(["u", "v", None], 80))
    at = rng.random((80, 3)) < 0.2
    odd, missing = table.copy(), table.copy()
    for j, name in enumerate("abc"):
        odd.loc[at[:, j], name] = rng.choice([np.inf, -np.inf, 1e39, np.nan], at[:, j].sum())  # 1e39: no float32
        missing.loc[at[:, j], name] = np.nan
    with np.errstate(over="ignore"):
        odd, missing = (FeatureMatrix.from_table(t) for t in (odd, missing))
    made, wanted = (Columns.fit(X.take(np.arange(60)), 0) for X in (odd, missing))
    for (name, one), other in zip(made.arrays().items(), wanted.arrays().values()):
        np.testing.assert_array_equal(one, other, err_msg=name)
    assert made.width == 3 + 2 and np.isfinite(made.read(odd)[0]).all()
    for one, other in zip(made.read(odd), wanted.read(missing)):
        np.testing.assert_array_equal(one, other)
