"""The fixed world behind the demo data: taxonomy, words, picture styles and effects, the same for every seed."""

from dataclasses import dataclass

import numpy as np

# Official category names with their shares among real posts, rounded, and an effect on the label of our own choice.
CATEGORIES = {
    "Travel&Active&Sports": (0.213, 0.05),
    "Holiday&Celebrations": (0.200, -0.45),
    "Fashion": (0.161, 0.70),
    "Entertainment": (0.092, 0.15),
    "Social&People": (0.079, 0.25),
    "Animal": (0.065, -0.25),
    "Whether&Season": (0.057, -0.35),
    "Food": (0.051, -0.15),
    "Urban": (0.050, 0.10),
    "Electronics": (0.019, -0.60),
    "Family": (0.014, 0.40),
}
SUBCATEGORIES = {
    "Travel&Active&Sports": "beach mountain surfing football cycling hiking airport train boat swimming climbing "
    "skiing running tennis camping desert island fishing golf yoga roadtrip",
    "Holiday&Celebrations": "christmas halloween newyear easter birthday wedding thanksgiving carnival",
    "Fashion": "dress shoes hair tattoo jewelry makeup hat model jeans glasses bag nails",
    "Entertainment": "concert movie dance festival game",
    "Social&People": "friends portrait party crowd student worker smile",
    "Animal": "dog cat bird horse insect",
    "Whether&Season": "snow rain autumn spring summer sunset fog storm",
    "Food": "cake fruit coffee pizza salad",
    "Urban": "street building bridge",
    "Electronics": "phone",
    "Family": "baby kids",
}
CONCEPTS = 668  # modifier + noun, written together as the official concepts are
MODIFIERS = (  # MODIFIERS, PLAIN_WORDS and LOOKS are lists of words, split where they are used
    "golden little happy wild old blue lucky sleepy sunny royal silent magic lazy sweet hidden giant frozen lonely "
    "early crazy perfect secret tiny brave modern"
)

# Words that anybody may use. The first eight move the label; the rest is the vague talk of real tags.
WORD_EFFECTS = {
    "explore": 0.7,
    "mobile": -0.6,
    "bokeh": 0.5,
    "filter": -0.5,
    "archive": -0.6,
    "hdr": -0.4,
    "film": 0.4,
    "square": -0.4,
}
PLAIN_WORDS = (
    "photo photography nice day world fun 2015 2016 love art life color light new best image foto weekend "
    "été schön 夏 😀"
)
# Words for how a picture looks, from its lowest to its highest fifth.
LOOKS = {"vivid": "faded muted plain rich vivid", "bright": "midnight shadow soft bright glowing"}
GENERIC = 150  # words of the two lists above, filled up with made-up ones
TOPIC_WORDS = 6  # made-up words of each subcategory
SYLLABLES = np.array([c + v for c in "bdfgklmnprstvz" for v in "aeiou"])

# Which way brightness moves the label: bright pictures help in some categories and hurt in others (interaction).
BRIGHT_HELPS = ("Travel&Active&Sports", "Animal", "Food", "Whether&Season", "Family", "Social&People")
# Standard deviations away from showing another class's picture, and noise of the label: animals, food and electronics
# are concrete, weather and season are not (paper 4.2, Fig. 4a).
CLEAR = {"Animal": 1.8, "Food": 1.8, "Electronics": 1.8, "Whether&Season": 0.8}
NOISE = {"Animal": 0.9, "Food": 0.9, "Electronics": 0.9, "Whether&Season": 1.4}


@dataclass(frozen=True)
class World:
    """S = 77 subcategories, C = 668 concepts, W = words of the common vocabulary."""

    category: np.ndarray  # (11,) names
    subcategory: np.ndarray  # (S,) names
    concept: np.ndarray  # (C,) names
    category_of: np.ndarray  # (S,) category of each subcategory
    subcategory_of: np.ndarray  # (C,) subcategory of each concept
    subcategory_share: np.ndarray  # (S,) sums to 1
    concept_share: np.ndarray  # (C,) sums to 1
    class_effect: np.ndarray  # (C,) category + subcategory + concept
    bright: np.ndarray  # (11,) +1 or -1
    clear: np.ndarray  # (11,)
    noise: np.ndarray  # (11,)
    words: np.ndarray  # (W,) nouns, concepts, topic words, words for looks, generic words
    topic_words: np.ndarray  # (S, 8) word ids, the last two borrowed from another subcategory: ambiguous
    generic_share: np.ndarray  # (GENERIC,) sums to 1
    word_effect: np.ndarray  # (W,)
    style: dict[str, np.ndarray]  # (S,) each: what the picture of a subcategory looks like
    concept_style: dict[str, np.ndarray]  # (C,) each: how a concept varies it

    @property
    def first_concept_word(self) -> int:
        return len(self.subcategory)

    @property
    def first_look_word(self) -> dict[str, int]:
        """Of each quality; the words of its fifths follow one another."""
        count = 5 * len(LOOKS)
        return {name: self.first_generic_word - count + 5 * i for i, name in enumerate(LOOKS)}

    @property
    def first_generic_word(self) -> int:
        return len(self.words) - GENERIC


