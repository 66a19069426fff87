"""The generated parts of README.md and exp/README.md, three pictures, and what they were made from.

exp/figures holds the csv files that the parts were made from, so that a test can tell whether they are stale: a picture
carries the digest of its table.
"""

import hashlib
import re
from collections.abc import Collection
from pathlib import Path

import pandas as pd
from PIL.PngImagePlugin import PngInfo

from smp import paths, tracks
from smp.catalog import discover
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
    """Rewrite both files' blocks and exp/figures from the output folders; what was not run there stays as it was.

    Raises DataError where there is no score at all.
    """
    scores = pd.concat([read_scores(f) for f in sorted({paths.output(t) / "scores.csv" for t in tracks.names()})])
    experiments = {s.name: s.track for s in discover()}
    answers = pd.concat([Results(t).answers for t in tracks.names()], ignore_index=True)
    tables = {
        "scores": _renewed("scores", scores[~scores["experiment"].str.contains("@")], "experiment", experiments),
        "claims": _renewed("claims", answers, "study", experiments),
    }
    made = {n: Results(experiments[study]).table(study, f"{n}.csv") for n, study in STUDIES.items()}
    for name, table in (tables | {n: t for n, t in made.items() if t is not None}).items():
        with replacing(FOLDER / f"{name}.csv") as aside:
            table.to_csv(aside, index=False)
    with replacing(FOLDER / "scores.png") as aside:
        aside.write_bytes(png(figures.scores(tables["scores"]), digest("scores")))
    for name, study in STUDIES.items():
        if made[name] is None:
            continue
        note = PngInfo()
        note.add_text("Description", digest(name))
        with replacing(FOLDER / f"{name}.png") as aside:
            load_rgb(Results(experiments[study]).folder / study / f"{name}.png").save(aside, format="png", pnginfo=note)
    rewrite()


def write_real(name: str) -> None:
    """Put what was found in this output folder, made of data of that name, beside what the README says; rewrite it.

    Raises DataError where the folder holds no scores, or those of generated data.
    """
    found = [read_scores(f) for f in sorted({paths.output(t) / "scores.csv" for t in tracks.names()}) if f.exists()]
    scores = pd.concat(found) if found else pd.DataFrame({"data": []})
    scores = scores[scores["data"] == "official"].assign(data=name)
    scores = scores[~scores["experiment"].astype("str").str.contains("@")]
    if scores.empty:
        raise DataError(
            f"{paths.output(tracks.names()[0])}: no scores of official data; point SMP_OUTPUT at such a run"
        )
    answers = pd.concat([Results(t).answers for t in tracks.names()]).assign(data=name)
    for file, table, order in (("real", scores, ["track", "data"]), ("real_claims", answers, ["data", "study"])):
        path = FOLDER / f"{file}.csv"
        kept = pd.read_csv(path) if path.exists() else table.iloc[:0]
        with replacing(path) as aside:
            made = pd.concat([kept[kept["data"] != name], table]).sort_values(order, kind="stable")
            made.to_csv(aside, index=False)
    rewrite()


def write_second() -> None:
    """Put what the studies answer in this output folder, of a second generated data set, beside the first's answers."""
    with replacing(FOLDER / "claims_second.csv") as aside:
        pd.concat([Results(t).answers for t in tracks.names()]).to_csv(aside, index=False)
    rewrite()


def _renewed(name: str, new: pd.DataFrame, key: str, experiments: Collection[str]) -> pd.DataFrame:
    """The table of exp/figures with the rows of what was run replaced, and without those of what there is no more."""
    old = pd.read_csv(FOLDER / f"{name}.csv")
    table = pd.concat([old[~old[key].isin(set(new[key]))], new], ignore_index=True)
    return table[table[key].isin(experiments)].sort_values(key, kind="stable")


def rewrite() -> None:
    """Rewrite the blocks from what is in exp/figures."""
    for file, made in blocks().items():
        for name, text in made.items():
            replace_block(ROOT / file, name, text)


