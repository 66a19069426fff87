"""The studies' real entry points on 600 generated posts, briefly: what they write, resume and conclude."""

import json
import runpy
import sys

import numpy as np
import pandas as pd
import pytest

from smp import paths
from smp.disk.store import write_embeddings, write_json, write_table
from smp.folds import load_folds
from smp.matrix import FeatureMatrix
from smp.paths import ROOT
from smp.tracks import get
from smp.tracks.load import load_data

FAST = ("--lightgbm.rounds", "5", "--catboost.rounds", "5", "--seeds", "0", "1", "--processes", "1")
SOURCE = ROOT.parent / "shared" / "seeds"


def load(name):
    return runpy.run_path(str(ROOT / "exp" / name / "train.py"), run_name="loaded")


EMBEDDINGS = get("image").embeddings


@pytest.fixture
def run(demo_run, monkeypatch):
    def call(name, *arguments):
        script = str(ROOT / "exp" / name / "train.py")
        monkeypatch.setattr(sys, "argv", [script, *arguments])
        runpy.run_path(script, run_name="__main__")
        folder = demo_run / name
        return folder, json.loads((folder / "metrics.json").read_text())

    return call


@pytest.fixture
def represented(demo_run):
    """What the representations' experiments leave: here the picture tells the label of three posts in five."""
    data, rng = load_data("image"), np.random.default_rng(0)
    posts = data.items.assign(label=data.labels)
    folder, n = paths.features("image"), len(posts)
    told = np.where(rng.random(n) < 0.6, posts["label"].fillna(6), 6)[:, None] + rng.normal(0, 0.1, (n, 1))
    for name in EMBEDDINGS:
        if name != "clip_ft_stats":
            noise = rng.normal(size=(n, 3))
            write_embeddings(folder, name, posts.index, np.hstack([told, noise]) if name == "clip_ft_pca" else noise)
    stats = pd.DataFrame(rng.random((n, 2)), index=posts.index, columns=["clip_ft_cosine_clip", "clip_ft_cosine"])
    write_table(folder / "clip_ft_stats.parquet", stats)
    folds = load_folds("image", data)
    losses = pd.DataFrame({"loss": rng.random(len(folds))}, folds.index)
    write_table(demo_run / "exp001_clip_ft" / "losses.parquet", losses)
    for name in set(EMBEDDINGS.values()):
        made = {f: {"source": f"{f} net{' RANDOM' * (f in ('vit_image', 'blip_image'))}"} for f in EMBEDDINGS}
        write_json(demo_run / name / "metrics.json", {"track": "image", **made})
    return posts


def test_table_1_has_every_cell_beside_the_printed_one(run, represented):
    folder, metrics = run("exp021_ablation", *FAST)
    table = pd.read_csv(folder / "table1.csv", keep_default_na=False)
    assert len(table) == 36 and table[["cv_src", "holdout_mae", "holdout_src_sd"]].notna().all(axis=None)
    at = table.set_index(["user_behaviour", "representation", "model"])
    assert at.loc[(True, "CLIP_FT", "Fusion"), "paper_src"] == 0.7395
    told, noise = (at.loc[(False, name, "LightGBM"), "holdout_src"] for name in ("CLIP_FT", "CLIP"))
    assert told > noise + 0.2
    assert {a["answer"] for a in metrics["answers"]} <= {"yes", "no", "not resolved"}
    (claim,) = (a for a in metrics["answers"] if a["claim"] == "fine-tuned CLIP beats frozen CLIP (SRC)")
    steps = at.xs("CLIP_FT", level=1)["holdout_src"] - at.xs("CLIP", level=1)["holdout_src"]
    assert claim["numbers"].startswith("of 6: ") and float(claim["numbers"].split()[-1]) == pytest.approx(
        steps.mean(), abs=2e-4
    )
    assert metrics["sources"]["ViT+BERT"] == "vit_image net RANDOM and bert_text net"
    assert "CLIP_FT: trained here on CLIP: clip_image net and" in (folder / "table1.md").read_text().splitlines()[-1]
    order = metrics["answers"][-1]["numbers"]
    assert "of 8 rows without ViT+BERT, BLIP, which are RANDOM" in order
    assert (folder / "table1.md").read_text().count("\n| statistics") == 24
    cells = {p: p.stat().st_mtime_ns for p in (folder / "cells").glob("*.parquet")}
    assert len(cells) == 24

    (folder / "metrics.json").unlink()
    gone = folder / "cells" / "03-CatBoost.parquet"
    before = pd.read_parquet(gone)
    gone.unlink()
    run("exp021_ablation", *FAST)
    pd.testing.assert_frame_equal(pd.read_parquet(gone), before)
    assert all(p.stat().st_mtime_ns == t for p, t in cells.items() if p != gone)


