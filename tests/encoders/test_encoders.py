"""Every kind of encoder against a direct call of its network, on pictures of which some are broken."""

import json
import multiprocessing
import pickle
import shutil
import types
from dataclasses import replace

import numpy as np
import open_clip
import pandas as pd
import pyarrow as pa
import pytest
import torch
from PIL import Image
from torch.nn.functional import normalize

from smp.disk.store import read_embeddings
from smp.encoders import Loading, base, contrastive, descriptions, encode_posts
from smp.encoders.clip import Clip, image_encoder, load_clip, text_encoder
from smp.encoders.contrastive import SmallClip, pretrain
from smp.encoders.frames import frame_encoder
from smp.encoders.hf import blip, packaged_minilm, transformers_text
from smp.encoders.timm_image import timm_encoder
from smp.errors import DataError
from smp.nn.parallel import precision_on

LOADING = Loading(batch_size=3, workers=0, precision="fp32", shard_size=4)
IDS = pd.Index(list("abcdefg"), name="post_id")
TEXTS = ["a dog", "", "two words more", "x " * 100, "snow", "snow", "!"]
TEXT = {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
VISION = {"image_size": 32, "patch_size": 16, "width": 32, "layers": 2, "head_width": 16}


@pytest.fixture
def pictures(tmp_path):
    """Seven paths: one missing, one no picture, one cut off, one in grey."""
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{i}.jpg" for i in range(7)]
    for path in paths:
        Image.fromarray(rng.integers(0, 255, (50, 70, 3), dtype=np.uint8)).save(path)
    paths[1].unlink()
    paths[2].write_text("not a picture")
    paths[3].write_bytes(paths[3].read_bytes()[:-700])
    Image.open(paths[4]).convert("L").save(paths[4])
    return [str(path) for path in paths]


@pytest.fixture
def clip():
    torch.manual_seed(0)
    net = open_clip.CLIP(16, VISION, TEXT).eval()
    transform = open_clip.image_transform(32, is_train=False)
    return Clip(net, transform, open_clip.SimpleTokenizer(context_length=16), "tiny")


@pytest.mark.parametrize("workers", [0, 2])
def test_pictures_are_encoded_and_broken_ones_are_zero(clip, pictures, tmp_path, workers):
    loading = Loading(batch_size=3, workers=workers, precision="fp32", shard_size=4)
    encode_posts(image_encoder(clip), pictures, IDS, tmp_path, "clip", "data", loading)
    ids, found = read_embeddings(tmp_path, "clip_image")
    assert ids.equals(IDS) and np.flatnonzero(~found.any(1)).tolist() == [1, 2]
    for i in (0, 3, 4):
        with torch.no_grad():
            pixels = clip.transform(Image.open(pictures[i]).convert("RGB"))[None]
            np.testing.assert_allclose(found[i], clip.net.encode_image(pixels, normalize=True)[0], atol=1e-3)


def test_texts_are_encoded_whole_and_token_by_token(clip, tmp_path):
    encode_posts(text_encoder(clip), TEXTS, IDS, tmp_path, "clip", "data", LOADING)
    found = read_embeddings(tmp_path, "clip_text")[1]
    with torch.no_grad():
        np.testing.assert_allclose(found, clip.net.encode_text(clip.tokenizer(TEXTS), normalize=True), atol=1e-3)
    ids, tokens = read_embeddings(tmp_path, "clip_tokens")
    assert ids.value_counts().reindex(IDS, fill_value=0).tolist() == [2, 0, 3, 14, 1, 1, 1]
    np.testing.assert_allclose(np.linalg.norm(tokens.astype(np.float32), axis=1), 1, atol=2e-3)
    np.testing.assert_array_equal(tokens[ids == "e"], tokens[ids == "f"])


def test_other_weights_data_or_precision_are_encoded_anew_and_another_model_refused(
    clip, pictures, tmp_path, monkeypatch
):
    def made(source, data):
        encode_posts(image_encoder(clip._replace(source=source)), pictures, IDS, tmp_path, "clip", data, LOADING)
        return (tmp_path / "clip_image.npy").stat().st_mtime_ns

    first = made("tiny 0123456789abcdef", "data")
    assert made("tiny 0123456789abcdef", "data") == first
    second = made("tiny 0123456789abcdef", "other data")
    third = made("tiny fedcba9876543210", "other data")
    assert len({first, second, third}) == 3
    with pytest.raises(DataError, match=r"clip_image.npy: features of tiny fedc.*; keep both with another --prefix"):
        made("large fedcba9876543210", "other data")
    assert made("tiny fedcba9876543210", "other data") == third
    with monkeypatch.context() as patch:
        patch.setattr(base, "precision_on", lambda target, precision: "bf16")  # as on a GPU
        assert made("tiny fedcba9876543210", "other data") != third


def test_the_cpu_computes_in_full_precision_and_a_gpu_in_what_is_asked_for():
    assert precision_on(torch.device("cpu"), "bf16") == "fp32"
    assert [precision_on(torch.device("cuda", 1), p) for p in ("fp32", "bf16", "fp16")] == ["fp32", "bf16", "fp16"]


def test_workers_may_start_afresh(clip, pictures, tmp_path):
    """What is sent to them, pickled as by spawn, holds no network nor map of the store; they make the same batches."""
    image, text = image_encoder(clip), text_encoder(clip)
    before = multiprocessing.get_start_method()
    multiprocessing.set_start_method("forkserver", force=True)
    try:
        for workers in (0, 1):
            loading = Loading(batch_size=3, workers=workers, precision="fp32", shard_size=4)
            encode_posts(image, pictures, IDS, tmp_path / str(workers), "clip", "data", loading)
    finally:
        multiprocessing.set_start_method(before, force=True)
    found = [read_embeddings(tmp_path / str(workers), "clip_image")[1] for workers in (0, 1)]
    np.testing.assert_array_equal(*found)
    network = sum(p.numel() for p in clip.net.visual.parameters())
    for encoder in (image, text, *blip("random"), timm_encoder("test_vit", "random"), transformers_text("minilm")):
        for sent in (encoder, frame_encoder(encoder, 2)) if encoder.reads == "image" else (encoder,):
            batches = pickle.loads(pickle.dumps(base._Batches(sent, ["a"], [np.array([0])])))  # as multiprocessing does
            assert len(batches) == 1 and not any(isinstance(v, torch.nn.Module) for v in vars(batches).values())
    assert len(pickle.dumps(base._Batches(image, pictures, []))) < network


def test_the_weights_of_a_local_file_keep_the_settings_of_their_tag(tmp_path, monkeypatch):
    file, seen = tmp_path / "w.safetensors", []
    file.write_bytes(b"weights")
    net = types.SimpleNamespace(eval=lambda: None)
    monkeypatch.setattr(open_clip, "create_model_and_transforms", lambda *a, **k: seen.append((a, k)) or (net, 0, 0))
    monkeypatch.setattr("smp.encoders.clip.hub_files", lambda repo, choices: seen.append((repo, choices)) or tmp_path)
    load_clip("ViT-B-32", f"openai={file}")
    assert seen[-1][1]["force_quick_gelu"] and seen[-1][1]["pretrained"] == str(file)
    load_clip("ViT-B-32", f"laion2b_s34b_b79k={file}")
    assert not seen[-1][1]["force_quick_gelu"]
    with pytest.raises(DataError, match=rf"activation .* write TAG={file}, TAG one of openai, laion400m_e31"):
        load_clip("ViT-B-32", str(file))
    load_clip("ViT-H-14-378-quickgelu", str(file))  # of one tag alone
    assert seen[-1][1]["force_quick_gelu"] and seen[-1][1]["image_resize_mode"] == "squash"
    (tmp_path / "pytorch_model.bin").write_bytes(b"weights")
    load_clip("ViTamin-S", "datacomp1b")  # a tag that names a file
    assert seen[-2] == ("jienengchen/ViTamin-S", [["pytorch_model.bin"]])
    assert seen[-1][1]["pretrained"] == str(tmp_path / "pytorch_model.bin")


def test_half_precision_weights_are_computed_with_in_full(tmp_path):
    import transformers

    shutil.copytree(packaged_minilm(), tmp_path / "half", ignore=shutil.ignore_patterns("*.safetensors"))
    net = transformers.AutoModel.from_pretrained(packaged_minilm(), local_files_only=True).half()
    net.save_pretrained(tmp_path / "half")
    assert next(transformers.AutoModel.from_pretrained(tmp_path / "half").parameters()).dtype == torch.float16
    assert {p.dtype for p in transformers_text(str(tmp_path / "half")).module.parameters()} == {torch.float32}


def test_another_size_or_file_of_weights_is_another_source(tmp_path):
    from safetensors.torch import load_file, save_file

    sizes = [timm_encoder("tf_efficientnet_lite0", "efficientnet-lite0", size).source for size in (0, 64, 96)]
    assert len(set(sizes)) == 3 and sizes[0].endswith("224 px)")
    file, folder = tmp_path / "vit.safetensors", tmp_path / "minilm"
    save_file(timm_encoder("test_vit", "random").module.state_dict(), file)
    shutil.copytree(packaged_minilm(), folder)
    for path, load in (
        (file, lambda: timm_encoder("test_vit", str(file))),
        (folder / "model.safetensors", lambda: transformers_text(str(folder))),
    ):
        before = load().source
        assert load().source == before
        state = load_file(path)
        state[min(state)] += 1
        save_file(state, path, {"format": "pt"})
        assert load().source != before


def test_packaged_efficientnet_knows_its_pictures(pictures, tmp_path):
    encoder = timm_encoder("tf_efficientnet_lite0", "efficientnet-lite0", size=64)
    encode_posts(encoder, pictures, IDS, tmp_path, "resnet", "data", LOADING)
    found = read_embeddings(tmp_path, "resnet_image")[1]
    assert found.shape == (7, 1280) and np.isfinite(found).all() and np.flatnonzero(~found.any(1)).tolist() == [1, 2]
    # in a network whose weights are in the wrong places these means are far from what they were in training
    norm = encoder.module.bn2
    seen = []
    hook = norm.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    smooth = torch.nn.functional.interpolate(torch.rand(16, 3, 6, 6) * 2 - 1, size=(224, 224), mode="bicubic")
    with torch.no_grad():
        encoder.module(smooth)
    hook.remove()
    z = (seen[0].mean((0, 2, 3)) - norm.running_mean) / norm.running_var.sqrt()
    assert z.abs().median() < 1


def test_packaged_minilm_tells_meanings_apart(tmp_path):
    texts = ["a dog runs on the grass", "", "a puppy plays in a meadow", "stock prices fell", "x" * 9, "y", "snow"]
    encode_posts(transformers_text("minilm"), texts, IDS, tmp_path, "bert", "data", LOADING)
    found = normalize(torch.from_numpy(read_embeddings(tmp_path, "bert_text")[1].astype(np.float32)), dim=1)
    cosine = found @ found.T
    assert found.shape == (7, 384) and cosine[0, 2] > 0.4 > 0.2 > cosine[0, 3]


def test_random_routes_say_so_and_are_the_same_every_time(pictures, tmp_path):
    for folder in ("one", "two"):
        image, text = blip("random")
        vit = timm_encoder("test_vit", "random")
        assert all("RANDOM" in encoder.source for encoder in (image, text, vit))
        for encoder, items, name in ((image, pictures, "blip"), (text, TEXTS, "blip"), (vit, pictures, "vit")):
            encode_posts(encoder, items, IDS, tmp_path / folder, name, "data", LOADING)
    for name in ("blip_image", "blip_text", "vit_image"):
        one, two = (read_embeddings(tmp_path / folder, name)[1] for folder in ("one", "two"))
        np.testing.assert_array_equal(one, two)
        assert np.isfinite(one).all() and len(np.unique(one.round(3), axis=0)) > 3


def test_blip2_features_lie_in_the_space_of_its_own_retrieval_scores(pictures, tmp_path):
    """A tiny random checkpoint against the network's own contrastive score: the best query's cosine with the text."""
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(packaged_minilm(), local_files_only=True)
    layers = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 32, "intermediate_size": 64}
    words = {"vocab_size": len(tokenizer), "use_qformer_text_input": True, "encoder_hidden_size": 32}
    config = transformers.Blip2Config(
        vision_config={**layers, "image_size": 32, "patch_size": 16, "initializer_range": 0.2},
        qformer_config={**layers, **words, "initializer_range": 0.2},
        text_config={"model_type": "opt", "vocab_size": 8, "hidden_size": 32},
        num_query_tokens=1,  # with one query the mean of the queries is the best one
        image_text_hidden_size=16,
    )
    torch.manual_seed(0)
    net = transformers.Blip2ForImageTextRetrieval(config).eval()
    net.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    processor = transformers.BlipImageProcessor(size={"height": 32, "width": 32})
    processor.save_pretrained(tmp_path)
    image, text = blip(str(tmp_path))
    encode_posts(image, pictures, IDS, tmp_path, "blip", "data", LOADING)
    encode_posts(text, TEXTS, IDS, tmp_path, "blip", "data", LOADING)
    seen, said = (read_embeddings(tmp_path, f"blip_{kind}")[1].astype(np.float32) for kind in ("image", "text"))
    assert np.flatnonzero(~seen.any(1)).tolist() == [1, 2]
    there = [0, 3, 4, 5, 6]
    with torch.no_grad():
        own = net(
            pixel_values=processor([Image.open(pictures[i]) for i in there], return_tensors="pt")["pixel_values"],
            **text.prepare(TEXTS),
            use_image_text_matching_head=False,
        ).logits_per_image.numpy()
    assert own.std() > 0.01
    np.testing.assert_allclose(seen[there] @ said.T, own, atol=5e-3)


