"""Official submission files of a finished experiment, and their checker.

python -m smp.submission write exp010_lgbm --track image
python -m smp.submission check submissions/image_exp010_lgbm.csv --track image
"""

import csv
import io
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson
import pandas as pd
import tyro

from smp import paths, tracks
from smp.disk.store import read_table, replacing
from smp.disk.walk import mistaken
from smp.errors import DataError, one_line_errors
from smp.features import is_external
from smp.oof import finished
from smp.tracks.base import Data, Submission
from smp.tracks.load import load_data

PACKED = {  # by how the file begins
    b"PK": "a zip or an Excel workbook",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook (.xls)",
    b"\x1f\x8b": "packed by gzip",
    b"BZh": "packed by bzip2",
    b"\xfd7zXZ": "packed by xz",
    b"\x28\xb5\x2f\xfd": "packed by zstd",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a rar archive",
}


def write(experiment: tyro.conf.Positional[str], track: str, score_column: str = "") -> list[Path]:
    """Write the submission files of a finished experiment: CSV, and JSON where the track has such a form; returns their
    paths.

    Predictions are clipped to the range of the training labels and rounded. Raises DataError where the experiment is
    unfinished or lacks a test post, or the track has no submission.

    Args:
        experiment: folder name under output/, with its @variant.
        track: whose challenge it is for.
        score_column: header of the score where it is not the track's own; some years' video samples spell it
            `polularity_score`.
    """
    form, data = _form(track, score_column), load_data(track)
    folder = finished(track, experiment)
    test_ids = data.ids[~data.labelled]
    pred = read_table(folder / "test.parquet")["pred"].reindex(test_ids)
    if pred.isna().any():
        raise DataError(f"{folder}/test.parquet: lacks {pred.isna().sum()} test posts; make it again with --force")
    scores = pred.clip(*_label_range(data)).round(form.decimals)
    ids = (form.prefix + test_ids).tolist()

    name = ("DEMO_" if paths.is_demo(track) else "") + f"{track}_{experiment}"
    written = [paths.submissions(track) / f"{name}.csv"]
    with replacing(written[0]) as aside:
        pd.DataFrame({form.id_column: ids, form.score_column: scores.to_numpy()}).to_csv(aside, index=False)
    if form.json_version:
        written.append(paths.submissions(track) / f"{name}.json")
        result = [{"post_id": i, "popularity_score": s} for i, s in zip(ids, scores.tolist())]
        content = {
            "version": form.json_version,
            "result": result,
            "external_data": external_data(track, experiment),
        }
        with replacing(written[1]) as aside:
            aside.write_bytes(orjson.dumps(content))
    return written


def external_data(track: str, experiment: str) -> dict[str, str]:
    """The declaration the JSON form asks for: feature files from outside the official data, in it or its parents."""
    names, queue = set(), [experiment]
    while queue:
        settings = json.loads((paths.output(track) / queue.pop() / "config.json").read_text())
        names |= {f for f in settings["features"] if is_external(track, f)}
        queue += settings["config"].get("parents", [])
    return {"used": "true" if names else "false", "details": ", ".join(sorted(names))}


def problems(file: Path, track: str, data: Data, score_column: str = "") -> list[str]:
    """Everything that would have the file refused, a line each naming the row; empty for a good one."""
    form = _form(track, score_column)
    try:
        ids, scores, written = _read(file, form)
    except UnicodeDecodeError as error:
        return [f"{file}: not text in UTF-8 ({error}); save it as plain UTF-8"]
    except (ValueError, OSError, csv.Error) as error:
        return [f"{file}: {error}"]
    found = []
    wanted = form.prefix + data.ids[~data.labelled]
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
    if (bad := ~np.isfinite(scores)).any():
        report(bad, f"the score {written[int(np.argmax(bad))]!r:.40} is not a finite number, with a point if any")
    return found


def oddities(file: Path, track: str, data: Data, score_column: str = "") -> list[str]:
    """What the challenge takes in a file without problems, and is seldom meant; a line each."""
    scores, (low, high) = _read(file, _form(track, score_column))[1], _label_range(data)
    found, outside = [], (scores < low) | (scores > high)
    if outside.any():
        row = f"row {outside.argmax() + 1} is {scores[outside.argmax()]:g}"
        found.append(f"{file}: {outside.sum()} scores are outside the labels' range {low}..{high} ({row})")
    if b"\r\n" in file.read_bytes()[:1000]:
        found.append(f"{file}: its lines end in CRLF, as Windows writes them")
    return found


