"""A post's words and its emoji, apart, and emoji by their names."""

import re
import unicodedata

import emoji

WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
WIDE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")  # without spaces: pairs are words
# a network's own emoji, which come as names: [笑哭R]
NAMED = re.compile(r"\[([\u3040-\u30ff\u3400-\u9fff]{1,8}[A-Za-z]?)\]")
VARIANT = re.compile("[\ufe0f\U0001f3fb-\U0001f3ff]")  # colour of text or skin: the same emoji


def words(text: str) -> list[str]:
    """The words in lower case, without emoji; of Chinese, Japanese and Korean pairs of characters."""
    text, found = unicodedata.normalize("NFKC", without_emoji(text)).lower(), []
    for word in WORD.findall(text):
        if WIDE.search(word):
            found += [word[i : i + 2] for i in range(max(len(word) - 1, 1))]
        else:
            found.append(word)
    return found


def emojis(text: str) -> list[str]:
    """The emoji as they come, without variants, and then those that come as names."""
    found = [VARIANT.sub("", m.chars) for m in emoji.analyze(text, non_emoji=False)]
    return [*found, *(m[0] for m in NAMED.finditer(text))]


def name(one: str) -> str:
    """What Unicode's CLDR calls an emoji: face with tears of joy."""
    return re.sub(r"[_:\[\]]+", " ", emoji.demojize(one)).strip()


def without_emoji(text: str) -> str:
    return NAMED.sub(" ", emoji.replace_emoji(text, " "))


def named(text: str) -> str:
    """The text with every emoji in words, which a model of words can read."""
    return re.sub(r"\s+", " ", emoji.replace_emoji(text, lambda chars, _: f" {name(VARIANT.sub('', chars))} ")).strip()
