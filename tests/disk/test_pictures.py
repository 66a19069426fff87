"""smp.disk.pictures on pictures of every sort, whole and damaged, written here."""

import struct
import zlib

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image

from smp.disk import pictures
from smp.errors import DataError


@pytest.fixture
def photo(tmp_path):
    """A 64 x 48 JPEG of smooth colours."""
    x, y = np.meshgrid(np.linspace(0, 255, 64), np.linspace(0, 255, 48))
    Image.fromarray(np.stack([x, y, 255 - x], axis=2).astype("uint8")).save(tmp_path / "photo.jpg", quality=95)
    return tmp_path / "photo.jpg"


def bomb(path, side=100_000):
    """A valid PNG header that claims side x side pixels in a few bytes."""
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + head
    body = struct.pack(">I", len(head)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body + b"\x00\x00\x00\x10IDAT" + b"\x00" * 20)
    return path


def test_header(photo):
    assert pictures.header(photo) == (64, 48, "RGB")


@pytest.mark.parametrize(
    ("mode", "suffix"), [("CMYK", "jpg"), ("L", "jpg"), ("P", "gif"), ("RGBA", "png"), ("1", "png")]
)
def test_any_mode_becomes_rgb(photo, tmp_path, mode, suffix):
    path = tmp_path / f"converted.{suffix}"
    original = Image.open(photo)
    original.convert(mode).save(path)
    assert pictures.header(path)[2] == mode
    picture = pictures.load_rgb(path)
    assert picture.mode == "RGB" and picture.size == (64, 48)
    if mode in ("CMYK", "P", "RGBA"):
        difference = np.asarray(picture, dtype=int) - np.asarray(original.convert("RGB"), dtype=int)
        assert np.abs(difference).mean() < 20


@pytest.mark.parametrize("mode", ["LA", "RGBA", "P"])
def test_transparency_lies_on_white(tmp_path, mode):
    picture = Image.new("RGBA", (4, 4), (0, 0, 0, 0)).convert("LA") if mode == "LA" else Image.new(mode, (4, 4), 0)
    picture.save(tmp_path / "clear.png", **({"transparency": 0} if mode == "P" else {}))
    assert np.asarray(pictures.load_rgb(tmp_path / "clear.png")).min() == 255


@pytest.mark.parametrize(("dtype", "suffix"), [("uint16", "png"), ("float32", "tiff")])
def test_deep_grey_is_scaled_not_clipped(tmp_path, dtype, suffix):
    ramp = np.linspace(0, 65535, 256).reshape(16, 16).astype(dtype)
    Image.fromarray(ramp).save(tmp_path / f"deep.{suffix}")
    levels = np.asarray(pictures.load_rgb(tmp_path / f"deep.{suffix}"))
    assert levels.shape == (16, 16, 3)
    np.testing.assert_allclose(levels[..., 0].ravel(), np.arange(256), atol=1)


def test_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    assert pictures.load_rgb(tmp_path / "moving.gif").getpixel((4, 4)) == (255, 0, 0)


def test_truncated_picture_keeps_what_is_there(photo, tmp_path):
    path = tmp_path / "cut.jpg"
    path.write_bytes(photo.read_bytes()[:-200])
    picture, whole = (np.asarray(image, dtype=int) for image in (pictures.load_rgb(path), Image.open(photo)))
    assert picture.shape == whole.shape
    np.testing.assert_array_equal(picture[:8], whole[:8])
    assert (picture[-1, -1] != whole[-1, -1]).any()


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"\xff\xd8\xff\xe0", b"%!PS-Adobe-3.0 EPSF-3.0\n"])
def test_what_is_no_picture(tmp_path, content):
    path = tmp_path / "broken.jpg"
    path.write_bytes(content)
    assert pictures.load_rgb(path) is None
    with pytest.raises(OSError):
        pictures.header(path)