def check(file: tyro.conf.Positional[Path], track: str, score_column: str = "") -> None:
    """Check a submission file; prints a summary and its distribution beside the training labels', or exits 1.

    Args:
        file: .csv, or .json where the track has such a form.
        track: whose challenge it is for.
        score_column: header that the CSV must have, where it is not the track's own.
    """
    data = load_data(track)
    found = problems(file, track, data, score_column)
    if found:
        sys.exit("\n".join(found))
    scores = _read(file, _form(track, score_column))[1]
    shares = [0, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1]
    columns = {"submission": pd.Series(scores), "training labels": pd.Series(data.labels[data.labelled])}
    table = pd.DataFrame({k: [*v.quantile(shares), v.mean(), v.std()] for k, v in columns.items()}).round(2)
    table.index = ["min", "1%", "10%", "25%", "50%", "75%", "90%", "99%", "max", "mean", "sd"]
    print(f"{file}: valid, {len(scores)} test posts, all finite")
    for line in oddities(file, track, data, score_column):
        print(f"warning: {line}")
    print(table.T.to_string())


def _form(track: str, score_column: str) -> Submission:
    """The track's form, with another header where one is named. Raises DataError where it has none."""
    form = tracks.get(track).submission
    if form is None:
        raise DataError(f"the track {track} has no submission")
    return replace(form, score_column=score_column or form.score_column)


def _label_range(data: Data) -> tuple[float, float]:
    return float(np.nanmin(data.labels)), float(np.nanmax(data.labels))


def _read(file: Path, form: Submission) -> tuple[list[str], np.ndarray, list]:
    """Ids, scores (NaN where not a number) and the scores as written. Raises ValueError saying what is malformed."""
    if kind := mistaken(file):
        raise ValueError(kind)
    content = file.read_bytes()
    for start, what in PACKED.items():
        if content.startswith(start):
            raise ValueError(f"{what}; save the table as CSV (UTF-8)")
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ValueError("UTF-16, as Excel's Unicode text; save it as plain UTF-8")
    if content.startswith(b"\xef\xbb\xbf"):
        raise ValueError("starts with a byte order mark, as Excel writes it; save it as plain UTF-8 without one")
    if file.suffix == ".csv":
        rows = list(csv.reader(io.StringIO(content.decode(), newline="")))
        header = [form.id_column, form.score_column]
        if rows and ",".join(rows[0]).startswith("sep="):
            raise ValueError("the first line is Excel's sep=; delete it")
        for mark, name in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
            if rows and [cell.strip(' "') for cell in ",".join(rows[0]).split(mark)] == header:
                raise ValueError(f"{name} between the columns; write commas, and points in the numbers")
        if not rows or rows[0] != header:
            raise ValueError(f"the header must be {','.join(header)}, found {','.join(rows[0]) if rows else 'nothing'}")
        uneven = next((i for i, row in enumerate(rows[1:], 1) if len(row) != 2), None)
        if uneven:
            raise ValueError(f"row {uneven} has {len(rows[uneven])} fields, not 2")
        written = [row[1] for row in rows[1:]]
        scores = pd.to_numeric(pd.Series(written), errors="coerce").to_numpy(float)
        return [row[0] for row in rows[1:]], scores, written
    if file.suffix == ".json" and form.json_version:
        content = orjson.loads(content)
        if not isinstance(content, dict) or set(content) != {"version", "result", "external_data"}:
            raise ValueError("must be an object with exactly version, result and external_data")
        if content["version"] != form.json_version:
            raise ValueError(f"version must be {form.json_version!r}, found {content['version']!r}")
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
        return [r["post_id"] for r in result], np.array(numbers, float), scores
    raise ValueError("must be a .csv file" + (" or a .json file" if form.json_version else ""))


if __name__ == "__main__":
    with one_line_errors():
        tyro.extras.subcommand_cli_from_dict({"write": write, "check": check}, description=__doc__)
