"""What the paper says of the data, counted. Parents: exp001_clip_ft, exp002_clip, exp010_lgbm. Asks: how little do
titles say, are classes whose pictures fit their words predicted better, and do like pictures of one user fare alike?

Writes words.csv and words.png (Fig. 1), classes.csv and alignment.png (Fig. 4(a): mean cosine of picture and text of
every subcategory, from CLIP and fine-tuned, against SRC and MAE of out-of-fold predictions), lookalikes.csv (pairs of
one user's posts, by the cosine of their pictures), spread.csv (labels inside categories, over posts and over users),
and answers in metrics.json. No model is fitted.
"""

from dataclasses import dataclass

from smp import features
from smp.disk.store import replacing
from smp.evidence import LEVEL, Gain, judge
from smp.experiment import Run, Settings, predictions_read
from smp.folds import load_folds
from smp.metrics import mae, src
from smp.oof import load_oof
from smp.present import COLORS, save, subplots
from smp.runner import run_make
from smp.study import say
from smp.tracks.load import load_data

import numpy as np
import pandas as pd
from scipy.stats import chi2, spearmanr

TRACK = "image"
GROUP = "studies"
PARENTS = ("exp001_clip_ft", "exp002_clip", "exp010_lgbm")
COSINES = {"clip_ft_cosine_clip": "pre-trained CLIP", "clip_ft_cosine": "fine-tuned (x~ and T~ of the class)"}
LOOK_ALIKE, DIFFERENCE, STABLE = 0.85, 3.0, 0.15  # the paper's figures: cosine, 300 %, standard deviation


@dataclass(frozen=True)
class Config(Settings):
    features: tuple[str, ...] = ("clip_ft_stats", "clip_image")
    parents: tuple[str, ...] = ("exp010_lgbm",)  # whose out-of-fold predictions are scored
    class_posts: int = 20  # a class of fewer posts is left out
    user_posts: int = 3  # likewise a user, where users of a category are compared
    pairs: int = 500_000  # drawn at random where users have more
    seed: int = 0

    def inputs(self, track: str) -> dict[str, str]:
        return predictions_read(track, self.parents)


def make(run: Run) -> dict:
    data, config = load_data(TRACK), run.config
    folds, posts = load_folds(TRACK, data, run.scheme), data.items
    train = posts[data.labelled].assign(label=data.labels[data.labelled])
    stats, images = (features.load(TRACK, [name], data) for name in config.features)
    at = posts.index.get_indexer(folds.index)
    cosines = pd.DataFrame(stats.take(at).dense(), columns=list(stats.names), index=train.index)[list(COSINES)]
    pred = load_oof(TRACK, config.parents, folds, data)[0].mean(axis=1)

    words = count_words(posts)
    classes = by_class(train, cosines, pred, config.class_posts)
    pairs = look_alikes(train, images.take(at), config.pairs, config.seed)
    spread = inside_categories(train, config.user_posts)
    answers = [*word_answers(words), *class_answers(classes), *pair_answers(pairs), *spread_answers(spread)]
    summary = summarise(pairs)
    for name, table in (("words", words), ("classes", classes), ("lookalikes", summary), ("spread", spread)):
        with replacing(run.folder / f"{name}.csv") as aside:
            table.round(4).to_csv(aside, index=False)
    draw_words(words, run.folder / "words.png")
    draw_classes(classes, run.folder / "alignment.png")
    say(answers)
    return {"rows": len(train), "answers": answers}


def count_words(posts: pd.DataFrame) -> pd.DataFrame:
    """Posts by number of words in the title and of tags; all beyond 30 together."""
    counts = {
        "title": posts["title"].astype("str").str.count(r"\S+"),
        "tags": posts["tags"].list.len().set_axis(posts.index),
    }
    table = pd.DataFrame({k: v.fillna(0).astype(int).clip(upper=31).value_counts() for k, v in counts.items()})
    return table.reindex(range(32), fill_value=0).fillna(0).astype(int).rename_axis("words").reset_index()


def word_answers(words: pd.DataFrame) -> list[dict]:
    share = words.set_index("words") / words.drop(columns="words").sum()
    short = share.loc[:1, "title"].sum()
    return [
        {
            "claim": "titles say very little: some a single word or none",
            "answer": "yes" if short > 0.1 else "no",
            "numbers": f"{share.loc[0, 'title']:.1%} of the titles are empty, {share.loc[1, 'title']:.1%} are one "
            f"word; {share.loc[0, 'tags']:.1%} of the posts have no tag",
        }
    ]


