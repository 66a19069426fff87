"""One self-contained HTML page of everything that has been run: what works, and why."""

import base64
import html
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from smp import paths, tracks
from smp.disk.store import replacing
from smp.present import cell, png
from smp.report import figures, model
from smp.report.results import Results
from smp.runner import data_name
from smp.tracks.load import ceiling

SUBMISSION, STUDIES = "bash run_all.sh {track}", "bash run_all.sh studies"
UNITS = {"image": "mean absolute error", "video": "mean |error| / label"}
STYLE = """
:root{--ink:#1f2933;--quiet:#616e7c;--line:#e4e7eb;--accent:#0b6e4f;--paper:#fff}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1100px;padding:1rem;font:16px/1.55 system-ui,sans-serif}
body{color:var(--ink);background:var(--paper)}
h1{font-size:1.5rem;line-height:1.25;margin:.5rem 0}
h2{font-size:1.2rem;margin:2.4rem 0 .6rem;padding-top:.6rem;border-top:2px solid var(--accent)}
h3{font-size:1rem;margin:1.4rem 0 .4rem}
p{max-width:70ch;margin:.5rem 0;overflow-wrap:anywhere}
nav{display:flex;flex-wrap:wrap;gap:.2rem .9rem;font-size:.9rem}
a{color:var(--accent)}
code{background:#f1f4f6;padding:.1em .3em;border-radius:3px;font-size:.88em;overflow-wrap:anywhere}
.banner{background:#fff4d6;border-left:4px solid #d9a21b;padding:.5rem .8rem}
.missing{color:var(--quiet);border-left:4px solid var(--line);padding:.2rem .8rem}
.scroll{overflow-x:auto;max-width:100%}
table{border-collapse:collapse;font-size:.85rem;margin:.5rem 0}
th,td{padding:.25rem .6rem;border-bottom:1px solid var(--line);text-align:right;white-space:nowrap}
th{background:#f5f7fa;position:sticky;top:0}
td.text,th.text{text-align:left}
td.long{white-space:normal;min-width:15rem}
tr.best td{font-weight:700}
.yes{color:#0b6e4f;font-weight:700}.no{color:#b83b25;font-weight:700}
.numbers{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:.6rem;margin:.8rem 0}
.numbers div{border:1px solid var(--line);border-radius:6px;padding:.5rem .7rem}
.numbers b{display:block;font-size:1.25rem}
.numbers span{color:var(--quiet);font-size:.82rem}
.pictures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,330px),1fr));gap:1rem}
figure{margin:.6rem 0;min-width:0;max-width:560px}
figure img{width:100%;height:auto;display:block}
figure.wide{max-width:none}
figure.wide img{min-width:720px}
figcaption{color:var(--quiet);font-size:.85rem}
@media(max-width:600px){
.claims tr:first-child{display:none}
.claims td{display:block;border:0;padding:.1rem .3rem}
.claims tr{display:block;border-bottom:1px solid var(--line);padding:.5rem 0}
}
"""


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
        Results("image").scores  # noqa: B018 raises, saying what to do
    return written


def page(found: list[Results]) -> str:
    """The whole page, of the tracks that have scores."""
    parts: list[tuple[str, str]] = [("In short", in_short(found))]
    claims = pd.concat([r.answers for r in found])
    parts.append(("What the paper claims, and what came out", claim_table(claims)))
    for results in found:
        sections: dict[str, Callable[[Results], Iterator[str]]] = {
            "the data": data, "folds and drift": drift, "scores": scores,
            **({"the paper's Table 1": table1} if results.track == "image" else {}), "studies": studies,
            "what the model looks at": looks_at, "where it errs": errors, "the submission": submission,
            "run times and memory": costs,
        }  # fmt: skip
        for name, function in sections.items():
            parts.append((f"{results.track.capitalize()}: {name}", "\n".join(function(results))))
    parts.append(("Versions", versions(found)))
    links = "".join(f'<a href="#s{i}">{html.escape(title)}</a>' for i, (title, _) in enumerate(parts))
    body = "\n".join(
        f'<section id="s{i}"><h2>{html.escape(title)}</h2>\n{text}</section>' for i, (title, text) in enumerate(parts)
    )
    kinds = sorted({data_name(r.track) for r in found})
    banner = "" if kinds == ["official"] else (
        '<p class="banner">These scores are of GENERATED DEMO data, made from a stated model whose best possible score '
        "is known. They show that everything works and what helps there, not what the challenge's data would give.</p>"
    )  # fmt: skip
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<link rel="icon" href="data:,"><title>SMP Challenge: report</title><style>{STYLE}</style></head><body>\n'
        f"<h1>Predicting the popularity of posts: what works, and why</h1>\n{banner}\n<nav>{links}</nav>\n{body}\n"
        "</body></html>\n"
    )


