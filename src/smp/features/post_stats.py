"""What a post says of itself: lengths, scripts and language of title and tags, how common its tags are, categories."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from smp.features.tags import Tags, arrow, joined_tags, read_tags, sorted_unique

EMOJI = r"[\x{1F000}-\x{1FAFF}\x{2600}-\x{27BF}\x{2B50}\x{2B55}\x{231A}\x{231B}\x{23E9}-\x{23F3}]"
FILE_NAME = (
    r"(?i)^\W*(dsc[fn]?|[ch]?img|_?mg|imgp|hpim|mvc|p|pict|sam|gopr|image|photo|foto)[-_ ]*\d{2,}|^\d{3}[-_]\d{4}"
)
# A title is rarely longer than four words, so a trained detector guesses as well: the script, then function words.
SCRIPTS = {
    "japanese": r"[\p{Hiragana}\p{Katakana}]",  # before Han: Japanese is written in both
    "korean": r"\p{Hangul}",
    "chinese": r"\p{Han}",
    "cyrillic": r"\p{Cyrillic}",
    "arabic": r"\p{Arabic}",
    "hebrew": r"\p{Hebrew}",
    "greek": r"\p{Greek}",
    "thai": r"\p{Thai}",
}
WORDS = {  # the first of equals wins: most titles that hold only "in" or "me" are English
    "english": "the|and|of|in|at|with|my|from|for|to|on|is|it|by|this|you|an?|me|his|her|our|are|was|not|day|night",
    "spanish": "el|los|las|y|del|con|una?|por|para|mi|al|es|que|lo|su|de|la|en|se|como|desde|dia|noche",
    "french": "le|les|des?|du|et|au|aux|une?|dans|sur|pour|la|en|mon|ma|ce|est|avec|chez|vue|pas|sous",
    "german": "der|die|das|und|im|am|ein|eine[rnm]?|mit|auf|von|vom|zum|zur|bei|aus|den|dem|nach|ist|in|an|ich|nicht",
    "italian": "il|lo|gli|di|da|del|della|delle|dei|e|con|un|una|per|nel|nella|al|alla|la|le|in|che|dal|san",
    "portuguese": "o|os|as|do|da|dos|das|e|em|no|na|com|um|uma|para|por|ao|de|pelo|meu|minha|que",
    "dutch": "de|het|een|van|en|met|op|voor|aan|bij|naar|mijn|uit|te|is|in|door|niet",
}


def build(posts: pd.DataFrame) -> pd.DataFrame:
    """One row a post. Counts are of characters (code points), words (runs without a space) and tags.

    title_*: digits, nonascii, upper and emoji are shares of the characters, 0 for an empty title; title_is_file: the
    camera's file name. tags_*: the same for the tags joined by spaces; document frequency, ln of the posts of train and
    test that have the tag (least, mean, most over the post's different tags), and rarity, the mean of ln(users / users
    of the tag), which one user's habit cannot inflate; NaN without tags. post_language: the script, or for Latin
    letters the language whose function words the title has most of ("latin" where it has none, "none" without
    letters). Categories as they are, where the track has them. Source: HyFea (2020) and common practice.
    """
    title = arrow(posts["title"])
    columns = _text("title", title) | _text("tags", joined_tags(posts)) | _tags(posts, read_tags(posts))
    columns |= {"title_words": _count(title, r"\S+"), "title_is_file": pc.match_substring_regex(title, FILE_NAME)}
    frame = pd.DataFrame({k: np.asarray(v, np.float32) for k, v in columns.items()}, index=posts.index)
    frame["post_language"] = _language(title)
    for name in ("category", "subcategory", "concept", "mediatype"):
        if name in posts and posts[name].notna().any():
            frame[name] = posts[name]
    return frame


def _text(name: str, text: pa.Array) -> dict[str, np.ndarray]:
    length = pc.utf8_length(text).to_numpy()
    shares = {"digits": r"\pN", "nonascii": r"[^\x00-\x7F]", "upper": r"\p{Lu}", "emoji": EMOJI}
    columns = {f"{name}_chars": length}
    for part, pattern in shares.items():
        columns[f"{name}_{part}"] = _count(text, pattern) / np.maximum(length, 1)
    return columns


def _tags(posts: pd.DataFrame, tags: Tags) -> dict[str, np.ndarray]:
    n, distinct, known = len(posts), tags.distinct, len(tags.names)
    frequency = np.log(np.bincount(tags.code, minlength=known))[tags.code]
    user = posts["user_id"].cat.codes.to_numpy().astype(np.int64)
    users = np.bincount(sorted_unique(user[tags.post] * known + tags.code) % known, minlength=known)  # of each tag
    rarity = np.log(len(np.unique(user)) / users[tags.code])
    least, most = np.full(n, np.nan), np.full(n, np.nan)
    first = np.cumsum(distinct) - distinct  # the pairs are sorted by post
    tagged = distinct > 0
    if tagged.any():
        least[tagged] = np.minimum.reduceat(frequency, first[tagged])
        most[tagged] = np.maximum.reduceat(frequency, first[tagged])
    return {
        "tags_count": distinct,
        "tags_duplicates": tags.total - distinct,
        "tags_frequency_min": least,
        "tags_frequency_mean": tags.per_post(frequency),
        "tags_frequency_max": most,
        "tags_rarity": tags.per_post(rarity),
    }


def _language(title: pa.Array) -> pd.Categorical:
    names = ["none", "latin", *SCRIPTS, *WORDS]
    script = np.array([_count(title, pattern) for pattern in SCRIPTS.values()])  # (8, n)
    script[0] += np.where(script[0] > 0, script[2], 0)  # Han beside kana is Japanese
    lower = pc.utf8_lower(title)
    words = np.array([_count(lower, rf"\b(?:{pattern})\b") for pattern in WORDS.values()])  # (7, n)
    letters = _count(title, r"\pL") > 0
    latin = _count(title, r"\p{Latin}")
    code = np.where(letters, 1, 0)
    code = np.where(words.max(axis=0) > 0, 2 + len(SCRIPTS) + words.argmax(axis=0), code)
    code = np.where(script.max(axis=0) > latin / 2, 2 + script.argmax(axis=0), code)  # a sign of Han is half a word
    return pd.Categorical.from_codes(code, categories=names)


def _count(text: pa.Array, pattern: str) -> np.ndarray:
    return pc.count_substring_regex(text, pattern).to_numpy()