def made_up_words(rng: np.random.Generator, n: int, syllables: int) -> np.ndarray:
    """n different pronounceable words."""
    codes = rng.choice(len(SYLLABLES) ** syllables, n, replace=False)
    words = np.zeros(n, dtype=f"<U{2 * syllables}")
    for _ in range(syllables):
        codes, last = np.divmod(codes, len(SYLLABLES))
        words = np.char.add(words, SYLLABLES[last])
    return words


def build() -> World:
    """The world; every run builds the same one."""
    rng = np.random.default_rng(2015)
    modifiers = np.array(MODIFIERS.split())
    category = np.array(list(CATEGORIES))
    nouns = np.array([word for name in category for word in SUBCATEGORIES[name].split()])
    category_of = np.repeat(np.arange(len(category)), [len(SUBCATEGORIES[name].split()) for name in category])
    n_sub = len(nouns)

    weight = np.exp(0.7 * rng.standard_normal(n_sub))
    share = np.array([s for s, _ in CATEGORIES.values()])
    subcategory_share = (share / share.sum())[category_of] * weight / np.bincount(category_of, weight)[category_of]

    # One concept for each subcategory at least, the others where the posts are (weighted sampling without replacement).
    key = rng.random((n_sub, len(modifiers))) ** (1 / np.sqrt(subcategory_share))[:, None]
    key[:, 0] = 1
    chosen = np.sort(np.argsort(-key, axis=None, kind="stable")[:CONCEPTS])
    subcategory_of, modifier = np.divmod(chosen, len(modifiers))
    concept = np.char.add(modifiers[modifier], nouns[subcategory_of])
    weight = np.exp(0.9 * rng.standard_normal(CONCEPTS))
    concept_share = subcategory_share[subcategory_of] * weight / np.bincount(subcategory_of, weight)[subcategory_of]

    class_effect = (
        np.array([e for _, e in CATEGORIES.values()])[category_of[subcategory_of]]
        + 0.4 * rng.standard_normal(n_sub)[subcategory_of]
        + 0.15 * rng.standard_normal(CONCEPTS)
    )
    class_effect -= class_effect @ concept_share

    known = [*WORD_EFFECTS, *PLAIN_WORDS.split()]
    made_up = np.split(made_up_words(rng, n_sub * TOPIC_WORDS + GENERIC - len(known), 2), [n_sub * TOPIC_WORDS])
    words = np.concatenate([nouns, concept, made_up[0], *map(str.split, LOOKS.values()), known, made_up[1]])
    topic = n_sub + CONCEPTS + np.arange(n_sub * TOPIC_WORDS).reshape(n_sub, TOPIC_WORDS)
    word_effect = np.zeros(len(words))
    word_effect[len(words) - GENERIC :][: len(WORD_EFFECTS)] = list(WORD_EFFECTS.values())
    generic_share = 1 / (np.arange(GENERIC) + 6.0)

    # A category has a range of hues, a subcategory its own shape, texture and second hue inside it.
    place = (np.arange(n_sub) - np.searchsorted(category_of, category_of)) / np.bincount(category_of)[category_of]
    style = {
        "hue": (category_of + 0.7 * place) / len(category),
        "shape_hue": rng.permutation(n_sub) / n_sub,
        "shape": rng.integers(0, 4, n_sub),  # star, diamond, disc, square
        "hollow": rng.choice([0.0, 0.6], n_sub),
        "stretch": rng.choice([0.45, 1.0], n_sub),
        "angle": np.pi * rng.permutation(n_sub) / n_sub,
        "frequency": rng.choice([1.0, 2.5, 5.0], n_sub),
    }
    concept_style = {
        "shapes": rng.integers(3, 8, CONCEPTS),
        "size": rng.uniform(0.16, 0.34, CONCEPTS),
        "hue_shift": rng.uniform(-0.03, 0.03, CONCEPTS),
    }
    return World(
        category=category,
        subcategory=np.char.capitalize(nouns),
        concept=concept,
        category_of=category_of,
        subcategory_of=subcategory_of,
        subcategory_share=subcategory_share,
        concept_share=concept_share / concept_share.sum(),
        class_effect=class_effect,
        bright=np.where(np.isin(category, BRIGHT_HELPS), 1.0, -1.0),
        clear=np.array([CLEAR.get(name, 1.28) for name in category]),
        noise=np.array([NOISE.get(name, 1.1) for name in category]),
        words=words,
        topic_words=np.hstack([topic, topic[rng.permutation(n_sub), :2]]),
        generic_share=generic_share / generic_share.sum(),
        word_effect=word_effect,
        style=style,
        concept_style=concept_style,
    )
