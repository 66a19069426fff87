"""The families that two tracks or more can have; a room takes those it wants into its own list."""

from smp.features import label_means, post_stats, stream, tags, text, time_place, user_behaviour, user_labels
from smp.tracks.base import Family

SHARED = {
    "post_stats": Family(post_stats.build),
    "time_place": Family(time_place.build),
    "user_behaviour": Family(user_behaviour.build),  # the account's columns are among them
    "account": Family(user_behaviour.account),
    "user_id": Family(user_behaviour.identity),
    "common_words": Family(text.common_words),
    "text_words": Family(text.words),
    "title_tags": Family(text.title_tags),
    "minilm_content": Family(text.content_sentences, shards=True),
    "tags_post": Family(tags.post_embedding),
    "tags_user": Family(tags.user_embedding),
    "stream": Family(stream.build),
    "label_means": Family(label_means.build, labels=True),
    "user_labels": Family(user_labels.build, labels=True),
}


def pick(*names: str) -> dict[str, Family]:
    """Those of the shared families, by name."""
    return {name: SHARED[name] for name in names}