def test_missing_weights_are_named_with_their_place(tmp_path, monkeypatch):
    import huggingface_hub as hub

    monkeypatch.setenv("SMP_INPUT", str(tmp_path))

    def nothing(*_, **__):
        raise hub.errors.LocalEntryNotFoundError("not cached")

    monkeypatch.setattr(hub, "snapshot_download", nothing)
    monkeypatch.setattr(hub, "get_session", nothing)
    place = tmp_path / "weights"
    for load, file in (
        (lambda: load_clip("ViT-B-32", "openai"), "timm--vit_base_patch32_clip_224.openai/open_clip_model.safetensors"),
        (lambda: timm_encoder("resnet50.a1_in1k"), "timm--resnet50.a1_in1k/model.safetensors"),
        (lambda: transformers_text("google-bert/bert-base-uncased"), "google-bert--bert-base-uncased/config.json"),
    ):
        with pytest.raises(DataError) as error:
            load()
        assert str(place / file) in str(error.value) and "https://huggingface.co/" in str(error.value)
    (place / "google-bert--bert-base-uncased").mkdir(parents=True)
    (place / "google-bert--bert-base-uncased" / "config.json").touch()  # the weights themselves are still lacking
    with pytest.raises(DataError, match=r"uncased/\*\.safetensors: no such file"):
        transformers_text("google-bert/bert-base-uncased")
    with pytest.raises(DataError, match="neither a weights file nor a tag"):
        load_clip("ViT-B-32", "no-such-tag")
    with pytest.raises(DataError, match=r"python exp/nowhere/train\.py"):
        load_clip(f"local-dir:{tmp_path}/nowhere")