def in_short(found: list[Results]) -> str:
    parts = [
        "<p>The task: say how popular a post will be before it is shown, from its picture or video, its words, its "
        "category, time and place, and its user. Models learn from earlier posts; <b>holdout</b> is the last fifth in "
        "time, predicted by models that saw only what came before, and the number to believe; <b>cv</b> is over all "
        "labelled posts, each predicted by a model that did not learn from its block of time.</p>"
    ]
    for results in found:
        best = results.scores.set_index("experiment").loc[results.final] if results.final else results.scores.iloc[0]
        boxes = [(f"{len(results.posts):,}", f"posts, {results.posts['label'].notna().sum():,} with a label")]
        constant = _constant_scores(results)
        for metric in results.metric_names:
            boxes.append((f"{best[f'holdout_{metric}']:.4f}", f"holdout {metric.upper()}, {figures.BETTER[metric]} is "
                          f"better; a constant: {constant[metric]:.3f}"))  # fmt: skip
        if pd.notna(best.get("share_of_ceiling")):
            boxes.append((f"{best['share_of_ceiling']:.0%}", "of the best score that the demo's model allows"))
        parts.append(f"<h3>{results.track.capitalize()} track, {html.escape(str(best.name))}</h3>")
        shown = "".join(f"<div><b>{n}</b><span>{t}</span></div>" for n, t in boxes)
        parts.append(f'<div class="numbers">{shown}</div>')
        parts += [_what_helps(results), _where_it_errs(results)]
    return "\n".join(parts)


def _constant_scores(results: Results) -> dict[str, float]:
    table = results.predictions
    late, middle = table[table["holdout"]]["label"].to_numpy(), table[~table["holdout"]]["label"].median()
    return tracks.get(results.track).task.scores(late, np.full(len(late), middle))


def _what_helps(results: Results) -> str:
    """The largest steps of the feature families, in words."""
    table = results.table("exp034_families", "families.csv") if results.track == "image" else None
    if table is None:
        return ""
    steps = table.dropna(subset="step_src").sort_values("step_src", ascending=False)
    clear = steps[steps["step_src"] > 2 * steps["step_src_sd"].clip(lower=1e-4)].head(4)
    said = [f"{html.escape(f.removeprefix('+ '))} ({s:+.3f})" for f, s in zip(clear["family"], clear["step_src"])]
    return f"<p>What helps most, added one after the other (holdout SRC): {', '.join(said)}.</p>" if said else ""


def _where_it_errs(results: Results) -> str:
    """Error by seen user and in the tails, in words."""
    table, unit = results.predictions, UNITS[results.track]
    of_user = table.groupby("seen")["error"].mean()
    of_tenth = table["error"].groupby(pd.qcut(table["label"].rank(method="first"), 10, labels=False)).mean()
    users = ", ".join(f"{error:.3f} for {'seen' if seen else 'unseen'}" for seen, error in of_user.items())
    return (
        f"<p>Where it errs ({unit}): {users} users; {of_tenth.iloc[0]:.3f} for the least popular tenth, "
        f"{of_tenth.iloc[4:6].mean():.3f} in the middle, {of_tenth.iloc[-1]:.3f} for the most popular tenth.</p>"
    )


def claim_table(answers: pd.DataFrame) -> str:
    if answers.empty:
        return missing("Claims are checked by the studies", STUDIES)
    rows = []
    for a in answers.sort_values("study", kind="stable").to_dict("records"):
        kind = a["answer"].split(",")[0]
        shown = f'<span class="{kind if kind in ("yes", "no") else ""}">{html.escape(a["answer"])}</span>'
        cells = (html.escape(a["claim"]), shown, html.escape(a["numbers"]), html.escape(a["study"]))
        kinds = ("text long", "text", "text long", "text")
        rows.append("<tr>" + "".join(f'<td class="{k}">{c}</td>' for k, c in zip(kinds, cells)) + "</tr>")
    head = "".join(f'<th class="text">{n}</th>' for n in ("claim", "here", "numbers", "study"))
    return f'<div class="scroll"><table class="claims"><tr>{head}</tr>{"".join(rows)}</table></div>'


