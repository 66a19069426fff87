"""One self-contained HTML page of everything that has been run: what works, and why."""

import html
import json
from pathlib import Path

import pandas as pd

from smp import paths, tracks
from smp.disk.store import replacing
from smp.report.markup import STYLE, html_table
from smp.report.results import Results, read_scores
from smp.report.sections import claim_table, in_short, of_track


def write() -> list[Path]:
    """Write `report/index.html` into every output folder; returns the paths. Raises DataError without any score."""
    written = []
    for root in sorted({paths.output(t) for t in tracks.names()}):
        here = [t for t in tracks.names() if paths.output(t) == root]
        found = [r for r in map(Results, here) if (root / "scores.csv").exists() and not r.scores.empty]
        if found:
            written.append(root / "report" / "index.html")
            with replacing(written[-1]) as aside:
                aside.write_text(page(found), encoding="utf-8")
    if not written:
        read_scores(root / "scores.csv")  # raises, saying what to do
    return written


def page(found: list[Results]) -> str:
    """The whole page, of the tracks that have scores."""
    claims = pd.concat([r.answers for r in found])
    parts = [("In short", in_short(found)), ("What the papers claim, and what came out", claim_table(claims))]
    for results in found:
        parts += [(f"{results.track.capitalize()}: {name}", text) for name, text in of_track(results)]
    parts.append(("Versions", versions(found)))
    links = "".join(f'<a href="#s{i}">{html.escape(title)}</a>' for i, (title, _) in enumerate(parts))
    body = "\n".join(
        f'<section id="s{i}"><h2>{html.escape(title)}</h2>\n{text}</section>' for i, (title, text) in enumerate(parts)
    )
    banner = (
        '<p class="banner">These scores are of GENERATED DEMO data, made from a stated model whose best possible score '
        "is known. They show that everything works and what helps there, not what the challenge's data would give.</p>"
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<link rel="icon" href="data:,"><title>SMP Challenge: report</title><style>{STYLE}</style></head><body>\n'
        "<h1>Predicting the popularity of posts: what works, and why</h1>\n"
        f"{banner if any(paths.is_demo(r.track) for r in found) else ''}\n<nav>{links}</nav>\n{body}\n</body></html>\n"
    )


def versions(found: list[Results]) -> str:
    """Which data, code and packages the page was made from."""
    stamps = json.loads((found[0].folder / "run.json").read_text())
    rows = [{"track": r.track, **{k: stamps[r.track][k] for k in ("data", "fingerprint", "profile")}} for r in found]
    packages = {name: v for r in found for m in r.metrics.values() for name, v in m["versions"].items()}
    table = pd.DataFrame({"package": packages.keys(), "version": packages.values()})
    return html_table(pd.DataFrame(rows)) + html_table(table)
