"""The room: both layouts, measures against scikit-learn, the graph against brute force, and what pre-training finds."""

import json
import runpy
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score

from smp import paths, tracks
from smp.errors import DataError
from smp.experiment import Run
from smp.folds import make_folds, time_blocks
from smp.matrix import FeatureMatrix
from smp.models import emoji_graph
from smp.models.emoji_graph import PAIRS, EmojiGraph, Encoder, Walker, pretrain
from smp.oof import Part
from smp.paths import ROOT
from smp.tracks.emoji import classes, demo, networks, tokens
from smp.tracks.emoji.read import read
from smp.tracks.load import load_data

TOOL = ROOT.parent / "shared" / "tools" / "make_tracks.py"
SMALL = EmojiGraph(width=16, batch=64, walk=8, steps=60, learning_rate=1e-2)
TINY = {
    "exp095_words": (),
    "exp095_emoji_tokens": (),
    "exp095_names": (),
    "exp096_emoji_graph": ("--seeds", "0", "--model.steps", "3", "--model.width", "8"),
    "exp098_fusion": ("--trials", "5"),
}


def made_up_sentences(strings, shards):
    """Vectors that differ where texts do: the sentence encoder takes seconds to load."""
    texts = strings.to_pylist()
    return np.array([np.random.default_rng(abs(hash(t)) % 2**32).standard_normal(384) for t in texts], np.float16)


@pytest.fixture(scope="module")
def output(run_room):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("smp.tracks.emoji.features.sentences.embed_texts", made_up_sentences)
        patch.setattr("smp.tracks.emoji.networks.embed_texts", made_up_sentences)
        yield run_room("emoji", lambda folder: demo.write(folder, 300, 1), TINY)


def task(folder, name, **splits):
    (folder / name).mkdir(parents=True)
    for split, (texts, labels) in splits.items():
        (folder / name / f"{split}_text.txt").write_text("".join(f"{t}\n" for t in texts), encoding="utf-8")
        if labels is not None:
            (folder / name / f"{split}_labels.txt").write_text("".join(f"{y}\n" for y in labels))


def test_tasks_become_classes_and_a_drawn_order_is_stratified(tmp_path):
    task(tmp_path, "irony", train=([f"a {i} 😀" for i in range(60)], [i % 3 == 0 for i in range(60)]))
    task(tmp_path, "mood", train=(["x", "x", "y", " "], [0, 1, 2, 0]), test=(["z"], None), val=(["v", "w"], [0, "?"]))
    for path in tmp_path.glob("irony/*labels.txt"):
        path.write_text(path.read_text().replace("True", "1").replace("False", "0"))
    data, quirks = read(tmp_path)
    assert data.labels.shape == (60 + 5, 4)  # irony 0 and 1, mood 0 and 2
    mood = data.labels[data.ids.get_indexer(["mood-train-0", "mood-train-2", "mood-val-0"])]
    np.testing.assert_array_equal(mood, [[-1, -1, 1, 0], [-1, -1, 0, 1], [-1, -1, 1, 0]])
    assert set(data.ids[data.items["split"] == "test"]) == {"mood-val-1", "mood-test-0"}
    assert quirks == {
        "posts without a text, or with one that the task has already, dropped": 2,
        "labels that are no class taken for none": 1,
    }
    irony = (data.items["task"] == "irony").to_numpy()
    block = time_blocks(data.items["time"][data.labelled], 5)
    ironic = data.labels[data.labelled][:, 1] == 1
    assert set(np.bincount(block[ironic])) == {4} and irony.sum() == 60


def test_labels_of_another_number_are_refused(tmp_path):
    task(tmp_path, "mood", train=(["a", "b"], [0]))
    with pytest.raises(DataError, match="1 labels for 2 texts"):
        read(tmp_path)
    with pytest.raises(DataError, match=r"missing posts\.jsonl"):
        read(tmp_path / "mood" / "nothing")