def data(results: Results) -> Iterator[str]:
    posts, label = results.posts, results.posts["label"].dropna()
    test = posts[posts["split"] == "test"]
    known = test["user_id"].isin(posts.loc[posts["split"] == "train", "user_id"].unique()).mean()
    yield (
        f"<p>{len(posts) - len(test):,} posts to learn from and {len(test):,} to predict, by "
        f"{posts['user_id'].nunique():,} users, from {posts['time'].min():%d %b %Y} to {posts['time'].max():%d %b %Y}; "
        f"{known:.0%} of the test posts are by users who are in train too. Labels run from {label.min():.2f} to "
        f"{label.max():.2f}: mean {label.mean():.2f}, median {label.median():.2f}, standard deviation "
        f"{label.std():.2f}.</p>"
    )
    drawn = [
        (figures.labels(label), "Labels of the training posts."),
        (figures.months(posts), "Posts and mean label by month: the test lies after the train."),
    ]
    if posts["category"].notna().any():
        drawn.append((_by(results, "category", label_only=True), "Mean label of each category, with standard error."))
    yield pictures(drawn)
    yield from _study_pictures(results, {"exp032_alignment": {"words.png": "Words of a title and tags of a post (the "
                                         "paper's Fig. 1)."}})  # fmt: skip


def drift(results: Results) -> Iterator[str]:
    yield (
        "<p>Folds are contiguous blocks in time, as the test lies after the train; random folds would let a model look "
        "at the same user's posts of the same day.</p>"
    )
    yield pictures([(figures.folds(results.predictions), "Quartiles of the labels of every fold.")])
    if results.track != "image":
        return
    table = results.table("exp033_validation", "validation.csv")
    if table is None:
        yield missing("Which validation tells the score on later posts?", STUDIES)
        return
    yield "<h3>Which validation tells the score on later posts?</h3>"
    yield html_table(table)
    yield from _study_pictures(results, {"exp033_validation": {"validation.png": "The same model under every scheme."}})


def scores(results: Results) -> Iterator[str]:
    table = results.scores.sort_values("experiment")
    metrics = results.metric_names
    columns = ["experiment", *(f"{p}_{m}" for p in ("cv", "holdout") for m in metrics)]
    more = ("parts_error", "share_of_ceiling", "seconds", "peak_memory_gb")
    columns += [c for c in more if c in table and table[c].notna().any()]
    yield (
        f"<p>cv on {table['cv_rows'].iloc[0]:,} posts, holdout on the last {table['holdout_rows'].iloc[0]:,}; bold: "
        "what the submission is made from.</p>"
    )
    best = ceiling(results.track)
    if best:
        allowed = ", ".join(f"{m.upper()} {best['holdout'][m]:.4f}" for m in metrics)
        yield (
            f"<p>The demo's generating model allows {allowed} on the holdout to one who knows it; the share of that "
            "ceiling is the worse of the metrics' shares.</p>"
        )
    yield html_table(table[columns], bold=table["experiment"] == results.final)
    yield pictures([(figures.scores(results.scores), "cv and holdout of every experiment.")], wide=len(metrics) > 1)
    methods = results.table(results.final, "methods.csv")
    if methods is not None:
        yield "<h3>Ways to combine the models, on the same rows</h3>"
        yield html_table(methods)


def table1(results: Results) -> Iterator[str]:
    table = results.table("exp021_ablation", "table1.csv")
    if table is None:
        yield missing("Table 1", STUDIES)
        return
    seeds = _note(results, "exp021_ablation")
    yield (
        "<p>The paper's twelve rows of features for LightGBM, CatBoost and both: its printed numbers (official test) "
        f"beside those measured here. {seeds} The scales differ, for the data do: what can be compared is the order of "
        "the rows and the size of the steps.</p>"
    )
    made_by = results.metrics.get("exp021_ablation", {}).get("sources", {})
    if made_by:
        yield f"<p>Made here by: {html.escape('; '.join(f'{k}: {source}' for k, source in made_by.items()))}.</p>"
    for metric in results.metric_names:
        rows = []
        for name, of_row in table.groupby("row", sort=False):
            row = {"features": name}
            for r in of_row.to_dict("records"):
                row[f"{r['model']}, paper"] = f"{r[f'paper_{metric}']:.4f}"
                for part in ("cv", "holdout"):
                    row[f"{r['model']}, {part}"] = f"{r[f'{part}_{metric}']:.4f} ±{r[f'{part}_{metric}_sd']:.4f}"
            rows.append(row)
        yield f"<h3>{metric.upper()} ({figures.BETTER[metric]} is better)</h3>"
        yield html_table(pd.DataFrame(rows))
    yield from _study_pictures(results, {"exp021_ablation": {"table1.png": "Table 1, the paper's and ours."}})


