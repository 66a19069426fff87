"""Kept models: another process that opens the folder predicts the same to the bit, and what is not whole is named."""

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from smp import learners
from smp.errors import DataError
from smp.learners import MLP, CatBoost, Forest, GaussianProcess, LightGBM, Linear, TabNet
from smp.learners.forest import _columns
from smp.learners.kept import restored
from smp.learners.linear import FittedLinear
from smp.matrix import FeatureMatrix
from smp.models.casft import CasFT
from smp.models.concat import ConCat
from smp.models.gamenet import GAMENet
from smp.models.gru import GRU
from smp.nn.ode import Solver

sys.path.insert(0, str(Path(__file__).parents[1]))  # the server's children find it there too
import forked

LEARNERS = (
    LightGBM(rounds=20, threads=1),
    CatBoost(objective="Huber:delta=1", rounds=20, threads=1),
    Forest(trees=10),
    GaussianProcess(steps=5),
    Linear(),
    MLP(epochs=2),
    TabNet(epochs=2, mask="softmax"),
)
ASK = f"""
import runpy
import sys
import numpy as np
from pathlib import Path
from smp import learners
matrix = runpy.run_path({__file__!r})["matrix"]
for folder in map(Path, sys.argv[1:]):
    np.save(folder / "said.npy", learners.load(folder).predict(matrix(200, 1)[0]))
"""


def matrix(n: int, seed: int) -> tuple[FeatureMatrix, np.ndarray]:
    """A table with missing values, a constant and two categories, beside an embedding; and labels."""
    rng = np.random.default_rng(seed)
    user, group = rng.integers(0, 40, n), rng.integers(0, 5, n)
    number = rng.normal(size=n).astype(np.float32)
    table = pd.DataFrame(
        {
            "number": np.where(rng.random(n) < 0.1, np.nan, number),
            "word": rng.integers(0, 2, n),
            "constant": 1.0,
            "user_id": pd.Categorical(user, range(45)),
            "group": pd.Categorical(group, range(6)),
        }
    )
    vectors = rng.normal(size=(n, 4)).astype(np.float16)
    X = FeatureMatrix.from_table(table).join(FeatureMatrix.from_array(vectors, list("abcd"), np.arange(n)))
    return X, 5 + number + group + user / 40 + vectors[:, 0].astype(np.float64)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Every learner's class -> its model of 300 weighted rows, and the folder that it is kept in."""
    X, y = matrix(300, 0)
    fitted = {type(learner).__name__: learner.fit(X, y, 1 / y, seed=1) for learner in LEARNERS}
    kept = {name: (model, tmp_path_factory.mktemp("models") / name) for name, model in fitted.items()}
    for model, folder in kept.values():
        model.save(folder)
    return kept


def test_another_process_predicts_the_same_to_the_bit(models, tmp_path):
    folders, script = [str(folder) for _, folder in models.values()], tmp_path / "ask.py"
    script.write_text(ASK)
    asked = forked.start(script, *folders, log=tmp_path / "logs", environment=dict(os.environ)).end()
    assert asked.returncode == 0, asked.stderr
    for name, (model, folder) in models.items():
        np.testing.assert_array_equal(np.load(folder / "said.npy"), model.predict(matrix(200, 1)[0]), err_msg=name)


def test_no_file_is_a_pickle(models):
    names = {path.name for _, folder in models.values() for path in folder.iterdir()} - {"said.npy"}
    assert names == {"model.json", "arrays.safetensors", "trees.txt", "trees.cbm"}


@pytest.mark.parametrize("learner", [type(learner).__name__ for learner in LEARNERS])
def test_a_truncated_file_is_named_in_one_line(models, tmp_path, learner):
    model, _ = models[learner]
    model.save(tmp_path)
    for file in tmp_path.iterdir():
        whole = file.read_bytes()
        for size in (0, len(whole) // 2, len(whole) - 1):
            file.write_bytes(whole[:size])
            with pytest.raises(DataError, match=file.name) as caught:
                learners.load(tmp_path)
            assert "\n" not in str(caught.value)
        file.unlink()
        with pytest.raises(DataError, match=file.name):
            learners.load(tmp_path)
        file.write_bytes(whole)
    assert len(learners.load(tmp_path).predict(matrix(20, 1)[0])) == 20


def test_a_model_kept_over_another_replaces_it(models, tmp_path):
    for name in ("LightGBM", "Linear"):
        models[name][0].save(tmp_path)
    assert isinstance(learners.load(tmp_path), FittedLinear)


def test_a_class_that_is_no_model_is_refused(models, tmp_path):
    models["Linear"][0].save(tmp_path)
    card = json.loads((tmp_path / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps(card | {"class": "Popen"}))
    with pytest.raises(DataError, match="Popen"):
        learners.load(tmp_path)


def test_a_model_without_weights_or_tables_is_kept_too(tmp_path):
    X, y = matrix(100, 0)
    _, (vectors,) = X.split()
    model = GaussianProcess(steps=3).fit(vectors, y)
    model.save(tmp_path)
    np.testing.assert_array_equal(learners.load(tmp_path).predict(vectors), model.predict(vectors))


def test_a_forest_of_arrays_finds_the_leaves_that_scikit_learn_finds():
    from sklearn.ensemble import ExtraTreesRegressor

    X, y = matrix(300, 0)
    fitted = Forest(trees=10, min_samples_leaf=3).fit(X, y, seed=2)
    own, asked = (_columns(fitted.columns, fitted.frequent, m) for m in (X, matrix(200, 1)[0]))
    forest = ExtraTreesRegressor(10, min_samples_leaf=3, max_features=0.5, random_state=2).fit(own, y)
    np.testing.assert_array_equal(fitted.trees.leaves(asked), forest.apply(asked) + fitted.trees.roots)


def test_a_config_is_had_again_from_plain_values():
    written = json.loads(json.dumps({"class": "CasFT", **asdict(CasFT(ConCat(solver=Solver("rk4")), draws=3))}))
    assert restored(GRU | CasFT, written) == CasFT(ConCat(solver=Solver("rk4")), draws=3)
    assert restored(GAMENet, {"sound": ["low"], "onion": False}) == GAMENet(sound=("low",), onion=False)
