"""Why: the contributions of the columns to a prediction, in words."""

import re

import numpy as np
import pandas as pd

from smp.predict.world import World

COUNT = 5  # reasons a post
# What a column says; the first that fits. Columns that say the same are one reason.
WORDS = {
    r"title_tags_": "how much title and tags have in common",
    r"tags_post_": "what the tags are about",
    r"tags_user_": "what the user's tags are about",
    r"tags_(frequency|rarity)": "how common the tags are",
    r"tags_(count|duplicates|chars)": "how many tags there are",
    r"tags_|common_words_|text_words_|content_words|says_|word_|suggested_": "the words of title and tags",
    r"minilm_": "what the text is about",
    r"title_|content_": "the title's length and letters",
    r"post_language|language": "the title's language",
    r"time_hour|hour": "the hour of the day",
    r"time_weekday|weekday": "the day of the week",
    r"time_day|days": "the date",
    r"place_|location": "the place",
    r"user_label_|label_user": "what the user's earlier posts earned",
    r"label_(\w+?)(_count)?$": "what earlier posts of the same {} earned",
    r"stream_all_": "how many posts came around it",
    r"stream_(\w+?)_(since|until|hour|day|week|today|rate)": "how many posts of the same {} came around it",
    r"user_tag|user_top_tag": "the user's habits with tags",
    r"user_(category|subcategory|concept)_": "how varied the user's topics are",
    r"user_title_": "how often the user repeats the title",
    r"post_number|user_number|user_suffix": "the numbers in the names of post and user",
    r"account_|user_description|location_description|counter_|log_|ratio_|few_videos|follows_": "the account",
    r"user_": "how often the user posts",
    r"clip|blip|vit|resnet|similarity|cluster|video_frames|frame": "the picture",
    r"music": "the music",
    r"video_": "the clip",
}


def reasons(contributions: pd.DataFrame, world: World) -> list[list[str]]:
    """The COUNT strongest reasons of every post, strongest first, such as "+0.31 the hour of the day (time_hour ...)".

    contributions (q, columns) in units of the label. Behind each stands its strongest column: what it says of the post,
    or its rank among the known posts.
    """
    said = [word(name) for name in contributions]
    names, group = np.unique(said, return_inverse=True)
    values = contributions.to_numpy()
    sums = np.stack([values[:, group == g].sum(axis=1) for g in range(len(names))], axis=1)
    best = np.argsort(-np.abs(sums), axis=1, kind="stable")[:, :COUNT]
    own = np.abs(values)
    columns = {g: np.flatnonzero(group == g) for g in np.unique(best)}
    details: dict[int, list[str]] = {}
    out: list[list[str]] = []
    for row, chosen in enumerate(best):
        lines = []
        for g in chosen:
            column = columns[g][own[row, columns[g]].argmax()]
            if column not in details:
                details[column] = detail(contributions.columns[column], world)
            lines.append(f"{sums[row, g]:+.2f} {names[g]}{details[column][row]}")
        out.append(lines)
    return out


def word(column: str) -> str:
    """What a column says, in words; its own name where no words are known."""
    for pattern, text in WORDS.items():
        if found := re.match(pattern, column):
            return text.format(*(part.replace("_", " ") for part in found.groups()[:1] if part))
    return column.replace("_", " ")


def detail(column: str, world: World) -> list[str]:
    """What a column says of each of the posts asked for, in brackets; nothing of a dimension of an embedding."""
    found = world.column(column)
    if found is None:
        return [""] * len(world)
    values, known = found
    if isinstance(values.dtype, pd.CategoricalDtype):
        return [f" ({column}: {'none' if v != v else v})" for v in values.astype(object)]
    known = np.sort(known[np.isfinite(known)])
    share = 100 * np.searchsorted(known, values.to_numpy()) / max(len(known), 1)
    return [f" ({column}: none)" if v != v else f" ({column}: over {s:.0f}% of posts)" for v, s in zip(values, share)]
