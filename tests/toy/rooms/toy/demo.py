"""Toy messages: what a user's message earns is that user's habit, drifting; its first hour tells of the rest."""

from pathlib import Path

import numpy as np
import orjson
import pandas as pd

HOUR, DAY = 3600, 86_400


def write(folder: Path, truth: Path, posts: int, images: bool, seed: int) -> dict:
    """Write the files to `folder`; no best score is known."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng([seed, 7])
    user = rng.integers(0, posts // 8, posts)
    time = np.sort(rng.integers(0, 300 * DAY, posts)) + 1_500_000_000
    rate = rng.normal(1.5, 0.7, posts // 8)[user] + 0.5 * (time - time[0]) / (300 * DAY)
    hour, day, week = (rng.poisson(np.exp(rate) * share) for share in (1, 2, 4))
    ids = [f"m{i:05d}" for i in range(posts)]
    split = np.where(np.arange(posts) < 0.7 * posts, "train", "test")
    rows = zip(ids, split.tolist(), user.tolist(), time.tolist(), rng.integers(1, 280, posts).tolist())
    messages = [dict(zip(("id", "split", "user", "time", "length"), row)) for row in rows]
    passes = [{"id": ids[i], "time": int(time[i] + rng.integers(HOUR))} for i in np.repeat(np.arange(posts), hour)]
    for name, table in (("messages", messages), ("passes", passes)):
        (folder / f"{name}.jsonl").write_bytes(b"\n".join(orjson.dumps(row) for row in table) + b"\n")
    labels = pd.DataFrame({"id": ids, "day": np.log1p(hour + day), "week": np.log1p(hour + day + week)}).round(4)
    labels[split == "train"].to_csv(folder / "labels.csv", index=False)
    labels[split == "test"].to_csv(truth / "toy_test.csv", index=False)
    return {}