def digest(name: str) -> str:
    """Of a table in exp/figures."""
    return hashlib.blake2b((FOLDER / f"{name}.csv").read_bytes(), digest_size=8).hexdigest()


def blocks() -> dict[str, dict[str, str]]:
    """File -> what its generated blocks must say, from the tables in exp/figures and the experiments' scripts."""
    scores = pd.concat([pd.read_csv(f) for f in (FOLDER / "scores.csv", FOLDER / "real.csv") if f.exists()])
    said = {"experiments": experiments(), "scores": score_table(scores), "claims": claim_table()}
    said["real"] = markdown(pd.read_csv(FOLDER / "real_claims.csv")[["data", "claim", "answer", "numbers"]])
    return {"README.md": {"results": result_table(scores)}, "exp/README.md": said}


def claim_table() -> str:
    """A Markdown table of the claims, what two generated data sets answer, and the first's numbers."""
    claims, second = (pd.read_csv(FOLDER / f"{n}.csv") for n in ("claims", "claims_second"))
    table = claims.merge(second.drop_duplicates("claim"), "left", "claim", suffixes=("", " again"))
    table["answer again"] = table["answer again"].fillna("–")
    return markdown(table[["claim", "answer", "answer again", "numbers"]])


def experiments() -> str:
    """A Markdown table of all experiments and what each asks, as their scripts say it."""
    rows = [(s.name, s.track, s.group, ", ".join(p[:6] for p in s.parents), s.asks) for s in discover()]
    table = pd.DataFrame(rows, columns=["experiment", "track", "group", "reads", "what it is: what it asks"])
    return markdown(table.sort_values("experiment"))


def result_table(scores: pd.DataFrame) -> str:
    """A Markdown table of each track's final experiment, two metrics each, and of the best single model beside it."""
    rows = []
    for (name, data), table in scores.groupby(["track", "data"]):
        track, metrics = tracks.get(name), tracks.get(name).task.metrics[:2]
        headline = metrics[0]

        def said(row: dict, part: str, metrics=metrics) -> str:
            return ", ".join(f"{m.name.upper()} {row[f'{part}_{m.name}']:.4f}" for m in metrics)

        is_final = table["experiment"] == track.final
        by = f"holdout_{headline.name}"
        [single, *_] = table[~is_final].sort_values(by, ascending=not headline.greater_is_better).to_dict("records")
        for row in table[is_final].to_dict("records"):
            parts = [p for p in ("forward", "holdout") if pd.notna(row.get(f"{p}_{headline.name}"))]
            shown = {"track": name, "data": data, "posts": row["cv_rows"], "model": row["experiment"]}
            shown |= {part: said(row, part) for part in parts}
            shown["best single model: holdout"] = f"{single['experiment']}: {said(single, 'holdout')}"
            share = {"share of ceiling": f"{row['share_of_ceiling']:.1%}"} if pd.notna(row["share_of_ceiling"]) else {}
            rows.append(shown | share)
    return markdown(pd.DataFrame(rows).astype(object))


def score_table(scores: pd.DataFrame) -> str:
    """A Markdown table per track and data set, saying on which rows each number was measured."""
    parts = []
    for (track, data), rows in scores.groupby(["track", "data"]):
        metrics = [m.name for m in tracks.get(track).task.metrics]
        columns = {"experiment": "experiment"}
        columns |= {f"{part}_{m}": f"{part} {m.upper()}" for part in ("cv", "holdout") for m in metrics}
        if "parts_error" in rows and rows["parts_error"].notna().any():
            columns["parts_error"] = f"forward {tracks.get(track).task.error.upper()}"
        if "share_of_ceiling" in rows and rows["share_of_ceiling"].notna().any():
            columns["share_of_ceiling"] = "share of ceiling"
        if "not_yet_known" in rows and rows["not_yet_known"].notna().any():
            columns["not_yet_known"] = "learnt from labels not yet known"
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