def by_class(train: pd.DataFrame, cosines: pd.DataFrame, pred: pd.Series, least: int) -> pd.DataFrame:
    """A row a subcategory of at least `least` posts: its category, posts, mean cosines, SRC and MAE of `pred`."""
    rows = []
    for name, part in train.groupby("subcategory", observed=True):
        if len(part) >= least:
            y, p = part["label"].to_numpy(), pred.loc[part.index].to_numpy()
            rows.append(
                {
                    "subcategory": name,
                    "category": part["category"].iloc[0],
                    "posts": len(part),
                    **cosines.loc[part.index].mean().to_dict(),
                    "src": src(y, p),
                    "mae": mae(y, p),
                    "label_sd": y.std(),
                }
            )
    return pd.DataFrame(rows)


def class_answers(classes: pd.DataFrame) -> list[dict]:
    """Rank correlation over classes of the cosine with SRC (the paper: up) and MAE (down)."""
    answers, tried, se = [], 2 * len(COSINES), 1 / np.sqrt(max(len(classes) - 3, 1))
    for column, label in COSINES.items():
        up, down = (spearmanr(classes[column], classes[m]) for m in ("src", "mae"))
        gains = [Gain(sign * r.statistic, se, r.pvalue, tried) for sign, r in ((1, up), (-1, down))]
        said = judge(f"classes whose pictures fit their words better are predicted better ({label})", gains)
        numbers = (
            f"over {len(classes)} subcategories: rank correlation with SRC {up.statistic:+.2f} (p {up.pvalue:.2g}), "
            f"with MAE {down.statistic:+.2f} (p {down.pvalue:.2g} of {LEVEL / tried:.2g})"
        )
        answers.append(said | {"numbers": numbers})
    return answers