def test_weights_laid_beside_the_data_are_used(tmp_path, monkeypatch):
    from safetensors.torch import save_file

    monkeypatch.setenv("SMP_INPUT", str(tmp_path))
    encoder = timm_encoder("test_vit", "random")
    folder = tmp_path / "weights" / "timm--test_vit.r160_in1k"
    folder.mkdir(parents=True)
    import timm

    save_file(timm.create_model("test_vit").state_dict() | encoder.module.state_dict(), folder / "model.safetensors")
    loaded = timm_encoder("test_vit.r160_in1k")
    for a, b in zip(loaded.module.parameters(), encoder.module.parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_small_clip_learns_pairs_goes_on_exactly_when_stopped_and_loads_like_any_checkpoint(tmp_path, monkeypatch):
    colours = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (30, 40, 220), "white": (240, 240, 240)}
    rng, paths, texts = np.random.default_rng(0), [], []
    for i in range(64):
        name = list(colours)[i % 4]
        noise = rng.integers(-20, 20, (40, 40, 3))
        paths.append(str(tmp_path / f"{i}.png"))
        texts.append(f"a {name} thing")
        Image.fromarray(np.clip(np.array(colours[name]) + noise, 0, 255).astype(np.uint8)).save(paths[-1])
    paths[5], texts[6] = str(tmp_path / "missing.png"), ""
    vision = {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "head_width": 32}
    config = SmallClip(16, vision, {**TEXT, "context_length": 12}, pairs_seen=1200, batch_size=16, learning_rate=3e-3)
    history = pretrain(config, paths, texts, tmp_path / "learnt", workers=0)
    assert history[-1] < history[0]
    config = replace(config, pairs_seen=400)
    history = pretrain(config, paths, texts, tmp_path / "small", workers=0)
    with monkeypatch.context() as patch:
        left = iter(range(14))  # of 8 epochs' 24 steps
        plain = contrastive._augment
        patch.setattr(contrastive, "_augment", lambda *a: plain(*a) if next(left, None) is not None else 1 / 0)
        with pytest.raises(ZeroDivisionError):
            pretrain(config, paths, texts, tmp_path / "stopped", workers=0)
    assert [p.name for p in (tmp_path / "stopped").iterdir()] == ["checkpoint.pt"]
    with monkeypatch.context() as patch:
        left = iter(range(24 - 12))  # what is left after the checkpoint of epoch 4
        patch.setattr(contrastive, "_augment", lambda *a: plain(*a) if next(left, None) is not None else 1 / 0)
        assert pretrain(config, paths, texts, tmp_path / "stopped", workers=0) == history
    (tmp_path / "stopped" / "checkpoint.pt").touch()  # as if killed before it was removed, or metrics.json written
    with monkeypatch.context() as patch:
        patch.setattr(contrastive, "_decode", lambda *_: 1 / 0)
        assert pretrain(config, paths, texts, tmp_path / "stopped", workers=0) == history
    assert {p.name for p in (tmp_path / "stopped").iterdir()} == {contrastive.WEIGHTS, "open_clip_config.json"}
    for name in (contrastive.WEIGHTS, "open_clip_config.json"):
        assert (tmp_path / "stopped" / name).read_bytes() == (tmp_path / "small" / name).read_bytes()
    assert json.loads((tmp_path / "small" / "open_clip_config.json").read_text())["model_cfg"]["embed_dim"] == 16
    clip = load_clip(f"local-dir:{tmp_path / 'learnt'}")
    with torch.no_grad():
        image = clip.net.encode_image(torch.stack([clip.transform(Image.open(p)) for p in paths[:4]]), normalize=True)
        text = clip.net.encode_text(clip.tokenizer([f"a {name} thing" for name in colours]), normalize=True)
    assert (image @ text.T).argmax(1).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("left", ["no words", "one text", "no picture"])
def test_a_small_clip_of_fewer_than_two_pairs_is_refused(pictures, tmp_path, left):
    paths = [str(tmp_path / "missing.jpg")] * 7 if left == "no picture" else pictures
    texts = {"no words": [""] * 7, "one text": ["a dog"] + [""] * 6, "no picture": ["a dog"] * 7}[left]
    with pytest.raises(DataError, match=r"[01] of 7 training posts have both .* python -m smp\.check image") as caught:
        pretrain(SmallClip(), paths, texts, tmp_path / "small", workers=0)
    assert "\n" not in str(caught.value) and not (tmp_path / "small").exists()


def test_descriptions_join_titles_and_tags():
    tags = pd.arrays.ArrowExtensionArray(pa.array([["a", "b"], [], ["c"]], pa.list_(pa.string())))
    posts = pd.DataFrame({"title": ["Hello", "World", ""], "tags": tags})
    assert descriptions(posts) == ["Hello a b", "World", "c"]
    assert descriptions(posts, "title") == ["Hello", "World", ""]
    assert descriptions(posts, "tags") == ["a b", "", "c"]
