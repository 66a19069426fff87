import numpy as np
import pandas as pd
import pytest
from PIL import Image

from smp.tracks.image.features import picture_stats


@pytest.fixture
def folder(tmp_path, monkeypatch):
    folder = tmp_path / "input" / "smpd_image"
    (folder / "train" / "59@N75").mkdir(parents=True)
    monkeypatch.setenv("SMP_INPUT", str(tmp_path / "input"))
    return folder


def test_headers(folder, make_posts):
    posts = make_posts([{}, {}, {}, {}])
    pictures = [Image.new("RGB", (40, 20), "red"), Image.new("L", (10, 30))]
    for path, picture in zip(posts["image_path"], pictures):
        picture.save(folder / path)
    (folder / posts["image_path"].iloc[2]).write_bytes(b"no picture")
    made = picture_stats.build(posts)
    assert made["picture_missing"].tolist() == [0, 0, 0, 1] and made["picture_unreadable"].tolist() == [0, 0, 1, 0]
    assert made["picture_width"].tolist()[:2] == [40, 10] and made["picture_height"].tolist()[:2] == [20, 30]
    assert made["picture_aspect"].tolist()[:2] == pytest.approx([2, 1 / 3])
    np.testing.assert_allclose(made["picture_pixels"][:2], np.log([800, 300]), rtol=1e-6)
    sizes = np.array([(folder / path).stat().st_size for path in posts["image_path"][:3]])
    np.testing.assert_allclose(made["picture_bytes"][:3], np.log1p(sizes), rtol=1e-6)
    np.testing.assert_allclose(made["picture_bits_per_pixel"][:2], 8 * sizes[:2] / [800, 300], rtol=1e-6)
    assert made["picture_mode"].tolist()[:2] == ["RGB", "L"]
    assert made.iloc[2:].drop(columns=["picture_missing", "picture_unreadable", "picture_bytes"]).isna().all(axis=None)
    shuffled = posts.iloc[[2, 0, 3, 1]].assign(label=1.0)
    pd.testing.assert_frame_equal(picture_stats.build(shuffled).loc[made.index], made, check_categorical=False)


def test_no_picture_at_all(folder, bare_posts):
    made = picture_stats.build(bare_posts)
    assert (made["picture_missing"] == 1).all() and not made["picture_unreadable"].any()
    assert made.drop(columns=["picture_missing", "picture_unreadable"]).isna().all(axis=None)