def test_posts_have_log_likes_and_young_ones_are_left_out(tmp_path):
    posts = [
        {"post": 1, "user": "u", "time": "2024-01-01 10:00:00", "crawled": "2024-03-01", "title": "a", "liked": 7},
        {"post": 2, "user": "u", "time": "2024-02-25 10:00:00", "crawled": "2024-03-01", "title": "b", "liked": 7},
        {"post": 3, "user": None, "time": 1704103200, "crawled": "2024-03-01", "text": "今天好😀", "liked": None},
        {"post": 3, "user": "u", "time": 1704103200, "crawled": "2024-03-01", "text": "c", "liked": 1, "collected": 3},
        {"post": 4, "user": "v", "time": "never", "crawled": "2024-03-01", "text": "c", "liked": 1},
        {"post": 5, "user": "v", "time": "2024-01-01", "crawled": "2024-03-01", "text": "c", "liked": "-4"},
    ]
    (tmp_path / "posts.jsonl").write_text("".join(json.dumps(p) + "\n" for p in posts))
    data, quirks = read(tmp_path)
    assert list(data.ids) == ["1", "3", "5"]
    np.testing.assert_allclose(data.labels, [np.log(8), np.nan, np.nan])
    assert list(data.items["split"]) == ["train", "test", "test"] and data.items["text"].iloc[1] == "今天好😀"
    assert quirks == {
        "columns counted at the crawl left out (collected)": 1,
        "posts without time or text, or with a name met before, dropped": 2,
        "posts younger than 14 days when crawled left out": 1,
        "negative likes taken for none": 1,
    }
    assert list(data.items["user_id"]) == ["u", "3", "v"]  # who is not named is nobody else


def posts_of(folder, *rows):
    folder.mkdir(exist_ok=True)
    (folder / "posts.jsonl").write_text("".join(f"{json.dumps(row)}\n" if row else "\n" for row in rows))
    return folder


DAY = {"time": "2024-01-01", "text": "a"}


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([DAY], r"posts\.jsonl: no column of likes; each post needs liked \(or likes"),
        ([DAY | {"liked": True}] * 2, "no column of likes"),
        ([DAY, DAY | {"liked": ["x"]}], r"no post has likes, post 2 has '\['x'\]'"),
        ([DAY | {"liked": -5}], "no post has likes, post 1 has '-5'"),
        ([DAY | {"liked": "赞"}], "no post has likes, post 1 has '赞'; write numbers into liked"),
        ([DAY | {"liked": 1, "time": "1 May"}], "none of 1 posts can be taken: post 1 has time '1 May'; write unix"),
        ([DAY | {"liked": 1, "text": " "}], "post 1 has no text and no title"),
        ([DAY | {"liked": 1, "crawled": "2024-01-09"}], "post 1 of 2024-01-01 .* within 14 days"),
    ],
)
def test_posts_that_nothing_can_be_learnt_from_are_refused_in_one_line(tmp_path, rows, said):
    with pytest.raises(DataError, match=said) as raised:
        read(posts_of(tmp_path, *rows))
    assert "\n" not in str(raised.value)


def test_what_is_odd_about_likes_is_counted(tmp_path):
    tweeted = "Mon Jan 01 20:19:24 +0200 2024"
    rows = [
        {"created_at": tweeted, "text": "a", "liked": False, "liked_count": "3.2万"},
        None,
        {"created_at": tweeted, "text": "b", "liked": None, "liked_count": [4]},
        {"created_at": tweeted, "text": "c", "liked": True, "liked_count": True, "crawled": "2024-05-01"},
    ]
    data, quirks = read(posts_of(tmp_path, *rows))
    np.testing.assert_allclose(np.expm1(data.labels), [32_000, np.nan, np.nan])
    assert set(data.items["time"].astype("str")) == {"2024-01-01 18:19:24+00:00"}
    assert quirks == {
        "empty lines left out": 1,
        "likes that cannot be read taken for none": 2,
        "posts without a time of the crawl taken for older than 14 days": 2,
    }