def test_a_representation_beats_another_only_beyond_seeds_and_posts(monkeypatch):
    monkeypatch.setattr("smp.evidence.DRAWS", 40)
    compare, rng = load("exp035_representations")["compare"], np.random.default_rng(0)
    y, user = rng.normal(6, 2, 900), np.arange(900) // 3
    noise = rng.normal(size=(900, 5))
    made = {
        name: (columns, y[:, None] + size * noise)
        for name, columns, size in (("no pixels", 4, 3.0), ("frozen CLIP", 6, 1.0), ("CLIP_FT", 6, 1.0))
    }
    made["CLIP_FT"][1][:, 0] += 0.01 * rng.normal(size=900)  # the same but for dust in one seed
    part = np.where(np.arange(900) < 450, "forward1", "holdout")
    y[450:] += 1  # parts have levels of their own
    made = {name: (columns, pred + (part == "holdout")[:, None]) for name, (columns, pred) in made.items()}
    table, answers = compare(made, y, user, part)
    assert [a["answer"] for a in answers] == ["yes", "not resolved"]
    for where, rows in (("forward", slice(0, 450)), ("holdout", slice(450, 900))):
        mae = np.abs(noise[rows]).mean() * 2
        assert table.loc["frozen CLIP", f"{where} mae over no pixels"] == pytest.approx(mae, abs=1e-3)
    made["CLIP_FT"] = 6, y[:, None] + 2 * noise
    assert compare(made, y, user, part)[1][1]["answer"] == "no"


@pytest.mark.skipif(not SOURCE.is_dir(), reason="the paper's text is not beside the checkout")
def test_the_printed_numbers_are_the_papers():
    text = next(SOURCE.glob("000_*")).read_text()
    lines = [line.split() for line in text.splitlines() if line.startswith("✓")]
    printed = [tuple(float(v) for v in line if v[0].isdigit()) for line in lines]
    assert printed == list(load("exp021_ablation")["PAPER"].values()) and len(printed) == 12


