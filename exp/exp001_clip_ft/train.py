"""The paper's CLIP_FT: prompts and cross-modal projection trained to tell the subcategories, over frozen CLIP towers.
Parents: exp002_clip. Asks: are features aligned by classification better than CLIP's own? (Table 1, CLIP_FT)

Learns the subcategory, which test posts have too, and never the popularity: so one model trained on all posts embeds
them all, and train and test lie in one space. A second set of models, one a fold, gives each training post a
classification loss from a model that did not see it. Runs on torchrun's ranks too.

Reads <prefix>_image, <prefix>_text and <prefix>_tokens of the parent. Writes to the features folder <prefix>_ft (n, 7d:
the blocks of eq. 11), <prefix>_ft_probabilities (n, K), <prefix>_ft_pca (n, 128) and <prefix>_ft_stats; to its own
folder losses.parquet (training posts, out-of-fold), the models, and the prototypes chosen, as table and picture.
"""

import json
import time
from dataclasses import dataclass, field
from typing import Literal

from smp import paths
from smp.clip_ft import extract
from smp.clip_ft.fit import fit, make_task, out_of_fold
from smp.clip_ft.model import ModelConfig
from smp.clip_ft.prototypes import draw
from smp.clip_ft.train import TrainConfig
from smp.disk.hashes import source_hash
from smp.disk.store import read_table, write_table
from smp.encoders import Loading
from smp.experiment import Run, Settings, embeddings_read
from smp.folds import load_folds
from smp.nn.parallel import once
from smp.oof import finished
from smp.runner import run_make
from smp.tracks.load import load_data

import numpy as np

TRACK = "image"
GROUP = "representations"
PARENTS = ("exp002_clip",)
Target = Literal["subcategory", "concept"]


@dataclass(frozen=True)
class Config(Settings):
    parent: str = "exp002_clip"  # the run whose towers and features are taken; with @VARIANT, that variant's
    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    loading: Loading = field(default_factory=Loading)
    target: Target = "subcategory"  # the classes that are learnt; concepts are finer
    # Components of each block of F for the tree models, together as wide as exp002's two. The four blocks that are the
    # same for all posts of a class say nothing but the class: <prefix>_ft_stats tells how a post stands to them.
    pca: tuple[int, ...] = (48, 48, 0, 0, 32, 0, 0)

    def inputs(self, track: str) -> dict[str, str]:
        return embeddings_read(track, self.parent)


SMALL = {
    # few posts: a short context, few steps and so larger ones
    "model": ModelConfig(context_length=4, heads=4),
    "train": TrainConfig(learning_rate=3e-3, epochs=4, precision="fp32", workers=0),
    "loading": Loading(batch_size=512, workers=0, precision="fp32"),
}


def make(run: Run) -> dict:
    started, config, features = time.perf_counter(), run.config, paths.features(TRACK)
    parent = finished(TRACK, config.parent)
    clip = json.loads((parent / "config.json").read_text())["config"]
    posts, data = load_data(TRACK).items, paths.data(TRACK)
    task = make_task(posts, features, data, clip, config.model, config.train, config.target)
    ids = task.posts.index

    _, step, history = fit(task, np.ones(len(ids), bool), run.folder, "all")
    trained = time.perf_counter()
    chosen = read_table(run.folder / "all_prototypes.parquet")
    once(draw, task.posts, chosen, config.model.intervals, run.folder / "all_prototypes.png")
    name, key = f"{clip['prefix']}_ft", source_hash(run.folder / "all.pt", extract.__file__)
    kept = extract.store_features(step, task.inputs, ids, features, name, key, config.loading, config.pca)
    stored = time.perf_counter()

    fold = load_folds(TRACK, load_data(TRACK), run.scheme)["fold"].reindex(ids, fill_value=-1).to_numpy()
    losses, accuracy = out_of_fold(task, fold, run.folder)
    once(write_table, run.folder / "losses.parquet", losses)
    return {
        "classes": len(task.classes),
        "block_width": task.inputs.store.dim,
        "loss": history,
        "accuracy": accuracy,
        "pca_variance": kept,
        "train_seconds": round(trained - started, 1),
        "store_seconds": round(stored - trained, 1),
    }


if __name__ == "__main__":
    run_make(__file__, Config, TRACK, make, SMALL)
