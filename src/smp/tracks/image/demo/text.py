"""Titles and tags of the demo's image posts, drawn from topics and from each user's own vocabulary."""

import numpy as np
import pandas as pd
from scipy.stats import norm

from smp.tracks.demo.text import join, pick, topic_word
from smp.tracks.demo.world import GENERIC, World, made_up_words

OWN_TAGS = 8  # of each user
MOST_OWN_TAGS = 250_000  # over all users; many users share them
HABITS = 6  # generic words each user prefers
LOOK_TOLD = 0.4  # share of posts whose tags say how vivid the picture is; of others, how bright
FILE_NAMES = np.array([f"{stem}_{i:04d}" for stem in ("IMG", "DSC") for i in range(7, 10_000, 40)])


def post_texts(
    rng: np.random.Generator, world: World, posts: pd.DataFrame, users: pd.DataFrame
) -> dict[str, np.ndarray]:
    """Title and tags of every post, and what the label takes from them.

    posts: columns user, burst, concept, vivid, bright. About one post in ten talks about something else than its
    class. Returns title, alltags (str), n_tags, title_words (int), word_effect (float), and told_vivid, told_bright:
    the fifth of the looks that a tag names, -1 where none does, all (n,).
    """
    n, n_users = len(posts), len(users)
    user, concept = posts["user"].to_numpy(), posts["concept"].to_numpy()
    about = np.where(rng.random(n) < 0.1, concept[rng.permutation(n)], concept)
    tags = made_up_words(rng, min(n_users * OWN_TAGS, MOST_OWN_TAGS), 3)
    tags = np.where(np.isin(tags, world.words), np.char.add(tags, "s"), tags)  # "mobile" has a meaning already
    words = np.concatenate([world.words, tags])
    own = np.arange(n_users * OWN_TAGS).reshape(n_users, OWN_TAGS) % (len(words) - len(world.words)) + len(world.words)
    habit = world.first_generic_word + pick(rng, world.generic_share, (n_users, HABITS))

    length = np.exp(3.05 + 0.55 * rng.standard_normal(n_users)[user] + 0.5 * rng.standard_normal(n))
    length = np.where(rng.random(n) < 0.04, 0, np.minimum(length, 90)).astype(int)
    row = np.repeat(np.arange(n), length)
    kind, slot = rng.random(len(row), dtype=np.float32), rng.integers(0, OWN_TAGS, len(row))
    tag = topic_word(rng, world, about[row])
    tag = np.where(kind < 0.55, own[user[row], slot], tag)
    tag = np.where(kind < 0.30, habit[user[row], slot % HABITS], tag)
    everyone = world.first_generic_word + pick(rng, world.generic_share, len(row))
    tag = np.where(kind < 0.12, everyone, tag)
    told, rows, tags = {}, [row], [tag]
    for name, first in world.first_look_word.items():
        fifth = np.minimum((5 * norm.cdf(posts[name])).astype(int), 4)
        told[f"told_{name}"] = np.where((rng.random(n) < LOOK_TOLD) & (posts[name] != 0) & (length > 0), fifth, -1)
        rows.append(np.flatnonzero(told[f"told_{name}"] >= 0))
        tags.append(first + told[f"told_{name}"][rows[-1]])

    # A tag occurs once in a post; the order is random.
    row, tag = np.divmod(np.unique(np.concatenate(rows) * np.int64(len(words)) + np.concatenate(tags)), len(words))
    tag = tag[np.lexsort((rng.random(len(row)), row))]
    n_tags = np.bincount(row, minlength=n)
    effect = np.append(world.word_effect, np.zeros(len(words) - len(world.words)))[tag]

    title, title_words = titles(rng, world, about)
    first = np.unique(posts["burst"].to_numpy(), return_index=True)[1]  # bursts are numbered 0..
    same = rng.random(len(first)) < 0.6  # one title for the whole burst
    source = np.where(same[posts["burst"]], first[posts["burst"]], np.arange(n))
    return {
        "title": title[source],
        "title_words": title_words[source],
        "alltags": join(words, tag, n_tags),
        "n_tags": n_tags,
        "word_effect": np.bincount(row, effect, n),
        **told,
    }


def titles(rng: np.random.Generator, world: World, about: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n,) titles and their word counts: most are of one word, a tenth empty, a tenth a camera's file name (Fig. 1)."""
    n = len(about)
    length = pick(rng, np.array([0.10, 0.60, 0.15, 0.08, 0.05, 0.02]), n)
    row = np.repeat(np.arange(n), length)
    vocabulary = np.concatenate([np.char.capitalize(world.words), FILE_NAMES])
    generic = world.first_generic_word + rng.integers(8, GENERIC, len(row))
    ids = np.where(rng.random(len(row)) < 0.75, topic_word(rng, world, about[row]), generic)
    camera = (length == 1) & (rng.random(n) < 0.17)
    ids = np.where(camera[row], len(world.words) + rng.integers(0, len(FILE_NAMES), len(row)), ids)
    return join(vocabulary, ids, length), length
