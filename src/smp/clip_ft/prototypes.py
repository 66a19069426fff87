"""Which posts stand for a class (paper 3.1): spread over time, then over subtopics, then over users."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from smp.disk.store import replacing
from smp.encoders import descriptions


def choose(
    posts: pd.DataFrame, eligible: np.ndarray, shots: int = 256, intervals: int = 16, seed: int = 0
) -> pd.DataFrame:
    """The posts each subcategory's prototypes are the mean of: the paper's three-stage filter (3.1).

    Stage 1: the whole timeline is cut into `intervals` of equal length, and a class takes of each its share of the
    `shots` (largest remainders, earlier interval first in a tie). Stage 2: inside a class and interval, first one post
    of every concept, then a second of every concept, and so on. Stage 3: for a concept's next post, and among posts
    that are then equal, first those that are their user's first in the class, then the second ones, and so on; the
    rest is drawn by `seed`. A class of at most `shots` posts gives all of them.

    eligible: (n,) bool, the rows that may be chosen. Returns one row a chosen post, in the posts' order, with index
    post_id and: row (position), subcategory, interval, concept_round and user_round (0 = the first of its concept in
    the interval, of its user in the class), chosen_for: `all` (small class), `subtopic` (first of its concept), `user`
    (first of its user) or `share` (the interval's share had room).
    """
    rng = np.random.default_rng(seed)
    rows = np.flatnonzero(eligible & posts["subcategory"].notna().to_numpy())
    rows = rows[rng.permutation(len(rows))]  # all that follows sorts stably: this order is the draw
    label = posts["subcategory"].cat.codes.to_numpy()[rows].astype(np.int64)
    concept = posts["concept"].cat.codes.to_numpy()[rows]
    user = posts["user_id"].cat.codes.to_numpy()[rows]
    interval = _intervals(posts["time"], intervals)[rows]

    user_round = _count_before(label, user)
    order = np.argsort(user_round, kind="stable")
    concept_round = np.empty(len(rows), np.int64)
    concept_round[order] = _count_before(label[order], interval[order], concept[order])

    cell = label * intervals + interval
    order = np.lexsort((user_round, concept_round, cell))
    place = np.empty(len(rows), np.int64)  # of a post in its class and interval
    place[order] = _count_before(cell[order])
    available = np.bincount(cell, minlength=(label.max(initial=-1) + 1) * intervals).reshape(-1, intervals)
    taken = place < _shares(available, shots).ravel()[cell]

    small = available.sum(1)[label] <= shots
    reason = np.select([small, concept_round == 0, user_round == 0], ["all", "subtopic", "user"], "share")
    table = pd.DataFrame(
        {
            "row": rows,
            "subcategory": posts["subcategory"].array[rows],
            "interval": interval,
            "concept_round": concept_round,
            "user_round": user_round,
            "chosen_for": pd.Categorical(reason),
        },
        index=posts.index[rows],
    )
    return table[taken].sort_values("row")


def titles(posts: pd.DataFrame, rows: np.ndarray) -> list[str]:
    """(len(rows),) the titles behind the textual prototypes; an empty one falls back to the tags, then to the class.

    Open in the paper ("256 diverse titles"): these are the titles of the posts that stand for the class's pictures,
    equal ones included, so that V and T are means over the same posts and a common title counts as often as it occurs.
    """
    chosen = posts.iloc[rows]
    title, tags = (pa.array(descriptions(chosen, which)) for which in ("title", "tags"))
    template = pa.array(
        [f"a photo of {class_text(name)}" for name in chosen["subcategory"].cat.categories], pa.string()
    )
    named = template.take(pa.array(chosen["subcategory"].cat.codes))
    text = pc.if_else(pc.equal(title, ""), pc.if_else(pc.equal(tags, ""), named, tags), title)
    return text.to_pylist()


def class_text(name: str) -> str:
    """A class name as words: `Street_Photography` -> `Street Photography`."""
    return name.replace("_", " ").replace("-", " ").replace("&", " and ")


def draw(posts: pd.DataFrame, chosen: pd.DataFrame, intervals: int, path: Path) -> None:
    """Write a picture of the choice: posts per class and interval, and the share of a class's concepts and users."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    picked = posts.iloc[chosen["row"].to_numpy()]
    counts = pd.crosstab(chosen["subcategory"], chosen["interval"]).reindex(columns=range(intervals), fill_value=0)
    size = picked.groupby("subcategory", observed=True)[["concept", "user_id"]].nunique().reindex(counts.index)
    there = posts.groupby("subcategory", observed=True)[["concept", "user_id"]].nunique().reindex(counts.index)
    figure = Figure(figsize=(12, 2 + 0.16 * len(counts)), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    heat = left.imshow(counts, aspect="auto", cmap="viridis")
    left.set(title="chosen posts by class and interval of time", xlabel="interval", yticks=range(len(counts)))
    left.set_yticklabels(counts.index, fontsize=7)
    figure.colorbar(heat, ax=left)
    y = np.arange(len(counts))
    right.barh(y - 0.2, (size["concept"] / there["concept"]).to_numpy(), 0.4, label="share of the class's concepts")
    users = size["user_id"] / np.minimum(there["user_id"], counts.sum(axis=1))
    right.barh(y + 0.2, users.to_numpy(), 0.4, label="users, of the most there could be")
    right.set(title="spread of the choice", xlim=(0, 1.02))
    right.legend(loc="lower right", fontsize=7)
    with replacing(path) as aside:
        figure.savefig(aside, dpi=110, format="png")


def _intervals(time: pd.Series, intervals: int) -> np.ndarray:
    """(n,) equal lengths of the whole timeline, 0 the earliest."""
    seconds = time.astype("int64").to_numpy()
    first, last = seconds.min(), seconds.max()
    return ((seconds - first) * intervals // max(last - first + 1, 1)).astype(np.int64)


def _shares(available: np.ndarray, shots: int) -> np.ndarray:
    """(K, M) how many of each interval: all where the class has no more than `shots`, else its largest remainders."""
    total = available.sum(1, keepdims=True)
    whole, rest = np.divmod(available * shots, np.maximum(total, 1))
    left = shots - whole.sum(1, keepdims=True)
    rank = np.argsort(np.argsort(-rest, axis=1, kind="stable"), axis=1)
    return np.where(total <= shots, available, whole + (rank < left))


def _count_before(*keys: np.ndarray) -> np.ndarray:
    """(n,) how many earlier elements have the same keys."""
    order = np.lexsort(keys)
    same = np.ones(len(order), bool)
    for key in keys:
        same[1:] &= key[order][1:] == key[order][:-1]
    same[:1] = False
    place = np.arange(len(order))
    start = np.maximum.accumulate(np.where(same, 0, place))
    count = np.empty(len(order), np.int64)
    count[order] = place - start
    return count
