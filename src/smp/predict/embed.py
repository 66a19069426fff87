"""Embeddings of new posts, by the frozen encoders and the trained CLIP_FT that made those of the known posts."""

import json
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from smp import paths
from smp.disk.store import read_embeddings, read_table
from smp.errors import DataError
from smp.experiment import fields_of
from smp.oof import finished

KEY = "new posts"  # of what is stored for a moment


class NotOfNewPosts(DataError):
    """Features that can only be made together with those of all posts."""


class Embedder:
    """A finished CLIP_FT (exp001_clip_ft) over the towers of its parent, loaded once."""

    def __init__(self, track: str, maker: str, known: pd.DataFrame):
        """known: the posts that it was trained on. Raises NotOfNewPosts where the experiment is of another kind."""
        from smp.clip_ft import fit
        from smp.clip_ft.model import ModelConfig
        from smp.clip_ft.towers import Towers
        from smp.encoders.clip import load_clip
        from smp.nn.parallel import device

        config = _config(track, maker)
        if "model" not in config or not {"parent", "train", "pca"} <= {*config}:
            raise NotOfNewPosts(f"{maker} keeps no encoder that can be asked")
        if config["train"]["unfreeze_image"] or config["train"]["unfreeze_text"]:
            raise NotOfNewPosts(f"{maker} was trained with unfrozen towers, which it does not keep")
        self.config, self.parent = config, _config(track, config["parent"])
        self.store = paths.features(track)
        self.clip = load_clip(self.parent["model"], self.parent["pretrained"])
        self.target = config["target"]
        self.classes = known[self.target].cat.categories
        model = ModelConfig(**fields_of(config["model"]))
        towers = Towers(self.clip.net.to(device()), self.clip.tokenizer)
        self.step = fit.kept(towers, self.classes, model, finished(track, maker) / "all.pt")

    def embed(self, items: pd.DataFrame) -> dict[str, pd.DataFrame | np.ndarray]:
        """What it says of new posts, by the names that it has in the store; items: image_path is a whole path."""
        from smp.clip_ft import extract
        from smp.clip_ft.inputs import Inputs, Store
        from smp.encoders import Loading, descriptions, encode_posts
        from smp.encoders.clip import image_encoder, text_encoder
        from smp.encoders.components import project

        prefix, ids = self.parent["prefix"], items.index
        loading = Loading(**fields_of(self.parent["loading"]))
        label = self.classes.get_indexer(items[self.target].astype("str")).astype(np.int64)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for encoder, read in (
                (image_encoder(self.clip), items["image_path"].tolist()),
                (text_encoder(self.clip), descriptions(items, self.parent["description"])),
            ):
                encode_posts(encoder, read, ids, folder, prefix, KEY, loading)
            inputs, own = Inputs(Store(folder, prefix, ids), label), f"{prefix}_ft"
            loading = Loading(**fields_of(self.config["loading"]))
            extract.store_features(self.step, inputs, ids, folder, own, KEY, loading)
            made = {name: np.array(read_embeddings(folder, name)[1]) for name in (own, f"{own}_probabilities")}
            made[f"{own}_stats"] = read_table(folder / f"{own}_stats.parquet")
        return made | {f"{own}_pca": project(self.store, own, made[own])}


def _config(track: str, experiment: str) -> dict:
    return json.loads((finished(track, experiment) / "config.json").read_text())["config"]