@pytest.mark.parametrize("end", ["", "\r\n", "\r\n\r\n", "\n \n"])
def test_blank_lines_at_the_end_are_texts_only_where_they_have_labels(tmp_path, end):
    task(tmp_path, "mood", train=(["a", "b", "c"], [0, 1, 0]))
    file = tmp_path / "mood" / "train_text.txt"
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n") + end.encode())
    assert len(read(tmp_path)[0]) == 3


def test_two_folders_of_one_task_and_labels_in_words_are_refused(tmp_path):
    for home in "ab":
        task(tmp_path / "twice" / home, "mood", train=([home, "x"], [0, 1]))
    with pytest.raises(DataError, match=r"b/mood/train_text\.txt: another folder of task mood is .*a/mood; rename"):
        read(tmp_path / "twice")
    task(tmp_path / "words", "mood", train=(["a", "b"], ["joy", "anger"]))
    with pytest.raises(DataError, match=r"train_labels\.txt: line 1: label 'joy' is no number of a class"):
        read(tmp_path / "words")


def test_a_crawl_of_another_network_is_read(tmp_path):
    rows = [
        {"note_id": "n1", "create_time": 1704103200000, "title": "a", "desc": "b", "liked_count": "1.2万"},
        {"note_id": "n2", "create_time": 1704103200, "title": "", "desc": "c[笑哭R]", "liked_count": "1,204"},
        {"note_id": "n3", "create_time": "2024-01-01T10:00:00Z", "desc": "d", "liked_count": "10+"},
        {"note_id": "n4", "create_time": "2024-01-01T10:00:00Z", "desc": "e", "liked_count": "赞"},
    ]
    (tmp_path / "posts.jsonl").write_text("".join(json.dumps(p) + "\n" for p in rows))
    data, _ = read(tmp_path)
    np.testing.assert_allclose(np.expm1(data.labels), [12_000, 1_204, 10, np.nan])
    assert list(data.ids) == ["n1", "n2", "n3", "n4"] and data.items["time"].nunique() == 1
    assert str(data.items["time"].iloc[0]) == "2024-01-01 10:00:00+00:00"
    text = data.items["text"].iloc[1]
    assert tokens.emojis(text) == ["[笑哭R]"] and tokens.words(text) == ["c"] and tokens.name("[笑哭R]") == "笑哭R"


def test_likes_go_through_every_system(tmp_path, monkeypatch):
    for name in ("input", "output"):
        monkeypatch.setenv(f"SMP_{name.upper()}", str(tmp_path / name))
    monkeypatch.setenv("SMP_PROFILE", "small")
    monkeypatch.setattr("smp.tracks.emoji.features.sentences.embed_texts", made_up_sentences)
    monkeypatch.setattr("smp.tracks.emoji.networks.embed_texts", made_up_sentences)
    rng, folder = np.random.default_rng(0), tmp_path / "input" / "emoji"
    kind, words = rng.integers(0, 4, 240), rng.choice(demo.COMMON, (240, 6))
    liked = np.expm1(2 + kind + 0.3 * rng.standard_normal(240)).round()
    day = np.datetime64("2024-01-01") + rng.permutation(240)
    folder.mkdir(parents=True)
    text = [" ".join(said) + "😀😍😡😢"[k] for said, k in zip(words, kind)]
    posts = [{"user": f"u{i % 9}", "time": str(day[i]), "text": text[i], "liked": liked[i]} for i in range(240)]
    (folder / "posts.jsonl").write_text("".join(json.dumps(p) + "\n" for p in posts))
    for name, arguments in TINY.items():
        monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
        runpy.run_path(str(ROOT / "exp" / name / "train.py"), run_name="__main__")
    made = {n: json.loads((paths.output("emoji") / n / "metrics.json").read_text()) for n in TINY}
    src = {name: metrics["holdout"]["src"] for name, metrics in made.items()}
    assert src["exp095_emoji_tokens"] > 0.8 > 0.4 > src["exp095_words"] and src["exp096_emoji_graph"] > 0.5