def test_the_selection_curve_answers_the_papers_claim(run, represented):
    folder, metrics = run("exp030_sample_selection", *FAST, "--shares", "0.4", "0.77")
    table = pd.read_csv(folder / "selection.csv")
    assert len(table) == 2 * (1 + 4 * 2)
    full = table.query("learner == 'catboost' and method == 'full'").iloc[0]
    row = table.query("learner == 'catboost' and method == 'class' and share == 0.77").iloc[0]
    assert row["cv_src_of_full"] == pytest.approx(row["cv_src"] / full["cv_src"], abs=1e-3)
    assert row["fit_seconds"] > 0 and row["holdout_src_sd"] >= 0
    (claim,) = (a for a in metrics["answers"] if "keep SRC" in a["claim"] and "(catboost)" in a["claim"])
    assert claim["answer"] in ("yes", "no", "not resolved") and "77%" in claim["claim"]
    kept, full = (row["holdout_src"] for row in (row, full))
    assert float(claim["numbers"].split()[0]) == pytest.approx(kept - full, abs=2e-4)
    assert ", memory " in claim["numbers"] and "nan" not in claim["numbers"]
    assert (folder / "selection.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("noise", "wall", "keeps", "least"),
    [
        (1e-6, 0.7, "yes", "lightgbm 0.5, catboost 0.5"),
        (1e-6, 1.0, "not resolved", "lightgbm 0.5, catboost 0.5"),  # less of the processor alone
        (3.0, 0.7, "no", "none shown"),
    ],
)
def test_what_a_share_keeps_and_saves_is_answered_by_more_than_seeds(demo_run, noise, wall, keeps, least):
    module, data, rng = load("exp030_sample_selection"), load_data("image"), np.random.default_rng(0)
    folds = load_folds("image", data)
    y = data.labels[data.ids.get_indexer(folds.index)]
    full = pd.DataFrame({f"seed{s}": y + rng.normal(size=len(y)) for s in range(3)}, folds.index)
    full.insert(0, "fold", folds["fold"])

    def cell(noise: float, cpu: float, wall: float) -> tuple[pd.DataFrame, dict]:
        table, seeds = full.copy(), np.array([1.0, 1.1, 0.9])
        table.iloc[:, 1:] += noise * rng.normal(size=(len(y), 3))
        spread = seeds + rng.normal(0, 0.01, 3)
        of_seed = {"fit_seconds_of_seed": cpu * spread, "fit_wall_seconds_of_seed": wall * spread[::-1]}
        return table, {"fit_seconds": cpu, "fit_wall_seconds": wall, "fit_mb": 1.0} | of_seed

    made, rows = {}, []
    for learner in ("lightgbm", "catboost"):
        made[f"{learner}-full"] = cell(0, 1, 1)
        for share in (0.3, 0.5, 0.77):
            made[f"{learner}-class-{share}"] = cell(3.0 if share == 0.3 else noise, 0.7, wall)
            made[f"{learner}-chance-{share}"], made[f"{learner}-recent-{share}"] = cell(0, 1, 1), cell(0, 1, 1)
    for name, (_, costs) in made.items():
        learner, method, *share = name.split("-")
        row = {"learner": learner, "method": method, "share": float(share[0]) if share else 1.0}
        rows.append(row | {"cv_src": 0.8, "holdout_src": 0.8} | {k: costs[k] for k in module["COSTS"]})
    answers = module["answer"](data, folds, made, module["relate"](pd.DataFrame(rows)))
    assert [a["answer"] for a in answers if "keep SRC within 1% for less work" in a["claim"]] == [keeps] * 2
    assert answers[-1]["answer"] == least and answers[-1]["claim"].startswith("least share")
    assert all(f" of {0.05 / 12:.2g})" in a["numbers"] for a in answers[:-1]), "all that is asked shares one level"


def test_over_sampling_lies_between_posts_of_the_tail():
    module = load("exp031_oversampling")
    rng = np.random.default_rng(0)
    values = np.column_stack([rng.normal(size=200), rng.normal(100, 50, 200), rng.integers(0, 4, 200)])
    values = values.astype(np.float32)
    values[::9, 0], values[::11, 2] = np.nan, np.nan
    y = rng.uniform(1, 14, 200)
    X = FeatureMatrix(("a", "b", "c"), ("c",), (values,), (np.arange(200),))
    tail = y > 12
    for method in ("copies", "smote"):
        more, label = module["over_sample"](method, X, y, 12.0, 5, 3, 0)
        new = more.dense()[200:]
        np.testing.assert_array_equal(more.dense()[:200], values)
        assert len(label) == len(more) == 200 + 4 * tail.sum() and label[200:].min() >= y[tail].min()
        assert label.max() <= y[tail].max() + 1e-9
        for column in (0, 1):
            known = values[tail, column][np.isfinite(values[tail, column])]
            assert np.nanmin(new[:, column]) >= known.min() - 1e-3 and np.nanmax(new[:, column]) <= known.max() + 1e-3
        assert set(np.nan_to_num(new[:, 2], nan=-1)) <= set(np.nan_to_num(values[tail, 2], nan=-1))
    assert len(np.unique(new[:, 1])) > tail.sum(), "smote makes posts that were not there"
    none = module["over_sample"]("none", X, y, 12.0, 5, 3, 0)
    assert none[0] is X and none[1] is y


