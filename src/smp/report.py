"""Tables and figures of what came out: `python -m smp.report readme` rewrites the README's from output/'s scores."""

import re
from pathlib import Path

import pandas as pd
import tyro

from smp import paths
from smp.data.store import replacing
from smp.metrics import TRACK_METRICS
from smp.paths import ROOT, DataError, one_line_errors

BETTER = {"src": "higher", "mae": "lower", "mape": "lower"}


def readme() -> None:
    """Rewrite the README's score table and its picture from the scores.csv of every output folder."""
    scores = read_scores()
    replace_block(ROOT / "README.md", "scores", score_table(scores))
    score_figure(scores, ROOT / "exp" / "figures" / "scores.png")


def read_scores() -> pd.DataFrame:
    """Scores of all finished experiments, official and demo. Raises DataError where there are none."""
    files = sorted({paths.output(t) / "scores.csv" for t in paths.TRACKS})
    found = [pd.read_csv(f) for f in files if f.exists()]
    if not found:
        raise DataError(f"{files[0]}: no scores yet; make them with: bash run_all.sh")
    return pd.concat(found, ignore_index=True)


def score_table(scores: pd.DataFrame) -> str:
    """A Markdown table per track and data set, saying on which rows each number was measured."""
    parts = []
    for (track, data), rows in scores.groupby(["track", "data"]):
        metrics = list(TRACK_METRICS[track])
        columns = ["experiment", *(f"{part}_{m}" for part in ("cv", "holdout") for m in metrics)]
        names = ["experiment", *(f"{part} {m.upper()}" for part in ("cv", "holdout") for m in metrics)]
        if "months_error" in rows and rows["months_error"].notna().any():
            columns, names = [*columns, "months_error"], [*names, f"months {metrics[-1].upper()}"]
        if rows["share_of_ceiling"].notna().any():
            columns, names = [*columns, "share_of_ceiling"], [*names, "share of ceiling"]
        columns, names = [*columns, "seconds", "peak_memory_gb"], [*names, "seconds", "peak GB"]
        shown = markdown(rows.sort_values("experiment")[columns].set_axis(names, axis=1))
        cv, late = rows["cv_rows"].iloc[0], rows["holdout_rows"].iloc[0]
        parts.append(f"**{track}, {data} data**: cv on {cv:,} posts, holdout on the last {late:,}.\n\n{shown}")
    return "\n\n".join(parts)


def markdown(table: pd.DataFrame) -> str:
    """A Markdown table: the first column to the left, the others to the right."""
    names = list(table.columns)
    lines = ["| " + " | ".join(names) + " |", "| --- " + "| ---: " * (len(names) - 1) + "|"]
    for row in table.itertuples(index=False):
        lines.append("| " + " | ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in row) + " |")
    return "\n".join(lines)


def replace_block(path: Path, name: str, text: str) -> None:
    """Replace what stands between `<!-- name: ... -->` and `<!-- /name -->` in a Markdown file."""
    content = path.read_text()
    block = re.compile(rf"(<!-- {name}:[^>]*-->\n).*?(<!-- /{name} -->)", re.DOTALL)
    if not block.search(content):
        raise DataError(f"{path}: no block <!-- {name}: --> to write to; put it back")
    with replacing(path) as aside:
        aside.write_text(block.sub(lambda m: m[1] + text + "\n" + m[2], content))


def score_figure(scores: pd.DataFrame, path: Path) -> None:
    """cv and holdout of every experiment, a panel a track and metric."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    panels = [(t, d, m) for (t, d), _ in scores.groupby(["track", "data"]) for m in TRACK_METRICS[t]]
    figure, axes = plt.subplots(1, len(panels), figsize=(4.2 * len(panels), 3.6), squeeze=False, layout="constrained")
    for axis, (track, data, metric) in zip(axes[0], panels):
        rows = scores[(scores["track"] == track) & (scores["data"] == data)].sort_values("experiment", ascending=False)
        for part, marker, color in (("cv", "o", "#9aa5b1"), ("holdout", "D", "#0b6e4f")):
            axis.plot(rows[f"{part}_{metric}"], rows["experiment"], marker, color=color, label=part)
        axis.set_title(f"{track}, {data}", fontsize=10)
        axis.set_xlabel(f"{metric.upper()} ({BETTER[metric]} is better)")
        axis.grid(axis="x", alpha=0.3)
    for axis in axes[0][1:]:
        if axis.get_title() == axes[0][0].get_title():
            axis.tick_params(labelleft=False)
    axes[0][0].legend(loc="best", fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as aside:
        figure.savefig(aside, dpi=110, format="png", metadata={"Software": None})
    plt.close(figure)


if __name__ == "__main__":
    with one_line_errors():
        tyro.extras.subcommand_cli_from_dict({"readme": readme}, description=__doc__)
