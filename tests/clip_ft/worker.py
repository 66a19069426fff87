"""What test_train runs under torchrun and alone: train, extract, and leave the losses and features."""

import sys
from dataclasses import replace
from pathlib import Path

import conftest as tiny
import numpy as np
import torch

from smp.clip_ft.extract import store_features
from smp.clip_ft.fit import fit, out_of_fold
from smp.clip_ft.train import TrainConfig
from smp.disk.store import read_embeddings
from smp.encoders import Loading
from smp.nn.parallel import process_group, ranks

folder, name = Path(sys.argv[1]), sys.argv[2]
torch.set_num_threads(1)
with process_group():
    train = TrainConfig(learning_rate=1e-2, epochs=2, batch_size=17, workers=0)  # the last batch: one post
    task = tiny.make_task(folder, replace(train, accumulate=ranks()[1]))  # ranks and parts at once
    _, step, history = fit(task, np.ones(120, bool), folder / name, "all")
    loading = Loading(batch_size=16, workers=0, precision="fp32", shard_size=32)
    budget = (1, 0, 0, 1, 0, 0, 0)
    store_features(step, task.inputs, task.posts.index, folder / name, "clip_ft", "key", loading, budget)
    table, accuracy = out_of_fold(task, np.arange(120) % 3, folder / name)
    if ranks()[0] == 0:
        features = torch.from_numpy(np.array(read_embeddings(folder / name, "clip_ft")[1]))
        steps = len(torch.load(folder / name / "all.pt", weights_only=True)["history"])
        made = {"history": history, "features": features.float(), "steps": steps, "accuracy": accuracy}
        torch.save({**made, "losses": torch.from_numpy(table["loss"].to_numpy())}, folder / f"{name}.out")