def look_alikes(train: pd.DataFrame, images, pairs: int, seed: int) -> pd.DataFrame:
    """Pairs of two posts of one user, drawn evenly from all such pairs: cosine of their pictures, difference of labels.

    difference: |a - b| / min(a, b), the labels' own, as the paper counts in per cent; without a picture: left out.
    """
    rng = np.random.default_rng(seed)
    user = train["user_id"].cat.codes.to_numpy()
    order = np.argsort(user, kind="stable")
    _, start, size = np.unique(user[order], return_index=True, return_counts=True)
    until = np.cumsum(size * (size - 1) // 2)  # pairs of the users so far
    count = int(until[-1])
    pair = np.arange(count) if count <= pairs else np.unique(rng.integers(0, count, pairs))
    owner = np.searchsorted(until, pair, side="right")
    place = pair - np.append(0, until)[owner]  # among the owner's pairs (0, 1), (0, 2), (1, 2), (0, 3), ...
    second = ((1 + np.sqrt(1 + 8 * place)) // 2).astype(np.int64)
    first = place - second * (second - 1) // 2
    a, b = order[start[owner] + first], order[start[owner] + second]
    cosine = np.empty(len(a), np.float32)
    for i in range(0, len(a), 16_384):
        x, z = (images.dense(rows[i : i + 16_384]) for rows in (a, b))
        norm = np.linalg.norm(x, axis=1) * np.linalg.norm(z, axis=1)
        missing = np.full(len(x), np.nan, np.float32)
        cosine[i : i + 16_384] = np.divide((x * z).sum(axis=1), norm, out=missing, where=norm > 0)
    y = train["label"].to_numpy()
    table = pd.DataFrame({"cosine": cosine, "difference": np.abs(y[a] - y[b]) / np.minimum(y[a], y[b])})
    return table[np.isfinite(table["cosine"])]


def summarise(pairs: pd.DataFrame) -> pd.DataFrame:
    """Quantiles of the difference, of look-alikes and of the other pairs."""
    like = pairs["cosine"] > LOOK_ALIKE
    rows = []
    for name, chosen in ((f"cosine over {LOOK_ALIKE}", like), ("other pairs of one user", ~like)):
        quantiles = pairs.loc[chosen, "difference"].quantile([0.5, 0.9, 0.99, 1.0])
        rows.append({"pairs": name, "count": int(chosen.sum()), **{f"{q:.0%}": v for q, v in quantiles.items()}})
    return pd.DataFrame(rows)


def pair_answers(pairs: pd.DataFrame) -> list[dict]:
    like = pairs[pairs["cosine"] > LOOK_ALIKE]["difference"]
    other = pairs[pairs["cosine"] <= LOOK_ALIKE]["difference"]
    if like.empty:
        return []
    return [
        {
            "claim": f"one user's pictures of cosine over {LOOK_ALIKE} differ in popularity by up to {DIFFERENCE:.0%}",
            "answer": "yes" if like.max() >= DIFFERENCE else "no",
            "numbers": f"{len(like):,} such pairs of {len(pairs):,} drawn: median {like.median():.0%}, 99 % below "
            f"{like.quantile(0.99):.0%}, at most {like.max():.0%}"
            + (f"; the user's other pairs: median {other.median():.0%}" if len(other) else ""),
        }
    ]


def inside_categories(train: pd.DataFrame, least: int) -> pd.DataFrame:
    """A row a category: standard deviation of labels over posts, and of users' mean labels (users of `least` posts)."""
    rows = []
    for name, part in train.groupby("category", observed=True):
        users = part.groupby("user_id", observed=True)["label"].agg(["mean", "size"])
        means, center = users.loc[users["size"] >= least, "mean"], part["label"].mean()
        rows.append(
            {
                "category": name,
                "posts": len(part),
                "users": len(means),
                "label_mean": center,
                "sd_of_posts": part["label"].std(),
                "sd_of_users": means.std(),
                "relative_sd_of_users": means.std() / center,
            }
        )
    return pd.DataFrame(rows)


def spread_answers(spread: pd.DataFrame) -> list[dict]:
    """yes: a category's deviation is surely below, no: every one's is surely above; by the chi-squared law of a
    sample's variance, at one level for all categories.
    """
    table = spread[spread["users"] > 1]
    if table.empty:
        return []
    free, tail = table["users"] - 1, LEVEL / len(table) / 2
    low, high = (table["relative_sd_of_users"] * np.sqrt(free / chi2.ppf(q, free)) for q in (1 - tail, tail))
    best = table.loc[table["relative_sd_of_users"].idxmin()]
    return [
        {
            "claim": f"some categories are stable across users (standard deviation under {STABLE} of the mean)",
            "answer": "yes" if (high < STABLE).any() else "no" if (low > STABLE).all() else "not resolved",
            "numbers": f"least in {best['category']}: the means of {best['users']} users vary by "
            f"{best['sd_of_users']:.2f}, {best['relative_sd_of_users']:.3f} of the mean label "
            f"({low[best.name]:.3f} to {high[best.name]:.3f})",
        }
    ]


def draw_words(words: pd.DataFrame, path) -> None:
    figure, axes = subplots(1, 2, sharey=True)
    titles = {"title": "words in a title", "tags": "tags of a post"}
    for axis, (name, title), color in zip(axes[0], titles.items(), COLORS):
        axis.bar(words["words"], words[name] / words[name].sum(), color=color)
        axis.set(title=title, xlabel="number (31: more than 30)")
    axes[0][0].set_ylabel("share of the posts")
    save(figure, path)


def draw_classes(classes: pd.DataFrame, path) -> None:
    figure, axes = subplots(2, 2, 4.6, 3.4)
    names = sorted(classes["category"].unique())
    for line, (column, label) in zip(axes, COSINES.items()):
        for axis, metric in zip(line, ("src", "mae")):
            size = classes["posts"] ** 0.5 * 2
            axis.scatter(classes[column], classes[metric], size, color=COLORS[2], alpha=0.35, linewidths=0)
            for name in names:
                part = classes[classes["category"] == name]
                x, y = (np.average(part[c], weights=part["posts"]) for c in (column, metric))
                axis.plot(x, y, "o", color=COLORS[1], markersize=4)
                axis.annotate(name, (x, y), fontsize=6.5, xytext=(3, 3), textcoords="offset points")
            rho = spearmanr(classes[column], classes[metric]).statistic
            axis.set(xlabel=f"mean cosine, {label}", ylabel=metric.upper())
            axis.set_title(f"rank correlation {rho:+.2f} over {len(classes)} subcategories", fontsize=9)
    save(figure, path)


if __name__ == "__main__":
    run_make(__file__, Config, TRACK, make)