# Track -> study -> file and what it shows.
STUDY_TABLES = {
    "image": {
        "exp034_families": ("families.csv", "Feature families, added one after the other"),
        "exp035_representations": ("representations.csv", "Representations, the same learner on each"),
        "exp030_sample_selection": ("selection.csv", "Learning from a share of the posts"),
        "exp031_oversampling": ("oversampling.csv", "Labels over 12 learnt more often"),
        "exp036_drift": ("drift.csv", "Means against the drift in time"),
        "exp040_hyperfusion": ("steps.csv", "HyperFusion, step by step"),
        "exp032_alignment": ("lookalikes.csv", "Pairs of one user's posts: how far their labels lie apart"),
    },
    "video": {
        "exp050_mvp": ("steps.csv", "MVP, step by step"),
        "exp054_video_ideas": ("ideas.csv", "Ideas, each on the same posts"),
        "exp058_video_months": ("months.csv", "The last months, each predicted from earlier ones"),
    },
}
STUDY_PICTURES = {
    "image": {
        "exp030_sample_selection": {
            "selection.png": "Learning from a share of the posts (the paper's Fig. 4(b)): of least classification "
            "loss, the same in each class, and as many at random."
        },
        "exp031_oversampling": {
            "oversampling.png": "The most popular posts learnt more often (the paper's Fig. 3): true and predicted "
            "labels, and what it does to the error."
        },
        "exp032_alignment": {
            "alignment.png": "Classes whose pictures fit their words (the paper's Fig. 4(a)): a dot a subcategory, red "
            "the categories."
        },
        "exp035_representations": {"representations.png": "Representations compared."},
    },
    "video": {"exp058_video_months": {"months.png": "The last months, each predicted from earlier ones."}},
}


def studies(results: Results) -> Iterator[str]:
    for name, (file, title) in STUDY_TABLES[results.track].items():
        table = results.table(name, file)
        if table is not None:
            yield f"<h3>{html.escape(title)}</h3>"
            yield html_table(table)
    yield from _study_pictures(results, STUDY_PICTURES[results.track])


def looks_at(results: Results) -> Iterator[str]:
    explanation = model.explain(results) if results.final else None
    if explanation is None:
        yield missing("A LightGBM among the final model's parts", SUBMISSION.format(track=results.track))
        return
    yield (
        f"<p>{html.escape(explanation.experiment)}, the best LightGBM in the final model, fitted again on the earlier "
        f"posts; exact TreeSHAP values of {len(explanation.shap):,} holdout posts. A value is what a feature adds to "
        "one post's predicted label.</p>"
    )
    yield pictures(
        [
            (figures.importance(explanation), "What the model uses."),
            (figures.shap_summary(explanation), "How: a dot a post; red where the feature is high; grey: missing."),
        ]
    )


def errors(results: Results) -> Iterator[str]:
    if not results.final:
        yield missing("Predictions", SUBMISSION.format(track=results.track))
        return
    yield f"<p>Out-of-fold predictions of {html.escape(results.final)}; bars: {UNITS[results.track]}, its error.</p>"
    drawn = [(_by(results, name), caption) for name, caption in (
        ("user", "By whether the user is among those learnt from."),
        ("decile", "By the true label: the tenth of the least popular posts is 1, of the most popular 10."),
        ("month", "By month."), ("category", "By category."),
    ) if name != "category" or "category" in results.predictions]  # fmt: skip
    calibration = figures.calibration(results.predictions)
    drawn.insert(0, (calibration, "Calibration: on the dotted line a prediction is right on average."))
    yield pictures(drawn)
    bias = results.predictions.assign(bias=lambda t: t["pred"] - t["label"]).groupby("holdout")["bias"].mean()
    yield f"<p>Mean of predicted less true: {bias[False]:+.3f} before the holdout, {bias[True]:+.3f} in it.</p>"


def _by(results: Results, name: str, label_only: bool = False) -> plt.Figure:
    """Error (or label) of the groups of labelled posts."""
    table = results.predictions
    groups = {
        "user": lambda: table["seen"].map({True: "seen", False: "unseen"}),
        "decile": lambda: pd.qcut(table["label"].rank(method="first"), 10, labels=False) + 1,
        "month": lambda: table["time"].dt.strftime("%Y-%m"),
        "category": lambda: table["category"],
    }[name]()
    of_group = table["label" if label_only else "error"].groupby(groups)
    means = pd.DataFrame({"error": of_group.mean(), "se": of_group.sem().fillna(0), "posts": of_group.size()})
    if name == "category":
        means = means.sort_values("error", ascending=False)
    return figures.error_bars(means, name, "mean label" if label_only else UNITS[results.track])


