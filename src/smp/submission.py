"""Official submission files of a finished experiment, and their checker.

python -m smp.submission write exp010_lgbm --track image
python -m smp.submission check submissions/image_exp010_lgbm.csv --track image
"""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import orjson
import pandas as pd
import tyro

from smp import paths
from smp.disk.store import read_table, replacing
from smp.errors import DataError, one_line_errors
from smp.features import is_external
from smp.oof import finished
from smp.tracks.load import load_posts

VERSION = "VERSION 1.2"  # of the image track's JSON form
DECIMALS = 4
FINAL: dict[str, str] = {"image": "exp020_fusion", "video": "exp059_fusion"}  # what the submission is made from
ID_COLUMN = {"image": "post_id", "video": "pid"}


def write(experiment: tyro.conf.Positional[str], track: str, score_column: str = "popularity_score") -> list[Path]:
    """Write the submission files of a finished experiment: CSV, and for the image track JSON too; returns their paths.

    Predictions are clipped to the range of the training labels and rounded to 4 decimals. Raises DataError where the
    experiment is unfinished or lacks a test post.

    Args:
        experiment: folder name under output/, with its @variant.
        track: image or video.
        score_column: header of the score; some years' video samples spell it `polularity_score`.
    """
    folder = finished(track, experiment)
    posts = load_posts(track)
    test_ids = posts.index[posts["split"] == "test"]
    pred = read_table(folder / "test.parquet")["pred"].reindex(test_ids)
    if pred.isna().any():
        raise DataError(f"{folder}/test.parquet: lacks {pred.isna().sum()} test posts; make it again with --force")
    scores = pred.clip(*_label_range(posts)).round(DECIMALS)
    ids = ("post" + test_ids if track == "image" else test_ids).tolist()

    name = ("DEMO_" if paths.is_demo(track) else "") + f"{track}_{experiment}"
    written = [paths.submissions(track) / f"{name}.csv"]
    with replacing(written[0]) as aside:
        pd.DataFrame({ID_COLUMN[track]: ids, score_column: scores.to_numpy()}).to_csv(aside, index=False)
    if track == "image":
        written.append(paths.submissions(track) / f"{name}.json")
        result = [{"post_id": i, "popularity_score": s} for i, s in zip(ids, scores.tolist())]
        with replacing(written[1]) as aside:
            aside.write_bytes(
                orjson.dumps({"version": VERSION, "result": result, "external_data": external_data(track, experiment)})
            )
    return written


def external_data(track: str, experiment: str) -> dict[str, str]:
    """The declaration the JSON form asks for: feature files from outside the official data, in it or its parents."""
    names, queue = set(), [experiment]
    while queue:
        settings = json.loads((paths.output(track) / queue.pop() / "config.json").read_text())
        names |= {f for f in settings["features"] if is_external(track, f)}
        queue += settings["config"].get("parents", [])
    return {"used": "true" if names else "false", "details": ", ".join(sorted(names))}


def problems(file: Path, track: str, posts: pd.DataFrame, score_column: str = "popularity_score") -> list[str]:
    """Everything that would have the file refused, a line each naming the row; empty for a good one."""
    try:
        ids, scores = _read(file, track, score_column)
    except (ValueError, OSError, csv.Error) as error:
        return [f"{file}: {error}"]
    found = []
    prefix = "post" if track == "image" else ""
    wanted = pd.Index(prefix + posts.index[posts["split"] == "test"])
    given = pd.Index(ids, dtype=object)

    def report(mask: np.ndarray, what: str) -> None:
        if mask.any():
            first = int(np.argmax(mask))
            found.append(f"{file}: row {first + 1} ({given[first]!r}) and {mask.sum() - 1} others: {what}")

    report(given.duplicated(), "the post is there twice")
    report(~given.isin(wanted), f"not a test post; ids look like {wanted[0]!r}")
    missing = wanted.difference(given, sort=False)
    if len(missing):
        found.append(f"{file}: {len(missing)} test posts are missing, the first is {missing[0]!r}")
    low, high = _label_range(posts)
    report(~np.isfinite(scores), "the score is not a finite number")
    with np.errstate(invalid="ignore"):
        report((scores < low) | (scores > high), f"the score is outside the labels' range {low}..{high}")
    return found


