"""Words of the demo posts: drawn by their shares, about a subject, and joined into texts."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from smp.tracks.demo.world import World


def join(words: np.ndarray, ids: np.ndarray, lengths: np.ndarray, separator: str = " ") -> np.ndarray:
    """(n,) strings: the words of flat `ids`, cut into rows of the given lengths."""
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
    lists = pa.ListArray.from_arrays(offsets, pa.array(words.tolist(), pa.string()).take(pa.array(ids)))
    return pc.binary_join(lists, separator).to_numpy(zero_copy_only=False)


def pick(rng: np.random.Generator, share: np.ndarray, size) -> np.ndarray:
    """Indices drawn with the given shares."""
    cumulative = np.cumsum(share)
    return np.searchsorted(cumulative, rng.random(size) * cumulative[-1], side="right").astype(np.int32)


def topic_word(rng: np.random.Generator, world: World, concept: np.ndarray) -> np.ndarray:
    """A word about each given concept: its subcategory's noun, its own name, or a word of the topic."""
    subcategory = world.subcategory_of[concept]
    slot = pick(rng, np.array([0.28, 0.22] + [0.0625] * 8), len(concept))
    topic = world.topic_words[subcategory, np.maximum(slot - 2, 0)]
    return np.where(slot == 0, subcategory, np.where(slot == 1, world.first_concept_word + concept, topic))
