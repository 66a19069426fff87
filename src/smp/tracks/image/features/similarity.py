"""How alike a post's picture, title and tags are, and how alike its picture is to the user's others; CLIP's space."""

import numpy as np
import pandas as pd

ROWS = 65_536  # posts in memory at a time
PAIRS = {
    "image_text": ("image", "text"),
    "image_title": ("image", "title"),
    "image_tags": ("image", "tags"),
    "title_tags": ("title", "tags"),
}


def build(
    posts: pd.DataFrame, image: np.ndarray, text: np.ndarray, title: np.ndarray, tags: np.ndarray
) -> pd.DataFrame:
    """Five cosines a post, float32, from embeddings (n, d) of one space, rows as in `posts`; no label.

    similarity_image_text, _image_title, _image_tags, _title_tags, and _image_user: with the sum of the unit vectors of
    the user's other pictures, in train and test. NaN where a side is missing: a row of zeros (no readable picture), no
    title, no tags, no other picture. Source: HyperFusion's cross-modal similarities (abstract).
    """
    has_title, has_tags = posts["title"].str.strip().ne("").to_numpy(), posts["tags"].list.len().gt(0).to_numpy()
    there = {"image": np.ones(len(posts), bool), "text": has_title | has_tags, "title": has_title, "tags": has_tags}
    columns = {name: np.full(len(posts), np.nan, np.float32) for name in (*PAIRS, "image_user")}
    user = posts["user_id"].cat.codes.to_numpy()
    pictures = np.zeros((len(posts["user_id"].cat.categories), image.shape[1]), np.float32)
    parts = [slice(start, start + ROWS) for start in range(0, len(posts), ROWS)]
    for at in parts:
        sides = {"image": image, "text": text, "title": title, "tags": tags}
        sides = {name: _unit(array[at], there[name][at]) for name, array in sides.items()}
        for name, (a, b) in PAIRS.items():
            columns[name][at] = (sides[a] * sides[b]).sum(axis=1)
        known = np.isfinite(sides["image"][:, 0]) & (user[at] >= 0)
        np.add.at(pictures, user[at][known], sides["image"][known])
    for at in parts:
        own, known = _unit(image[at]), user[at] >= 0
        columns["image_user"][at] = (own * _unit(pictures[user[at]] - own, known)).sum(axis=1)
    return pd.DataFrame(columns, index=posts.index).add_prefix("similarity_")


def _unit(values: np.ndarray, there: np.ndarray | bool = True) -> np.ndarray:
    """Rows of unit length, float32; NaN for a row of zeros and where `there` (n,) is false."""
    values = np.asarray(values, np.float32)
    length = np.linalg.norm(values, axis=1)
    known = (length > 1e-3) & there
    return np.where(known[:, None], values / np.where(known, length, 1)[:, None], np.nan)