def test_tokens_tell_words_from_emoji():
    text = "It's #Fun 👍🏽👍 ❤️ 今天好 @user"
    assert tokens.words(text) == ["it's", "fun", "今天", "天好", "user"]
    assert tokens.emojis(text) == ["👍", "👍", "❤"]
    assert tokens.named("so 😂!") == "so face with tears of joy !" and "👍" not in tokens.without_emoji(text)


def test_measures_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    y = np.full((90, 5), -1.0)
    y[:40, :2], y[40:, 2:] = np.eye(2)[rng.integers(0, 2, 40)], np.eye(3)[rng.integers(0, 3, 50)]
    p = rng.random((90, 5))
    scores = tracks.get("emoji").task.scores(y, p, None)
    both = [(y[r][:, c].argmax(1), p[r][:, c].argmax(1)) for r, c in ((slice(40), [0, 1]), (slice(40, 90), [2, 3, 4]))]
    assert scores["macro_f1"] == pytest.approx(np.mean([f1_score(*b, average="macro") for b in both]))
    assert scores["accuracy"] == pytest.approx(np.mean([accuracy_score(*b) for b in both]))
    assert scores["mae"] == pytest.approx(np.mean(classes.item_loss(y, p)))
    assert classes.item_loss(y, p)[0] == pytest.approx(np.abs(y[0, :2] - p[0, :2]).mean())
    z, q = rng.random((2, 50))
    scores = tracks.get("emoji").task.scores(z, q, None)
    assert scores["mae"] == pytest.approx(np.abs(z - q).mean())
    assert scores["accuracy"] == pytest.approx(np.mean((z > np.median(z)) == (q > np.median(q))))


def test_every_system_is_scored_and_the_emoji_decides(output):
    of = {name: json.loads((output / name / "metrics.json").read_text()) for name in TINY}
    for name, made in of.items():
        assert {"macro_f1", "accuracy"} < set(made["holdout"]), name
        assert made["cv"]["rows"] == len(load_data("emoji"))
    assert of["exp095_emoji_tokens"]["cv"]["macro_f1"] > of["exp095_words"]["cv"]["macro_f1"] + 0.1
    methods = pd.read_csv(output / "exp098_fusion" / "methods.csv", index_col="method")
    kept = json.loads((output / "exp098_fusion" / "models" / "combinations.json").read_text())
    assert sum(kept["seeds"][0]["weights"]) == pytest.approx(1) and len(kept["parents"]) == 3
    for name in kept["parents"]:  # rows and classes of the parents meet
        for part in ("cv", "forward", "holdout"):
            assert methods.loc[name, f"{part}_macro_f1"] == pytest.approx(of[name][part]["macro_f1"], abs=1e-4)
    assert methods.loc["blend", "holdout_macro_f1"] == pytest.approx(
        of["exp098_fusion"]["holdout"]["macro_f1"], abs=1e-4
    )


def test_no_label_outside_a_part_changes_its_predictions(output):
    data = load_data("emoji")
    part = Part("inner", "", np.arange(100), np.arange(100, 140))
    other = data.labels.copy()
    other[100:] = np.where(other[100:] < 0, other[100:], 1 - other[100:])
    texts = [networks.terms_of(t, "all") for t in data.items["text"]]
    sparse, dense = networks.tf_idf(texts, part.train), np.empty((len(data), 0))
    a, b = (networks.heads(sparse, dense, y, part, 1.0) for y in (data.labels, other))
    np.testing.assert_array_equal(a, b)


def graph_of(data, emojis=True, rows=None):
    words = [tokens.words(t) for t in data.items["text"]]
    shown = [tokens.emojis(t) if emojis else [] for t in data.items["text"]]
    dense = np.random.default_rng(0).standard_normal((len(data), 12)).astype(np.float32)
    rows = np.arange(len(data)) if rows is None else rows
    return networks.Network(networks.Graph(model=SMALL), words, shown, dense, rows, paths.features("emoji"))


