"""Nothing from outside is executed: no pickle is loaded, pictures have a pixel limit, paths stay in their folder."""

import ast
import json
import pickle
from pathlib import Path

import numpy as np
import open_clip
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from smp import features, paths
from smp.disk import pictures
from smp.disk.store import read_embeddings, read_table, write_embeddings
from smp.encoders.clip import load_clip
from smp.errors import DataError
from smp.nn.parallel import load_checkpoint
from smp.paths import ROOT
from smp.tracks.base import Data

SOURCES = sorted([*(ROOT / "src").rglob("*.py"), *(ROOT / "exp").rglob("*.py")])
FORBIDDEN = {  # called by these names, data become code
    *("eval", "exec", "compile", "__import__", "os.system", "os.popen", "marshal.load", "yaml.load"),
    *("yaml.unsafe_load", "pickle.load", "pickle.loads", "cloudpickle.load", "joblib.load", "pd.read_pickle"),
}


TINY = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "patch_size": 16, "width": 32, "layers": 1, "head_width": 16},
    "text_cfg": {"context_length": 24, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}


class Bomb:
    """Unpickled, it leaves a file."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.fixture
def mark(tmp_path):
    """The file that a pickle would leave; the test fails where it is there in the end."""
    yield tmp_path / "executed"
    assert not (tmp_path / "executed").exists(), "a pickle was executed"


def calls(path: Path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), {k.arg: ast.unparse(k.value) for k in node.keywords}


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_call_that_runs_data(path):
    for name, arguments in calls(path):
        assert name not in FORBIDDEN, name
        if name == "torch.load":
            assert arguments.get("weights_only") == "True"
        if name == "np.load":
            assert arguments.get("allow_pickle") == "False"
        assert arguments.get("allow_pickle", "False") == "False", name
        assert not {"trust_remote_code", "shell"} & set(arguments), name


def test_only_one_module_opens_pictures_and_it_has_a_pixel_limit():
    opening = [p for p in SOURCES if any(name.endswith("Image.open") for name, _ in calls(p))]
    assert opening == [Path(pictures.__file__)]
    assert pictures.MAX_PIXELS < 100_000_000 and "EPS" not in pictures.FORMATS


def test_an_embedding_of_pickled_objects_is_refused(tmp_path, mark):
    write_embeddings(tmp_path, "x", pd.Index(["a"]), np.ones((1, 1)))
    np.save(tmp_path / "x.npy", np.array([Bomb(mark)], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"x\.npy: not a readable array"):
        read_embeddings(tmp_path, "x")


@pytest.mark.parametrize("content", ["pickle", "torch", "nothing", "cut"])
def test_a_checkpoint_that_holds_more_than_weights_is_refused(tmp_path, mark, content):
    file = tmp_path / "all.pt"
    if content == "pickle":
        file.write_bytes(pickle.dumps(Bomb(mark)))
    elif content == "nothing":
        file.touch()
    else:
        torch.save({"config": Bomb(mark)}, file)
    if content == "cut":
        file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"all\.pt: no checkpoint of this project .*; delete it to train again"):
        load_checkpoint(file)


def test_weights_of_a_clip_model_that_hold_more_than_weights_are_refused(tmp_path, mark):
    (tmp_path / "tiny-clip.json").write_text(json.dumps(TINY))
    open_clip.add_model_config(tmp_path)
    torch.save(open_clip.create_model("tiny-clip").state_dict(), tmp_path / "weights.pt")
    assert load_clip("tiny-clip", str(tmp_path / "weights.pt")).net.visual.output_dim == 16
    torch.save({"state_dict": Bomb(mark)}, tmp_path / "weights.pt")
    with pytest.raises(DataError, match=r"weights\.pt: not weights of tiny-clip"):
        load_clip("tiny-clip", str(tmp_path / "weights.pt"))


def test_a_feature_file_laid_beside_the_data_is_never_unpickled(demo_run, mark):
    folder = paths.extra_features("video")
    folder.mkdir()
    try:
        (folder / "own.parquet").write_bytes(pickle.dumps(Bomb(mark)))
        with pytest.raises(DataError, match=r"own\.parquet: not a readable parquet file"):
            features.load("video", ["own"], Data(pd.DataFrame(index=["a"]), np.zeros(1)))
    finally:
        (folder / "own.parquet").unlink()
        folder.rmdir()


def test_an_extension_type_that_pickles_is_not_restored(tmp_path, mark):
    """Arrow files may name a Python type by its pickle."""
    field = pa.field("a", pa.int64(), metadata={
        "ARROW:extension:name": "arrow.py_extension_type", "ARROW:extension:metadata": pickle.dumps(Bomb(mark)),
    })  # fmt: skip
    pq.write_table(pa.table([[1]], schema=pa.schema([field])), tmp_path / "t.parquet")
    assert read_table(tmp_path / "t.parquet")["a"].tolist() == [1]