def submission(results: Results) -> Iterator[str]:
    if not results.final:
        yield missing("A submission", SUBMISSION.format(track=results.track))
        return
    label, pred = results.posts["label"].dropna(), results.test
    shares = [0, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1]
    names = ["least", "1 %", "10 %", "25 %", "median", "75 %", "90 %", "99 %", "most", "mean", "sd"]
    rows = [
        {"": n, **dict(zip(names, [*v.quantile(shares), v.mean(), v.std()]))}
        for n, v in (("labels of train", label), ("predictions of the test", pred))
    ]
    yield (
        f"<p>{len(pred):,} test posts. Predictions are narrower than labels: what cannot be known is predicted by its "
        "middle. A mean that differs from train's says what the model makes of the drift in time.</p>"
    )
    yield pictures([(figures.labels(label, pred), "Predictions of the test beside the labels of train.")])
    yield html_table(pd.DataFrame(rows).round(2))


def costs(results: Results) -> Iterator[str]:
    columns = {"seconds": "seconds", "peak_memory_gb": "peak GB", "profile": "profile", "commit": "commit"}
    rows = [
        {"stage": name, **{label: m.get(column) for column, label in columns.items()}}
        for name, m in results.metrics.items()
    ]
    table = pd.DataFrame(rows)
    yield (
        f"<p>{len(table)} stages, {table['seconds'].sum() / 60:.1f} minutes in all (one that was resumed counts its "
        f"last run only), at most {table['peak GB'].max():.2f} GB.</p>"
    )
    yield html_table(table)


def versions(found: list[Results]) -> str:
    stamps = json.loads((found[0].folder / "run.json").read_text())
    rows = [
        {"track": r.track, "data": stamps[r.track]["data"], "fingerprint": stamps[r.track]["fingerprint"],
         "profile": stamps[r.track]["profile"]} for r in found
    ]  # fmt: skip
    found = {name: v for r in found for m in r.metrics.values() for name, v in m["versions"].items()}
    table = pd.DataFrame({"package": found.keys(), "version": found.values()})
    return html_table(pd.DataFrame(rows)) + html_table(table)


def _study_pictures(results: Results, wanted: dict[str, dict[str, str]]) -> Iterator[str]:
    for study, files in wanted.items():
        for file, caption in files.items():
            path = results.folder / study / file
            if path.exists():
                yield picture(path.read_bytes(), f"{caption} {_note(results, study)}", wide=True)
            else:
                yield missing(caption.split(":")[0].rstrip("."), f"python exp/{study}/train.py")


def _note(results: Results, study: str) -> str:
    """The rows and seeds a study was measured on."""
    m = results.metrics.get(study, {})
    config = json.loads((results.folder / study / "config.json").read_text())["config"]
    rows = f"{m['rows']:,} posts" if "rows" in m else ""
    held = f"holdout {m['holdout_rows']:,}" if "holdout_rows" in m else ""
    seeds = f"seeds: {len(config['seeds'])}" if config.get("seeds") else ""
    note = ", ".join(filter(None, (rows, held, seeds)))
    return f"Measured on {note}." if note else ""


def missing(what: str, command: str) -> str:
    return f'<p class="missing">{html.escape(what)}: not there yet, <code>{html.escape(command)}</code> makes it.</p>'


def html_table(table: pd.DataFrame, bold: pd.Series | None = None) -> str:
    """A table that scrolls inside itself where it is wider than the screen."""
    kinds = ["" if pd.api.types.is_numeric_dtype(t) else "text" for t in table.dtypes]
    names = [html.escape(str(c).replace("_", " ")) for c in table.columns]
    head = "".join(f'<th class="{k}">{name}</th>' for k, name in zip(kinds, names))
    lines = []
    for i, row in enumerate(table.itertuples(index=False)):
        cells = "".join(f'<td class="{k}">{html.escape(cell(v))}</td>' for k, v in zip(kinds, row))
        lines.append(f'<tr class="{"best" if bold is not None and bold.iloc[i] else ""}">{cells}</tr>')
    return f'<div class="scroll"><table><tr>{head}</tr>{"".join(lines)}</table></div>'


def pictures(drawn: list[tuple[plt.Figure, str]], wide: bool = False) -> str:
    return '<div class="pictures">' + "".join(picture(png(f), text, wide) for f, text in drawn) + "</div>"


def picture(content: bytes, caption: str, wide: bool = False) -> str:
    """An inline picture; a wide one keeps a readable size and scrolls inside its own box on a phone."""
    encoded, text = base64.b64encode(content).decode(), html.escape(caption)
    image = f'<img src="data:image/png;base64,{encoded}" alt="{text}">'
    kind = "wide" if wide else ""
    return f'<figure class="{kind}"><div class="scroll">{image}</div><figcaption>{text}</figcaption></figure>'