def test_missing_or_folder(tmp_path):
    assert pictures.load_rgb(tmp_path / "absent.jpg") is None
    assert pictures.load_rgb(tmp_path) is None
    with pytest.raises(FileNotFoundError):
        pictures.header(tmp_path / "absent.jpg")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")  # pytest undoes the module's own filter
@pytest.mark.parametrize("side", [9_000, 12_000, 100_000])  # below and above the limits of Pillow itself
def test_pixel_limit_is_checked_before_decoding(tmp_path, side):
    path = bomb(tmp_path / "bomb.png", side)
    assert pictures.load_rgb(path) is None
    with pytest.raises(OSError, match="pixels"):
        pictures.header(path)


def test_fuzzed_pictures_never_raise(photo, tmp_path):
    rng = np.random.default_rng(0)
    Image.open(photo).convert("P").save(tmp_path / "photo.png")
    Image.open(photo).save(tmp_path / "photo.webp")
    path = tmp_path / "fuzzed"
    for source in (photo, tmp_path / "photo.png", tmp_path / "photo.webp"):
        content = np.frombuffer(source.read_bytes(), dtype="uint8")
        for _ in range(60):
            damaged = content.copy()
            damaged[rng.integers(0, len(damaged), 12)] = rng.integers(0, 256, 12)
            path.write_bytes(damaged.tobytes()[: rng.integers(8, len(damaged))])
            picture = pictures.load_rgb(path)
            assert picture is None or picture.mode == "RGB"


def test_scan(photo, tmp_path):
    (tmp_path / "empty.jpg").touch()
    bomb(tmp_path / "bomb.png")
    names = ["photo.jpg", "absent.jpg", "empty.jpg", "bomb.png", "a\0b.jpg"]
    table = pictures.scan(tmp_path, pd.Series(names, index=list("abcde")), workers=2)
    assert table.index.tolist() == list("abcde")
    assert table["status"].tolist() == ["ok", "missing", "unreadable", "unreadable", "missing"]
    assert table.loc["a", ["width", "height", "mode"]].tolist() == [64, 48, "RGB"]
    sizes = [photo.stat().st_size, np.nan, 0, (tmp_path / "bomb.png").stat().st_size, np.nan]
    np.testing.assert_array_equal(table["file_size"], sizes)
    assert table.loc["b":, ["width", "height", "mode"]].isna().all(axis=None)
    assert table["width"].dtype == "float32"


def test_scan_keeps_the_order_over_many_chunks(photo, tmp_path):
    names = ["photo.jpg" if i % 3 else f"{i}.jpg" for i in range(2000)]
    status = pictures.scan(tmp_path, names, workers=8)["status"]
    assert (status == "ok").tolist() == [i % 3 > 0 for i in range(2000)]
    assert len(pictures.scan(tmp_path, [], workers=1)) == 0


def test_scan_stays_in_the_folder(photo, tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "inside.jpg").symlink_to("real.jpg")
    (folder / "real.jpg").write_bytes(photo.read_bytes())
    (folder / "outside.jpg").symlink_to(photo)
    (tmp_path / "link").symlink_to(folder)  # the folder itself may be a link
    assert pictures.scan(tmp_path / "link", ["inside.jpg", "real.jpg"])["status"].eq("ok").all()
    for path in ("outside.jpg", "../photo.jpg", str(photo)):
        with pytest.raises(DataError, match="leads out of the data folder"):
            pictures.scan(folder, [path])


def test_leaves_folder():
    bad = ["", "/a", "../a", "a/../../b", "a/..", "..", "C:\\a", "..\\a", "\\\\host\\a", "a\0"]
    good = ["a", "train/59@N75/775.jpg", "a..b/c", "...", "train/a b.jpg"]
    assert pictures.leaves_folder(pa.array(bad)).to_pylist() == [True] * len(bad)
    assert pictures.leaves_folder(pa.array(good)).to_pylist() == [False] * len(good)
