"""The README's generated parts: score table, the paper's claims, three pictures; and what they were made from.

exp/figures holds the csv files that the parts were made from, so that a test can tell whether they are stale: a picture
carries the digest of its table.
"""

import hashlib
import re
from pathlib import Path

import pandas as pd
from PIL.PngImagePlugin import PngInfo

from smp import paths, tracks
from smp.disk.pictures import load_rgb
from smp.disk.store import replacing
from smp.errors import DataError
from smp.paths import ROOT
from smp.present import markdown, png
from smp.report import figures
from smp.report.results import Results, read_scores

FOLDER = ROOT / "exp" / "figures"
STUDIES = {"table1": "exp021_ablation", "selection": "exp030_sample_selection"}  # picture and table -> what made them


def write() -> None:
    """Rewrite the README's blocks and exp/figures from the output folders. Raises DataError naming what is missing."""
    scores = pd.concat([read_scores(f) for f in sorted({paths.output(t) / "scores.csv" for t in tracks.names()})])
    results = Results("image")
    tables = {"scores": scores, "claims": results.answers}
    for name, study in STUDIES.items():
        tables[name] = results.table(study, f"{name}.csv")
        if tables[name] is None:
            raise DataError(f"{results.folder / study}: not there yet; make it with: bash run_all.sh studies")
    for name, table in tables.items():
        with replacing(FOLDER / f"{name}.csv") as aside:
            table.to_csv(aside, index=False)
    with replacing(FOLDER / "scores.png") as aside:
        aside.write_bytes(png(figures.scores(scores), digest("scores")))
    for name, study in STUDIES.items():
        note = PngInfo()
        note.add_text("Description", digest(name))
        with replacing(FOLDER / f"{name}.png") as aside:
            load_rgb(results.folder / study / f"{name}.png").save(aside, format="png", pnginfo=note)
    for name, text in blocks().items():
        replace_block(ROOT / "README.md", name, text)


def digest(name: str) -> str:
    """Of a table in exp/figures."""
    return hashlib.blake2b((FOLDER / f"{name}.csv").read_bytes(), digest_size=8).hexdigest()


def blocks() -> dict[str, str]:
    """What the README's generated blocks must say, from the tables in exp/figures."""
    claims = pd.read_csv(FOLDER / "claims.csv").drop(columns="study").rename(columns={"answer": "here"})
    return {"scores": score_table(pd.read_csv(FOLDER / "scores.csv")), "claims": markdown(claims)}


def score_table(scores: pd.DataFrame) -> str:
    """A Markdown table per track and data set, saying on which rows each number was measured."""
    parts = []
    for (track, data), rows in scores.groupby(["track", "data"]):
        metrics = [m.name for m in tracks.get(track).task.metrics]
        columns = {"experiment": "experiment"}
        columns |= {f"{part}_{m}": f"{part} {m.upper()}" for part in ("cv", "holdout") for m in metrics}
        if "parts_error" in rows and rows["parts_error"].notna().any():
            columns["parts_error"] = f"forward {metrics[-1].upper()}"
        if "share_of_ceiling" in rows and rows["share_of_ceiling"].notna().any():
            columns["share_of_ceiling"] = "share of ceiling"
        columns |= {"seconds": "seconds", "peak_memory_gb": "peak GB"}
        cv, late = rows["cv_rows"].iloc[0], rows["holdout_rows"].iloc[0]
        table = markdown(rows.sort_values("experiment")[list(columns)].rename(columns=columns))
        parts.append(f"**{track}, {data} data**: cv on {cv:,} posts, holdout on the last {late:,}.\n\n{table}")
    return "\n\n".join(parts)


def replace_block(path: Path, name: str, text: str) -> None:
    """Replace what stands between `<!-- name: ... -->` and `<!-- /name -->` in a Markdown file."""
    content = path.read_text()
    pattern = block(name)
    if not pattern.search(content):
        raise DataError(f"{path}: no block <!-- {name}: --> to write to; put it back")
    with replacing(path) as aside:
        aside.write_text(pattern.sub(lambda m: m[1] + text + "\n" + m[3], content))


def block(name: str) -> re.Pattern:
    """Finds a generated block; its second group is what stands in it."""
    return re.compile(rf"(<!-- {name}:[^>]*-->\n)(.*?)(<!-- /{name} -->)", re.DOTALL)
