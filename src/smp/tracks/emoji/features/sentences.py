"""Sentence embeddings of the posts, with their emoji in words or taken out."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from smp.features.text import embed_texts
from smp.tracks.emoji import tokens


def named(items: pd.DataFrame, shards: Path) -> np.ndarray:
    """The family `sentences`: (n, 384) float16 of the text with every emoji's name in its place."""
    return embed_texts(pa.array(items["text"].map(tokens.named), pa.large_string()), shards)


def bare(items: pd.DataFrame, shards: Path) -> np.ndarray:
    """The family `bare_sentences`: the same without any emoji."""
    return embed_texts(pa.array(items["text"].map(tokens.without_emoji), pa.large_string()), shards)