def check(file: tyro.conf.Positional[Path], track: str, score_column: str = "popularity_score") -> None:
    """Check a submission file; prints a summary and its distribution beside the training labels', or exits 1.

    Args:
        file: .csv, or .json for the image track.
        track: image or video.
        score_column: header that the CSV must have.
    """
    posts = load_posts(track)
    found = problems(file, track, posts, score_column)
    if found:
        sys.exit("\n".join(found))
    _, scores = _read(file, track, score_column)
    shares = [0, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1]
    columns = {"submission": pd.Series(scores), "training labels": posts["label"].dropna()}
    table = pd.DataFrame({k: [*v.quantile(shares), v.mean(), v.std()] for k, v in columns.items()}).round(2)
    table.index = ["min", "1%", "10%", "25%", "50%", "75%", "90%", "99%", "max", "mean", "sd"]
    print(f"{file}: valid, {len(scores)} test posts, all finite and inside the labels' range")
    print(table.T.to_string())


def _label_range(posts: pd.DataFrame) -> tuple[float, float]:
    return float(posts["label"].min()), float(posts["label"].max())


def _read(file: Path, track: str, score_column: str) -> tuple[list[str], np.ndarray]:
    """Ids and scores (NaN where not a number) of a submission file. Raises ValueError saying what is malformed."""
    if file.suffix == ".csv":
        with file.open(encoding="utf-8", newline="") as lines:
            rows = list(csv.reader(lines))
        header = [ID_COLUMN[track], score_column]
        if not rows or rows[0] != header:
            raise ValueError(f"the header must be {','.join(header)}, found {','.join(rows[0]) if rows else 'nothing'}")
        uneven = next((i for i, row in enumerate(rows[1:], 1) if len(row) != 2), None)
        if uneven:
            raise ValueError(f"row {uneven} has {len(rows[uneven])} fields, not 2")
        return [r[0] for r in rows[1:]], pd.to_numeric(pd.Series([r[1] for r in rows[1:]]), errors="coerce").to_numpy(
            float
        )
    if file.suffix == ".json" and track == "image":
        content = orjson.loads(file.read_bytes())
        if not isinstance(content, dict) or set(content) != {"version", "result", "external_data"}:
            raise ValueError("must be an object with exactly version, result and external_data")
        if content["version"] != VERSION:
            raise ValueError(f"version must be {VERSION!r}, found {content['version']!r}")
        declared = content["external_data"]
        known = isinstance(declared, dict) and declared.get("used") in ("true", "false")
        if not known or not isinstance(declared.get("details"), str):
            raise ValueError('external_data must be {"used": "true" or "false", "details": "..."}')
        result = content["result"]
        if not isinstance(result, list):
            raise ValueError("result must be a list")
        for i, row in enumerate(result, 1):
            if not isinstance(row, dict) or not {"post_id", "popularity_score"} <= set(row):
                raise ValueError(f"row {i} must be an object with post_id and popularity_score")
            if not isinstance(row["post_id"], str):
                raise ValueError(f"row {i}: post_id must be a string")
        scores = [r["popularity_score"] for r in result]
        numbers = [s if isinstance(s, (int, float)) and not isinstance(s, bool) else np.nan for s in scores]
        return [r["post_id"] for r in result], np.array(numbers, float)
    raise ValueError("must be a .csv file" + (" or a .json file" if track == "image" else ""))


if __name__ == "__main__":
    with one_line_errors():
        tyro.extras.subcommand_cli_from_dict({"write": write, "check": check}, description=__doc__)