def test_words_meet_emoji_by_pointwise_mutual_information(output):
    data = load_data("emoji")
    network = graph_of(data)
    words, emojis = network.vocabularies
    texts = [(set(tokens.words(t)), set(tokens.emojis(t))) for t in data.items["text"]]
    wanted = set()
    for i, w in enumerate(words.terms):
        for j, e in enumerate(emojis.terms):
            both, one, two = (sum(f) for f in zip(*((w in a and e in b, w in a, e in b) for a, b in texts)))
            if both >= 2 and both * len(texts) > one * two:
                wanted.add((i, j))
    assert wanted == set(map(tuple, network.edges["word", "emoji"].T)) and len(wanted) > 10
    pairs = [(i, emojis.number[e]) for i, (_, b) in enumerate(texts) for e in b]
    assert sorted(pairs) == sorted(map(tuple, network.edges["post", "emoji"].T))


def test_walks_stay_on_the_graph_and_apart():
    edges = {
        ("post", "word"): np.array([[0, 0, 1, 2], [0, 1, 1, 2]]),
        ("post", "emoji"): np.array([[1], [0]]),
        ("word", "emoji"): np.array([[1], [0]]),
    }
    walker = Walker(edges, {"post": 4, "word": 3, "emoji": 1})
    found, links, own = walker.subgraphs(np.array([0, 2, 3]), 30, 0.3, np.random.default_rng(0))
    np.testing.assert_array_equal(found["post"][own], [0, 2, 3])
    assert sorted(found["post"]) == [0, 1, 2, 3] and sorted(found["word"]) == [0, 1, 2]
    for a, b in PAIRS:  # every link is one of the graph's
        ends = np.stack([found[a][links[a, b][0]], found[b][links[a, b][1]]])
        assert set(map(tuple, ends.T)) <= set(map(tuple, edges[a, b].T))


def test_no_graph_at_all_is_a_graph():
    none = {pair: np.zeros((2, 0), np.int64) for pair in PAIRS}
    found, links, own = Walker(none, {"post": 4, "word": 0, "emoji": 0}).subgraphs(
        np.array([3, 1]), 5, 0.3, np.random.default_rng(0)
    )
    np.testing.assert_array_equal(found["post"][own], [3, 1])
    assert not any(e.size for e in links.values())
    vectors = {"post": torch.randn(4, 3), "emoji": torch.randn(0, 3)}
    encoder = Encoder(SMALL, {"post": 3, "emoji": 3}, 0, 0)
    assert set(pretrain(encoder, SMALL, vectors, none, 0)["links"]) == {0.0}


def test_pairs_drawn_against_links_are_none():
    rng = np.random.default_rng(0)
    links = np.unique(rng.integers(0, 6, (2, 25)), axis=1)
    drawn = emoji_graph.no_links(links, np.arange(6).repeat(200), 6, rng)
    wanted = {(i, j) for i in range(6) for j in range(6)} - set(map(tuple, links.T.tolist()))
    assert set(map(tuple, drawn.T.tolist())) == wanted


def test_two_walks_from_a_post_come_to_be_told_from_those_of_others():
    rng, sizes = np.random.default_rng(0), {"post": 160, "word": 40, "emoji": 24}
    group = {kind: np.arange(n) % 4 for kind, n in sizes.items()}
    edges = {}
    for a, b in PAIRS:
        pairs = [(i, j) for i in range(sizes[a]) for j in rng.choice(np.flatnonzero(group[b] == group[a][i]), 3, False)]
        edges[a, b] = np.array(pairs).T
    vectors = {"post": torch.randn(160, 4), "emoji": torch.randn(24, 4)}
    torch.manual_seed(0)
    losses = pretrain(Encoder(SMALL, {"post": 4, "emoji": 4}, 40, 24), SMALL, vectors, edges, 0)
    assert np.mean(losses["contrast"][-5:]) < np.mean(losses["contrast"][:5]) - 0.5