def test_a_rare_tail_starts_lower(run):
    module = load("exp031_oversampling")
    config = module["Config"]()
    assert module["tail_start"](config, np.linspace(1, 100, 50)) == 12.0
    assert module["tail_start"](config, np.linspace(1, 11, 1000)) == pytest.approx(10.9)
    folder, metrics = run("exp031_oversampling", *FAST, "--tail", "9")
    table = pd.read_csv(folder / "oversampling.csv")
    assert metrics["tail"] == 9 and len(table) == 6
    assert table["tail_rows"].eq((load_data("image").labels > 9).sum()).all()
    copied = table.set_index(["learner", "method"]).loc["lightgbm"]
    assert copied.loc["copies", "cv_bias"] > copied.loc["none", "cv_bias"], "more of the popular, higher predictions"


def test_the_alignment_study_counts(run, represented):
    run("exp010_lgbm", "--learner.rounds", "20", "--seeds", "0")
    folder, metrics = run("exp032_alignment")
    words, data = pd.read_csv(folder / "words.csv").set_index("words"), load_data("image")
    posts = data.items.assign(label=data.labels)
    assert words.loc[0, "title"] == (posts["title"].str.strip() == "").sum()
    assert words["tags"].sum() == len(posts)
    classes = pd.read_csv(folder / "classes.csv")
    counts = posts.loc[posts["label"].notna(), "subcategory"].value_counts()
    assert dict(zip(classes["subcategory"], classes["posts"])) == counts[counts >= 20].to_dict()
    spread = pd.read_csv(folder / "spread.csv").set_index("category")
    name = spread.index[0]
    sd = posts.loc[posts["category"] == name, "label"].std()
    assert spread.loc[name, "sd_of_posts"] == pytest.approx(sd, abs=1e-3)
    assert len(metrics["answers"]) >= 4


def test_the_alignment_study_resolves_what_would_come_again(represented):
    module, rng = load("exp032_alignment"), np.random.default_rng(0)
    x, noise = rng.normal(size=60), rng.normal(size=(4, 60))
    for fit, errs, answer in (
        (x, -x, "yes"),
        (-x, x, "no"),
        (0 * x, 0 * x, "not resolved"),
        (x, 0 * x, "not resolved"),
    ):
        classes = pd.DataFrame(dict.fromkeys(module["COSINES"], x))
        classes = classes.assign(src=fit + noise[0] / 2, mae=errs + noise[1] / 2)
        assert {a["answer"] for a in module["class_answers"](classes)} == {answer}
    for sd, users, answer in ((0.1, 200, "yes"), (0.2, 200, "no"), (0.14, 10, "not resolved")):
        spread = pd.DataFrame({"category": ["a", "b"], "users": users, "sd_of_users": 10 * sd})
        (said,) = module["spread_answers"](spread.assign(relative_sd_of_users=[sd, 0.3]))
        assert said["answer"] == answer
    drawn = rng.normal(10, 2, (400, 12)).std(axis=1, ddof=1)  # the interval of a deviation covers it as often as said
    bounds = [
        module["spread_answers"](
            pd.DataFrame({"category": ["a"], "users": 12, "sd_of_users": d, "relative_sd_of_users": d})
        )
        for d in drawn
    ]
    low, high = np.array([b[0]["numbers"].split("(")[1].rstrip(")").split(" to ") for b in bounds], float).T
    assert 0.92 < ((low < 2) & (high > 2)).mean() < 0.98


def test_pairs_are_of_one_user_and_their_difference_is_the_papers(represented):
    module = load("exp032_alignment")
    train = represented[represented["label"].notna()].iloc[:60].copy()
    train["user_id"] = pd.Categorical(np.arange(60) // 3)
    images = FeatureMatrix.from_array(np.eye(60, 4, dtype=np.float16) + 1, list("abcd"), np.arange(60))
    pairs = module["look_alikes"](train, images, 100_000, 0)
    assert len(pairs) == 20 * 3, "every pair once where all can be drawn"
    y = train["label"].to_numpy().reshape(20, 3)
    every = [abs(a - b) / min(a, b) for row in y for a, b in ((row[0], row[1]), (row[0], row[2]), (row[1], row[2]))]
    np.testing.assert_allclose(np.sort(pairs["difference"]), np.sort(every))
