"""The stored features of eq. 11 against the model itself, block by block."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import entropy
from sklearn.decomposition import PCA

from smp.clip_ft import extract, prototypes
from smp.clip_ft.extract import BLOCKS, BRANCHES, classify, outputs, pca, statistics, store_features
from smp.clip_ft.fit import class_means, fit
from smp.clip_ft.model import ModelConfig, contrastive
from smp.clip_ft.towers import Towers
from smp.disk.store import read_embeddings, read_table, write_embeddings
from smp.encoders import Loading
from smp.encoders.components import project

LOADING = Loading(batch_size=16, workers=0, precision="fp32", shard_size=50)
MISSING = (3, 40)


@pytest.fixture
def stored(tiny, tmp_path):
    """A trained model on posts of which two have no picture and one no class, and what it stored of all."""

    def make(**model):
        tiny.write_store(tmp_path, tiny.make_posts(), missing=MISSING)
        task = tiny.make_task(tmp_path, model=ModelConfig(shots=8, context_length=4, heads=2, **model))
        task.inputs.label[7] = -1
        _, step, _ = fit(task, np.ones(120, bool), tmp_path, "all")
        store_features(step, task.inputs, task.posts.index, tmp_path, "clip_ft", "key", LOADING, budget=(3,) * 7)
        F = read_embeddings(tmp_path, "clip_ft")[1].astype(np.float32).reshape(120, len(BLOCKS), tiny.DIM)
        return (
            task,
            step,
            dict(zip(BLOCKS, F.transpose(1, 0, 2))),
            read_embeddings(tmp_path, "clip_ft_probabilities")[1],
        )

    return make


def forward(task, step):
    with torch.no_grad():
        features = step.towers.features(task.inputs.batch(np.arange(120)))
        G, L = step.model.classes(step.towers.text)
        return features, *step.model(features, G, L), G, L


def test_what_is_stored_is_made_again_for_another_precision_alone(stored, tmp_path, monkeypatch):
    task, step, *_ = stored()
    ran = []
    monkeypatch.setattr(extract, "outputs", lambda *a: ran.append(a) or outputs(*a))
    for precision, times in (("fp32", 0), ("bf16", 1), ("bf16", 1)):
        monkeypatch.setattr(extract, "precision_on", lambda *_, p=precision: p)
        store_features(step, task.inputs, task.posts.index, tmp_path, "clip_ft", "key", LOADING)
        assert len(ran) == times


def test_blocks_are_those_of_equation_11(stored):
    task, step, F, P = stored()
    features, logits, x, prototypes, G, L = forward(task, step)
    c = torch.from_numpy(task.inputs.label.copy())
    c[7] = logits.cross[7].argmax()  # no class given: the predicted one's prompts and prototypes
    rows = torch.arange(120)
    x[list(MISSING)] = 0
    expected = (features.image, features.text, G[c], L[c], x, prototypes.of(c), prototypes.of(c + 4))
    for name, block in zip(BLOCKS, expected):
        np.testing.assert_allclose(F[name], block, atol=2e-3, err_msg=name)
    with_picture = np.setdiff1d(rows, MISSING)
    np.testing.assert_allclose(P[with_picture], logits.cross.softmax(1)[with_picture], atol=2e-3)
    np.testing.assert_allclose(P[list(MISSING)], logits.global_text.softmax(1)[list(MISSING)], atol=2e-3)


def test_a_post_may_get_its_predicted_class_instead(stored):
    task, step, F, P = stored(class_of_post="predicted")
    *_, G, _ = forward(task, step)
    np.testing.assert_allclose(F["global_prompt"], G[P.argmax(1).astype(int)], atol=2e-3)


def test_posts_without_a_picture_have_zero_rows_and_a_flag(stored, tmp_path):
    task, _, F, _ = stored()
    table = read_table(tmp_path / "clip_ft_stats.parquet")
    assert np.flatnonzero(table["clip_ft_image_missing"]).tolist() == list(MISSING)
    for name in ("image", "projected_image"):
        assert np.flatnonzero(~F[name].any(1)).tolist() == list(MISSING)
    of_picture = table[[f"clip_ft_{name}" for name in (*(f"fit_{b}" for b in BRANCHES[2:]), "cosine", "cosine_visual")]]
    assert (of_picture.isna().to_numpy() == table[["clip_ft_image_missing"]].eq(1).to_numpy()).all()
    _, mask = task.inputs.store.tokens(np.arange(120))
    of_text = table[["clip_ft_fit_global_text", "clip_ft_fit_local_text"]]
    assert (~mask.any(1)).sum() > 5 and (of_text.isna().to_numpy() == ~mask.any(1)[:, None]).all()
    either = table["clip_ft_image_missing"].eq(1) | ~mask.any(1)
    assert (table["clip_ft_cosine_clip"].isna() == either).all()
    assert table[["clip_ft_confidence", "clip_ft_entropy"]].notna().all(axis=None)


def test_an_unfrozen_tower_sees_no_picture_either_where_there_is_none(tiny, stored, tmp_path, monkeypatch):
    task, step, *_ = stored()
    plain, blank = step.towers.features, torch.ones(120, tiny.DIM) / 4  # what it makes of a grey picture
    monkeypatch.setattr(step.towers, "features", lambda batch: plain(batch)._replace(image=blank))
    rows = np.arange(120)
    [(_, _, features, *_)] = outputs(step, task.inputs, [rows], "fp32", 0)
    assert np.flatnonzero(~features.image.any(1)).tolist() == list(MISSING)


def test_statistics_are_cosines_and_entropies_of_the_stored_rows(stored, tmp_path):
    task, step, F, P = stored()
    table = statistics(tmp_path, "clip_ft")
    unit = {k: v / np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1e-6) for k, v in F.items()}
    for name, one, other in (
        ("cosine_clip", "image", "text"),
        ("cosine", "projected_image", "textual_prototype"),
        ("cosine_visual", "projected_image", "visual_prototype"),
    ):
        found, cosine = table[f"clip_ft_{name}"], (unit[one] * unit[other]).sum(1)
        np.testing.assert_allclose(found, np.where(found.isna(), np.nan, cosine), atol=1e-5)
    _, logits, *_ = forward(task, step)
    rows = np.flatnonzero(task.inputs.label >= 0)
    for branch in BRANCHES:
        own = -torch.nn.functional.cross_entropy(
            getattr(logits, branch)[rows], torch.from_numpy(task.inputs.label[rows]), reduction="none"
        )
        found = table[f"clip_ft_fit_{branch}"].iloc[rows]
        np.testing.assert_allclose(found, np.where(found.isna(), np.nan, own), atol=2e-2)
    assert (table["clip_ft_confidence"] == P.max(1)).all()
    np.testing.assert_allclose(table["clip_ft_entropy"], entropy(P.astype(float), axis=1), atol=2e-3)


def test_losses_are_the_cross_entropies_of_the_branches(stored):
    task, step, _, _ = stored()
    _, mask = task.inputs.store.tokens(np.arange(120))
    has_text, has_image = mask.any(1), task.inputs.has_image
    rows = np.random.default_rng(0).permutation(np.flatnonzero(task.inputs.label >= 0))
    table = classify(step, task.inputs, rows, "fp32")
    _, logits, *_ = forward(task, step)
    label = torch.from_numpy(task.inputs.label)
    cross = (logits.visual + logits.textual) / 2
    for name, z in (("global", logits.global_text), ("local", logits.local_text), ("cross", cross)):
        expected = -z.log_softmax(1)[range(120), label].numpy()
        expected = np.where(has_image if name == "cross" else has_text, expected, np.nan)[rows]
        assert 0 < np.isnan(expected).sum() < 60, "what is not there has no loss"
        np.testing.assert_allclose(table[f"loss_{name}"], expected, rtol=1e-4, atol=1e-5)
    assert table.index.tolist() == rows.tolist()
    assert (table["cross"].to_numpy() == logits.cross.argmax(1).numpy()[rows]).all()


def test_pca_is_that_of_scikit_learn_in_every_block(tmp_path):
    rng = np.random.default_rng(0)
    array = (rng.standard_normal((200, 24)) * np.linspace(1, 3, 24)).astype(np.float16)
    write_embeddings(tmp_path, "x", [str(i) for i in range(200)], array)
    kept = pca(tmp_path, "x", (3, 3), key="k")
    found = read_embeddings(tmp_path, "x_pca")[1].astype(np.float32)
    for block in range(2):
        reference = PCA(3, svd_solver="full").fit(array[:, block * 12 : block * 12 + 12].astype(np.float64))
        theirs = reference.transform(array[:, block * 12 : block * 12 + 12].astype(np.float64))
        ours = found[:, block * 3 : block * 3 + 3]
        np.testing.assert_allclose(np.abs(ours), np.abs(theirs), atol=2e-2)
        assert kept[block] == pytest.approx(reference.explained_variance_ratio_.sum())
    assert pca(tmp_path, "x", (0, 2, 0), key="other")[::2] == [0, 0]  # a block may be left out
    reference = PCA(2, svd_solver="full").fit_transform(array[:, 8:16].astype(np.float64))
    made = read_embeddings(tmp_path, "x_pca")[1]
    np.testing.assert_allclose(np.abs(made), np.abs(reference), atol=2e-2)
    np.testing.assert_array_equal(project(tmp_path, "x", array[5:9]), made[5:9])


def test_equal_titles_of_a_class_may_count_once(tiny, tmp_path, monkeypatch):
    label = tiny.make_task(tmp_path).inputs.label
    one, other = np.flatnonzero(label == 0)[:3], np.flatnonzero(label == 1)[:1]
    chosen = pd.DataFrame({"row": [one[0], other[0], *one[1:]]})
    said = dict(zip(chosen["row"], ("cat", "cat", "cat", "bird")))
    monkeypatch.setattr(prototypes, "titles", lambda posts, rows: [said[row] for row in rows])
    config = {"shots": 8, "context_length": 4, "heads": 2}
    means = {}
    for once in (False, True):
        task = tiny.make_task(tmp_path, model=ModelConfig(distinct_titles=once, **config))
        towers = Towers(task.net, task.tokenizer)
        means[once] = class_means(towers, task, chosen, batch_size=2)
    text = towers.titles(["cat", "bird"]).detach()
    torch.testing.assert_close(means[True][1][0], text.mean(0))
    torch.testing.assert_close(means[False][1][0], (2 * text[0] + text[1]) / 3)
    torch.testing.assert_close(means[True][0], means[False][0])  # pictures are none the fewer


def test_the_contrast_is_the_symmetric_cross_entropy_over_the_batch():
    rng = np.random.default_rng(0)
    x, text = rng.normal(size=(6, 8)), rng.normal(size=(6, 8))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    text /= np.linalg.norm(text, axis=1, keepdims=True)
    z = 10 * x @ text.T
    there, back = (np.log(np.exp(m).sum(1)) - np.diag(m) for m in (z, z.T))
    made = contrastive(torch.from_numpy(3 * x).float(), torch.from_numpy(text).float(), 10.0)
    np.testing.assert_allclose(made, (there + back) / 2, rtol=1e-5)