def test_an_inductive_graph_knows_no_other_post(output):
    data = load_data("emoji")
    inner = graph_of(data, rows=np.arange(0, 200))
    assert inner.edges["post", "word"][0].max() < 200 and (inner.all["post", "word"][0] >= 200).any()
    assert (inner.spoken["post", "word"][0] < 200).all()  # a word does not hear of the others


def test_what_is_written_later_moves_no_earlier_prediction_of_popularity(tmp_path, monkeypatch):
    monkeypatch.setenv("SMP_OUTPUT", str(tmp_path))
    monkeypatch.setattr("smp.tracks.emoji.networks.embed_texts", made_up_sentences)
    loaded = {}  # sentence embeddings of the posts' own texts
    monkeypatch.setattr(networks.features, "load", lambda track, names, data: loaded[id(data)])
    rng, made = np.random.default_rng(0), []
    said = [" ".join(rng.choice(demo.COMMON, 5)) + "😀😍😡😢"[i % 4] for i in range(100)]
    part = Part("holdout", "", np.arange(60), np.arange(60, 80))
    for later in (said[80:], [text[::-1] + " fun fun 👍" for text in said[80:]], []):
        rows = [
            {"time": str(np.datetime64("2024-01-01") + i), "text": t, "liked": i % 4} for i, t in enumerate(said[:80])
        ]
        rows += [{"time": "2025-01-01", "text": text, "liked": 9} for text in later]
        data, _ = read(posts_of(tmp_path, *rows))
        own = {t: np.random.default_rng(len(t)).standard_normal(6).astype(np.float32) for t in data.items["text"]}
        loaded[id(data)] = FeatureMatrix.from_table(pd.DataFrame([own[t] for t in data.items["text"]]))
        config = networks.Graph(model=EmojiGraph(width=8, batch=32, walk=4, steps=5), seeds=(0,))
        run = Run("exp900_graph", "emoji", config, {})
        folds = make_folds(data, tracks.get("emoji").split)
        made.append(networks.GraphModel(run, data, folds).predict(part))
    np.testing.assert_array_equal(made[0], made[1])
    np.testing.assert_allclose(made[0], made[2], rtol=1e-5)
    with pytest.raises(DataError, match="graph transductive"):
        networks.GraphModel(replace(run, config=replace(config, graph="transductive")), data, folds)


def test_masked_links_leave_with_their_reverses(monkeypatch):
    seen = []
    real = emoji_graph.wires
    monkeypatch.setattr(emoji_graph, "wires", lambda edges, flow=None: seen.append(real(edges, flow)) or seen[-1])
    asked = []

    def told(made, pair, links, apart):
        asked.append((pair, links))
        return made["post"].sum()

    monkeypatch.setattr(emoji_graph, "link_loss", told)
    rng = np.random.default_rng(0)
    edges = {p: np.unique(rng.integers(0, 9, (2, 40)), axis=1) for p in PAIRS}
    vectors = {"post": torch.randn(9, 4), "emoji": torch.randn(9, 4)}
    model = EmojiGraph(width=4, contrast=0.0, steps=1, masked=0.5)
    pretrain(Encoder(model, {"post": 4, "emoji": 4}, 9, 9), model, vectors, edges, 0)
    assert len(asked) == 3
    for (a, b), links in asked:
        there = {tuple(e) for e in seen[0][a, "to", b].T.tolist()}
        there |= {tuple(e[::-1]) for e in seen[0][b, "to", a].T.tolist()}
        assert links.shape[1] and not there & set(map(tuple, links.T.tolist()))


def test_the_fold_table_is_stratified_on_real_tweets(tmp_path):
    if not TOOL.exists():
        pytest.skip("the real tweets are not beside the checkout")
    subprocess.run([sys.executable, str(TOOL), "emoji", "tweets", str(tmp_path)], check=True, capture_output=True)
    data, _ = read(tmp_path)
    block = time_blocks(data.items["time"], 5)
    counts = np.array([[(data.labels[block == k, j] == 1).sum() for j in range(13)] for k in range(5)])
    assert len(data) == 4_667 and (np.ptp(counts, axis=0) <= 1).all()
