"""The choice of prototype posts against a statement of the three stages in loops."""

import numpy as np
import pandas as pd
import pytest

from smp.clip_ft.prototypes import choose, class_text, draw, titles


def by_loops(posts: pd.DataFrame, eligible: np.ndarray, shots: int, intervals: int, seed: int) -> set[int]:
    """The three stages as sentences: share of every interval, a concept at a time, new users first."""
    rows = np.flatnonzero(eligible & posts["subcategory"].notna().to_numpy())
    draw = {row: k for k, row in enumerate(rows[np.random.default_rng(seed).permutation(len(rows))])}
    seconds = posts["time"].astype("int64").to_numpy()
    length = seconds.max() - seconds.min() + 1
    interval = {row: int((seconds[row] - seconds.min()) * intervals // length) for row in draw}
    chosen = set()
    for name in posts["subcategory"].cat.categories:
        members = sorted((row for row in draw if posts["subcategory"].iloc[row] == name), key=draw.get)
        if len(members) <= shots:
            chosen |= set(members)
            continue
        times_seen, user_round = {}, {}
        for row in members:
            user = posts["user_id"].iloc[row]
            user_round[row] = times_seen.get(user, 0)
            times_seen[user] = user_round[row] + 1
        exact = {m: shots * sum(interval[r] == m for r in members) / len(members) for m in range(intervals)}
        share = {m: int(v) for m, v in exact.items()}
        for m in sorted(exact, key=lambda m: (share[m] - exact[m], m))[: shots - sum(share.values())]:
            share[m] += 1
        for m in range(intervals):
            queues: dict[str, list[int]] = {}
            for row in sorted((r for r in members if interval[r] == m), key=lambda r: (user_round[r], draw[r])):
                queues.setdefault(str(posts["concept"].iloc[row]), []).append(row)
            order = []
            while any(queues.values()):
                heads = [queue.pop(0) for queue in queues.values() if queue]
                order += sorted(heads, key=lambda r: (user_round[r], draw[r]))
            chosen |= set(order[: share[m]])
    return chosen


@pytest.mark.parametrize("seed", range(5))
def test_choice_equals_the_stages_in_loops(tiny, seed):
    posts = tiny.make_posts(300, classes=5, seed=seed)
    posts.loc[posts.index[::50], "subcategory"] = None
    eligible = np.random.default_rng(seed).random(len(posts)) < 0.9
    chosen = choose(posts, eligible, shots=30, intervals=4, seed=seed)
    assert set(chosen["row"]) == by_loops(posts, eligible, 30, 4, seed)
    assert eligible[chosen["row"]].all() and chosen.index.equals(posts.index[chosen["row"]])


def test_small_classes_give_all_and_large_ones_exactly_the_shots(tiny):
    posts = tiny.make_posts(200, classes=3)
    posts.loc[posts.index[:150], "subcategory"] = "big_dog0"
    chosen = choose(posts, np.ones(200, bool), shots=40)
    counts, available = chosen["subcategory"].value_counts(), posts["subcategory"].value_counts()
    assert counts.to_dict() == {name: min(40, n) for name, n in available.items()}
    assert set(chosen.loc[chosen["subcategory"] != "big_dog0", "chosen_for"]) == {"all"}


def test_every_interval_gives_its_share(tiny):
    posts = tiny.make_posts(2000, classes=2)
    posts["user_id"] = pd.Categorical((np.arange(2000) * 7 % 50).astype(str))
    everyone, everything = np.ones(2000, bool), 10_000
    chosen = choose(posts, everyone, shots=100, intervals=5)
    by = ["subcategory", "interval"]
    available = choose(posts, everyone, shots=everything, intervals=5).groupby(by, observed=True).size()
    share = 100 * available / available.groupby(level=0, observed=True).transform("sum")
    assert (chosen.groupby(by, observed=True).size() - share).abs().max() < 1
    told = chosen.assign(concept=posts["concept"], user=posts["user_id"]).groupby([*by, "chosen_for"], observed=True)
    of_concepts = told["concept"].nunique()
    assert (of_concepts.xs("subtopic", level=2) == told.size().xs("subtopic", level=2)).all(), "each concept once"
    assert (told["user"].nunique().xs("user", level=2) == told.size().xs("user", level=2)).all(), "each a new user"
    assert set(chosen["chosen_for"]) == {"subtopic", "user", "share"}


def test_titles_fall_back_to_tags_then_to_the_class(tiny):
    posts = tiny.make_posts(36)
    said = titles(posts, np.array([0, 7, 1, 35]))
    name = posts["subcategory"].astype(str)
    assert said == [
        f"a photo of {class_text(name.iloc[0])}",
        f"{name.iloc[7]} t7",
        posts["title"].iloc[1],
        f"a photo of {class_text(name.iloc[35])}",
    ]


def test_the_choice_can_be_drawn(tiny, tmp_path):
    posts = tiny.make_posts()
    draw(posts, choose(posts, np.ones(120, bool), shots=8, intervals=3), 3, tmp_path / "choice.png")
    assert (tmp_path / "choice.png").read_bytes()[:4] == b"\x89PNG"
