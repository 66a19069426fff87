"""The families that two tracks or more can have; a room takes those it wants into its own list."""

from smp.features import label_means, post_stats, stream, tags, text, time_place, user_behaviour, user_labels
from smp.tracks.base import Family


def sentences(of: text.Sentences) -> Family:
    """The family of the embeddings of one text a post."""
    return Family(of.build, learn=of.learn, shards=True, alone=True)


SHARED = {
    "post_stats": Family(post_stats.build),
    "time_place": Family(time_place.build, learn=time_place.learn),
    "user_behaviour": Family(user_behaviour.build),  # the account's columns are among them
    "account": Family(user_behaviour.account),
    "user_id": Family(user_behaviour.identity),
    "common_words": Family(text.common_words, learn=text.learn_common_words, alone=True),
    "text_words": Family(text.words, learn=text.learn_words, alone=True),
    "title_tags": Family(text.title_tags, learn=text.learn_title_tags, alone=True),
    "minilm_content": sentences(text.CONTENT),
    "tags_post": Family(tags.post_embedding, learn=tags.learn_post_embedding, alone=True),
    "tags_user": Family(tags.user_embedding, learn=tags.learn_user_embedding),
    "stream": Family(stream.build),
    "label_means": Family(label_means.build, labels=True),
    "user_labels": Family(user_labels.build, labels=True),
}


def pick(*names: str) -> dict[str, Family]:
    """Those of the shared families, by name."""
    return {name: SHARED[name] for name in names}
