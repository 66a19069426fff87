"""Weights that are none: one line that names the file, whatever the library says of it."""

import pytest

from smp import paths
from smp.encoders import weights
from smp.encoders.hf import transformers_text
from smp.encoders.timm_image import timm_encoder
from smp.errors import DataError

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n"


@pytest.mark.parametrize(
    ("content", "told"),
    [(POINTER, "pointer of Git LFS"), (b"<html>Log in</html>", "a web page"), (b"\0" * 99, "not weights")],
)
def test_a_file_that_holds_no_weights(tmp_path, content, told):
    file = tmp_path / "resnet18.safetensors"
    file.write_bytes(content)
    with pytest.raises(DataError, match=f"resnet18.safetensors: .*{told}") as caught:
        timm_encoder("resnet18", str(file))
    assert "\n" not in str(caught.value)


def test_a_folder_with_a_pointer_in_the_weights_place(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(POINTER)
    with pytest.raises(DataError, match=r"model.safetensors: a pointer of Git LFS"):
        transformers_text(str(tmp_path))


def test_files_laid_by_hand_are_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "weights", lambda: tmp_path)
    folder = weights.local_folder("owner/name")
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(POINTER)
    with pytest.raises(DataError, match=r"owner--name/model.safetensors: a pointer of Git LFS"):
        weights.hub_folder("owner/name", ["model.safetensors"])


def test_what_a_library_raises_is_one_line():
    told = r"w.bin: not weights of m \(size mismatch\); get them again"
    with pytest.raises(DataError, match=told) as caught, weights.reading("w.bin", "m"):
        raise RuntimeError("size mismatch\nfor layer 1")
    assert "\n" not in str(caught.value)
