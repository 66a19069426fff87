"""New posts beside the known ones: every feature of a new post is what it would be, were it a further test row."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from pandas.api.types import union_categoricals

from smp import features, paths, tracks
from smp.errors import DataError
from smp.folds import label_blocks
from smp.matrix import FeatureMatrix
from smp.predict import embed
from smp.tracks.base import Data
from smp.tracks.load import load_data

Values = pd.DataFrame | np.ndarray


@dataclass(frozen=True)
class Known:
    """The posts that the models of a track are of; what was made of them is made once."""

    track: str
    data: Data
    _learnt: dict[str, object] = field(default_factory=dict)
    _stored: dict[str, Values] = field(default_factory=dict)
    _embedders: dict[str, embed.Embedder] = field(default_factory=dict)

    @classmethod
    def of(cls, track: str) -> "Known":
        return cls(track, load_data(track))

    @cached_property
    def train(self) -> np.ndarray:
        """Positions of the labelled posts."""
        return np.flatnonzero(self.data.labelled)

    def embedder(self, maker: str) -> embed.Embedder:
        """What embeds posts as an experiment did."""
        if maker not in self._embedders:
            self._embedders[maker] = embed.Embedder(self.track, maker, self.data.items)
        return self._embedders[maker]

    def learnt(self, name: str) -> object:
        """What a family learns of the known posts before it describes any."""
        if name not in self._learnt:
            self._learnt[name] = features.learn(self.track, name, self.data)
        return self._learnt[name]

    def stored(self, name: str) -> Values:
        """The family or embedding as the models learnt from it, (n, d)."""
        if name not in self._stored:
            self._stored[name] = features.stored(self.track, name, self.data.ids)
        return self._stored[name]


class World:
    """The known posts and those asked for: `data` holds the known ones first, `query` are positions of the asked."""

    def __init__(self, known: Known, items: pd.DataFrame):
        """items: the posts asked for, with the columns of the known; one whose id is known is the known post."""
        self.known, self.track = known, known.track
        at = known.data.ids.get_indexer(items.index)
        self.fresh = at < 0  # (q,) bool
        self.query = np.where(self.fresh, len(known.data) + self.fresh.cumsum() - 1, at)
        new = items[self.fresh]
        labels = np.concatenate([known.data.labels, np.full((len(new), *known.data.labels.shape[1:]), np.nan)])
        self.data = Data(_below(known.data.items, new), labels) if len(new) else known.data
        self._made: dict[str, Values] = {}
        self._made_by: dict[str, dict[str, Values]] = {}
        self._from_labels: dict[tuple, FeatureMatrix] = {}

    def __len__(self) -> int:
        return len(self.query)

    @property
    def items(self) -> pd.DataFrame:
        """The posts asked for."""
        return self.data.items.iloc[self.query]

    def values(self, name: str) -> Values:
        """A family or embedding of the posts asked for, in the space and with the codes that the models know."""
        if name not in self._made:
            self._made[name] = self._values(name)
        return self._made[name]

    def _values(self, name: str) -> Values:
        old = self.known.stored(name)
        if not self.fresh.any():
            return old.iloc[self.query] if isinstance(old, pd.DataFrame) else old[self.query]
        start, new = len(self.known.data), self.data.items.iloc[len(self.known.data) :]
        known = self.query[~self.fresh]
        room = tracks.get(self.track)
        if name in room.families:
            family = room.families[name]
            if family.reads:
                raise embed.NotOfNewPosts(f"the features {name} read {', '.join(family.reads)}")
            data = Data(new, np.full(len(new), np.nan)) if family.alone else self.data
            with tempfile.TemporaryDirectory() as folder:
                made = features.build(self.track, name, data, self.known.learnt(name), Path(folder))
            made = made[len(made) - len(new) :]
        elif (paths.extra_features(self.track) / f"{name}.parquet").is_file():
            made = features.stored(self.track, name, self.data.ids)[start:]
        else:
            made = self._embedded(name)
        order = np.empty(len(self), np.int64)
        order[np.concatenate([np.flatnonzero(~self.fresh), np.flatnonzero(self.fresh)])] = np.arange(len(self))
        if isinstance(old, pd.DataFrame):
            return _one_below_the_other(old, known, made).iloc[order]
        return np.vstack([old[known], made.astype(np.float16)])[order]

    def _embedded(self, name: str) -> Values:
        """An embedding of the new posts, by the experiment that made that of the known."""
        maker = tracks.get(self.track).embeddings[name]
        if maker not in self._made_by:
            self._made_by[maker] = self.known.embedder(maker).embed(self.data.items.iloc[len(self.known.data) :])
        if name not in self._made_by[maker]:
            raise embed.NotOfNewPosts(f"{maker} does not make the features {name} of new posts")
        return self._made_by[maker][name]

    def matrix(self, names: Sequence[str]) -> FeatureMatrix:
        """The families side by side, a row each of the posts asked for."""
        parts = []
        for name in names:
            made = self.values(name)
            if isinstance(made, pd.DataFrame):
                parts.append(FeatureMatrix.from_table(made))
            else:
                columns = [f"{name}_{j}" for j in range(made.shape[1])]
                parts.append(FeatureMatrix.from_array(made, columns, np.arange(len(made))))
        return parts[0].join(*parts[1:])

    def from_labels(self, names: tuple[str, ...], train: np.ndarray, blocks: int) -> FeatureMatrix:
        """The label families of every known post and every new one, from the labels at the positions `train`."""
        key = names, train.tobytes(), blocks
        if key not in self._from_labels:
            block, shown = label_blocks(self.data, train, blocks), self.data.shown(train)
            self._from_labels[key] = features.from_labels(self.track, names, self.data, shown, block, seed=0)
        return self._from_labels[key]

    def column(self, name: str) -> tuple[pd.Series, np.ndarray] | None:
        """A plain column of the posts asked for, and of all known posts; None for one of an embedding."""
        for family, made in self._made.items():
            if isinstance(made, pd.DataFrame) and name in made:
                known = self.known.stored(family)[name]
                return made[name], known.to_numpy()
        for matrix in self._from_labels.values():
            if name in matrix.names:
                values = matrix.blocks[0][:, matrix.names.index(name)]
                return pd.Series(values[self.query]), values[: len(self.known.data)]
        return None


def _below(known: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """The new posts below the known: codes of what is known stay, what is new gets further ones."""
    columns = {}
    for name, values in known.items():
        if isinstance(values.dtype, pd.CategoricalDtype):
            both = union_categoricals([values.array, pd.Categorical(new[name].astype(values.cat.categories.dtype))])
            columns[name] = pd.Series(both, known.index.append(new.index))
        else:
            columns[name] = pd.concat([values, new[name].astype(values.dtype)])
    return pd.DataFrame(columns).rename_axis(known.index.name)


def _one_below_the_other(old: pd.DataFrame, known: np.ndarray, made: pd.DataFrame) -> pd.DataFrame:
    """Known posts as they were stored, and new ones as made beside them.

    Categories have the codes that the models know, unseen ones further codes. A number that no known post lacks is the
    known posts' median where a new one lacks it: no model has learnt what that means.
    """
    if {*old.columns} != {*made.columns}:
        raise DataError(f"columns {sorted({*old.columns} ^ {*made.columns})} are of the known posts or the new alone")
    columns = {}
    for name in old:
        values = made[name]
        if isinstance(old[name].dtype, pd.CategoricalDtype):
            categories = old[name].cat.categories
            unseen = pd.Index(values.dropna().unique()).difference(categories, sort=False)
            kind = pd.CategoricalDtype(categories.append(unseen.astype(categories.dtype)))
            columns[name] = pd.concat([old[name].iloc[known].astype(kind), values.astype(kind)])
        else:
            if values.isna().any() and not old[name].isna().any():
                values = values.fillna(old[name].median())
            columns[name] = pd.concat([old[name].iloc[known], values])
    return pd.DataFrame(columns)
