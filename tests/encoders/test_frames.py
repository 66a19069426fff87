"""Frames of small clips written here, and their mean embedding against direct calls of the picture encoder."""

import os

import av
import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from smp.disk.store import read_embeddings
from smp.encoders import Encoder, Loading, encode_posts, frames
from smp.encoders.frames import frame_encoder, read_frames, video_paths
from smp.errors import DataError

LOADING = Loading(batch_size=2, workers=0, precision="fp32", shard_size=4)


def write_clip(path, levels, rate=10, gop=12):
    """A grey clip whose frame t has the brightness levels[t]."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width = stream.height = 64
        stream.pix_fmt, stream.gop_size, stream.bit_rate = "yuv420p", gop, 2_000_000
        for level in levels:
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), level, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return str(path)


def brightness(pictures):
    return np.array([np.asarray(picture).mean() for picture in pictures])


@pytest.mark.parametrize("gop", [1, 12, 100])
@pytest.mark.parametrize("suffix", ["mp4", "avi", "mkv"])
def test_frames_come_from_the_middles_of_equal_parts(tmp_path, suffix, gop):
    path = write_clip(tmp_path / f"a.{suffix}", np.arange(0, 240, 4), gop=gop)  # 60 frames, 4 levels a frame
    found = brightness(read_frames(path, 4))
    np.testing.assert_allclose(found, 4 * np.array([7.5, 22.5, 37.5, 52.5]), atol=9)  # a frame or two, and the codec


def test_a_clip_shorter_than_the_frames_asked_for_repeats_or_gives_what_it_has(tmp_path):
    found = read_frames(write_clip(tmp_path / "one.mp4", [200]), 5)
    assert 1 <= len(found) <= 5 and np.ptp(brightness(found)) < 2 and abs(brightness(found)[0] - 200) < 6


def test_a_stream_that_does_not_say_its_length_is_decoded_from_start_to_end(tmp_path):
    with av.open(str(tmp_path / "raw.mjpeg"), "w", format="mjpeg") as container:
        stream = container.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuvj420p"
        for level in range(0, 240, 4):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), level, np.uint8), format="rgb24")
            container.mux(stream.encode(frame.reformat(format="yuvj420p")))
        container.mux(stream.encode())
    with av.open(str(tmp_path / "raw.mjpeg")) as container:
        assert not container.streams.video[0].duration and not container.duration
    found = brightness(read_frames(tmp_path / "raw.mjpeg", 4))
    np.testing.assert_allclose(found, 4 * np.array([7.5, 22.5, 37.5, 52.5]), atol=9)


def test_damaged_files_never_raise(tmp_path):
    whole = (tmp_path / "a.avi", write_clip(tmp_path / "a.avi", np.arange(0, 240, 4)))[0].read_bytes()
    (tmp_path / "cut.avi").write_bytes(whole[: len(whole) * 2 // 3])
    (tmp_path / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(5000))
    (tmp_path / "empty.mp4").touch()
    assert 1 <= len(read_frames(tmp_path / "cut.avi", 6)) <= 6
    for name in ("noise.mp4", "empty.mp4", "missing.mp4", ""):
        assert read_frames(tmp_path / name if name else "", 6) == []


@pytest.mark.parametrize("suffix", ["mp4", "avi", "mkv", "mpeg"])
def test_frames_over_the_pixel_limit_of_pictures_are_unreadable(tmp_path, monkeypatch, suffix):
    path = write_clip(tmp_path / f"a.{suffix}", np.arange(0, 240, 4), rate=25)
    monkeypatch.setattr(frames, "MAX_PIXELS", 100_000)  # the decoder counts its own margins too
    assert len(read_frames(path, 4)) == 4
    monkeypatch.setattr(frames, "MAX_PIXELS", 64 * 64 - 1)
    assert read_frames(path, 4) == []


@pytest.mark.parametrize("link", ["file", "folder"])
def test_a_video_outside_the_folder_is_refused(tmp_path, link):
    posts = pd.DataFrame({"video_path": ["train/U/0.mp4", ""]}, index=["P0", "P1"])
    write_clip(tmp_path / "elsewhere" / "0.mp4", [200])
    home = tmp_path / "data" / "train"
    home.mkdir(parents=True)
    if link == "folder":
        (home / "U").symlink_to(tmp_path / "elsewhere")
    else:
        (home / "U").mkdir()
        (home / "U" / "0.mp4").symlink_to(tmp_path / "elsewhere" / "0.mp4")
    with pytest.raises(DataError, match="leads out of the data folder; move the files into it"):
        video_paths(posts, tmp_path / "data")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_nobody_waits_for_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "a.mp4")
    assert read_frames(tmp_path / "a.mp4", 3) == []


@pytest.fixture
def pictures():
    """A picture encoder whose embedding is a fixed linear map of the mean colour."""
    net = nn.Linear(3, 5).requires_grad_(False)

    def prepare(items):
        return torch.stack([torch.tensor(np.asarray(i).mean((0, 1)), dtype=torch.float32) for i in items])

    return Encoder(net, "image", prepare, lambda x: {"image": net(x)}, ("image",), "linear")


@pytest.mark.parametrize("workers", [0, 2])
def test_a_video_is_the_mean_of_its_frames_and_an_unreadable_one_is_zero_in_its_own_row(tmp_path, pictures, workers):
    rng = np.random.default_rng(0)
    ids = pd.Index([f"P{i}" for i in range(7)], name="post_id")
    posts = pd.DataFrame({"video_path": [f"train/U/{i}.mp4" for i in range(7)]}, index=ids)
    for i in (0, 3, 4, 6):
        write_clip(tmp_path / "data" / "train" / "U" / f"{i}.mp4", rng.integers(0, 255, 12 + i))
    (tmp_path / "data" / "train" / "U" / "2.mp4").write_text("not a video")
    posts.loc["P5", "video_path"] = ""
    paths = video_paths(posts, tmp_path / "data")
    assert paths[5] == "" and paths[0].endswith("data/train/U/0.mp4")

    loading = Loading(batch_size=2, workers=workers, precision="fp32", shard_size=4)
    encode_posts(frame_encoder(pictures, 3), paths, ids, tmp_path, "video", "data", loading)
    found_ids, found = read_embeddings(tmp_path, "video_image")
    assert found_ids.equals(ids) and np.flatnonzero(~found.any(1)).tolist() == [1, 2, 5]
    for i in (0, 3, 4, 6):
        direct = pictures.module(pictures.prepare(read_frames(paths[i], 3))).mean(0)
        np.testing.assert_allclose(found[i], direct, rtol=2e-3, atol=1e-2)


def test_another_number_of_frames_is_encoded_anew_and_the_same_is_kept(tmp_path, pictures):
    paths = [write_clip(tmp_path / "a.mp4", np.arange(0, 240, 4))]
    ids = pd.Index(["P0"], name="post_id")
    encode_posts(frame_encoder(pictures, 1), paths, ids, tmp_path, "video", "data", LOADING)
    stamp = (tmp_path / "video_image.npy").stat().st_mtime_ns
    encode_posts(frame_encoder(pictures, 1), paths, ids, tmp_path, "video", "data", LOADING)
    assert (tmp_path / "video_image.npy").stat().st_mtime_ns == stamp
    encode_posts(frame_encoder(pictures, 2), paths, ids, tmp_path, "video", "data", LOADING)
    assert (tmp_path / "video_image.npy").stat().st_mtime_ns > stamp


def test_pictures_are_not_touched_by_a_blank_stand_in(pictures):
    batch = frame_encoder(pictures, 2).prepare(["", ""])
    made = frame_encoder(pictures, 2).encode(batch)["image"]
    assert made.shape == (2, 5) and not made.any()
