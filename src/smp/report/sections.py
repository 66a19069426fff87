"""The sections of the page: functions of a track's results that say what was found, in words, tables and pictures.

What only one track has to show stands in its room, as its list of exhibits.
"""

import html
import json
from collections.abc import Iterator

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from smp import tracks
from smp.report import figures, model
from smp.report.markup import html_table, missing, picture, pictures
from smp.report.results import Results
from smp.tracks.load import ceiling

SUBMISSION, STUDIES = "bash run_all.sh {track}", "bash run_all.sh studies"


def of_track(results: Results) -> Iterator[tuple[str, str]]:
    """Title and content of every section of a track, in the order of the page."""
    shown = tracks.get(results.track).exhibits
    own = dict.fromkeys(e.section for e in shown if e.section not in ("data", "drift", "studies"))
    yield "the data", "\n".join(data(results))
    yield "folds and drift", "\n".join(drift(results))
    yield "scores", "\n".join(scores(results))
    for name in own:
        is_there = any((results.folder / e.experiment / e.file).exists() for e in shown if e.section == name)
        yield name, "\n".join(exhibits(results, name)) if is_there else missing(name[:1].upper() + name[1:], STUDIES)
    yield "studies", "\n".join(exhibits(results, "studies"))
    yield "what the model looks at", "\n".join(looks_at(results))
    yield "where it errs", "\n".join(errors(results))
    if tracks.get(results.track).submission:
        yield "the submission", "\n".join(submission(results))
    yield "run times and memory", "\n".join(costs(results))


def exhibits(results: Results, section: str) -> Iterator[str]:
    """What the track's room has to show in a section: tables that are there, and pictures, or how to make them."""
    for shown in tracks.get(results.track).exhibits:
        if shown.section != section:
            continue
        if shown.file.endswith(".png"):
            path = results.folder / shown.experiment / shown.file
            if path.exists():
                yield picture(path.read_bytes(), f"{shown.title} {_note(results, shown.experiment)}", wide=True)
            else:
                yield missing(shown.title.split(":")[0].rstrip("."), f"python exp/{shown.experiment}/train.py")
            continue
        table = results.table(shown.experiment, shown.file)
        if table is not None:
            yield f"<h3>{html.escape(shown.title)}</h3>"
            yield html_table(shown.shape(table) if shown.shape else table)
            yield f"<p>{_note(results, shown.experiment)}</p>"


def in_short(found: list[Results]) -> str:
    parts = [
        "<p>The task: say how popular a post will be before it is shown, from its picture or video, its words, its "
        "category, time and place, and its user. Models learn from earlier posts; <b>holdout</b> is the last block in "
        "time, predicted by models that saw only what came before, and the number to believe; <b>cv</b> is over all "
        "labelled posts, each predicted by a model that did not learn from its block of time.</p>"
    ]
    for results in found:
        best = results.scores.set_index("experiment").loc[results.final] if results.final else results.scores.iloc[0]
        boxes = [(f"{len(results.posts):,}", f"posts, {results.posts['label'].notna().sum():,} with a label")]
        constant = _constant_scores(results)
        for metric in results.task.metrics:
            way = f"{metric.better} is better; a constant: {constant[metric.name]:.3f}"
            boxes.append((f"{best[f'holdout_{metric.name}']:.4f}", f"holdout {metric.name.upper()}, {way}"))
        if pd.notna(best.get("share_of_ceiling")):
            boxes.append((f"{best['share_of_ceiling']:.0%}", "of the best score that the demo's model allows"))
        parts.append(f"<h3>{results.track.capitalize()} track, {html.escape(str(best.name))}</h3>")
        shown = "".join(f"<div><b>{n}</b><span>{t}</span></div>" for n, t in boxes)
        parts.append(f'<div class="numbers">{shown}</div>')
        for shown in tracks.get(results.track).exhibits:
            table = results.table(shown.experiment, shown.file) if shown.summary else None
            parts.append(f"<p>{html.escape(shown.summary(table))}</p>" if table is not None else "")
        parts.append(_where_it_errs(results))
    return "\n".join(parts)


def _constant_scores(results: Results) -> dict[str, float]:
    """The holdout's scores of the median of what came before."""
    late = results.predictions["holdout"].to_numpy()
    at = results.data.ids.get_indexer(results.predictions.index)
    y, constant = results.data.labels[at[late]], np.median(results.data.labels[at[~late]], axis=0)
    return results.task.scores(y, np.broadcast_to(constant, y.shape), results.data.items.iloc[at[late]])


def _where_it_errs(results: Results) -> str:
    """Error by seen user and in the tails, in words."""
    table, unit = results.predictions, results.unit
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
    of_test = f"{known:.0%} of the test posts are by users who are in train too. " if len(test) else ""
    yield (
        f"<p>{len(posts) - len(test):,} posts to learn from and {len(test):,} to predict, by "
        f"{posts['user_id'].nunique():,} users, from {posts['time'].min():%d %b %Y} to {posts['time'].max():%d %b %Y}; "
        f"{of_test}Labels run from {label.min():.2f} to {label.max():.2f}: mean {label.mean():.2f}, median "
        f"{label.median():.2f}, standard deviation {label.std():.2f}.</p>"
    )
    drawn = [
        (figures.labels(label), "Labels of the training posts."),
        (figures.over_time(posts), "Posts and their mean label over time."),
    ]
    if "category" in results.predictions:
        drawn.append((_by(results, "category", label_only=True), "Mean label of each category, with standard error."))
    yield pictures(drawn)
    yield from exhibits(results, "data")


def drift(results: Results) -> Iterator[str]:
    yield (
        "<p>Folds are contiguous blocks in time, as the test lies after the train; random folds would let a model look "
        "at the same user's posts of the same day.</p>"
    )
    yield pictures([(figures.folds(results.predictions), "Mean and quartiles of the labels of every fold.")])
    yield from exhibits(results, "drift")


def scores(results: Results) -> Iterator[str]:
    table = results.scores.sort_values("experiment")
    metrics = [m.name for m in results.task.metrics]
    columns = ["experiment", *(f"{p}_{m}" for p in ("cv", "holdout") for m in metrics)]
    more = ("parts_error", "share_of_ceiling", "not_yet_known", "seconds", "peak_memory_gb")
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


def looks_at(results: Results) -> Iterator[str]:
    explanation = model.explain(results) if results.final else None
    if explanation is None:
        yield missing("A LightGBM among the final model's parts", SUBMISSION.format(track=results.track))
        return
    yield (
        f"<p>{html.escape(explanation.experiment)}, the best LightGBM in the final model, as fitted on all labels; "
        f"exact TreeSHAP values of {len(explanation.shap):,} posts. A value is what a feature adds to one post's "
        "predicted label.</p>"
    )
    summary = figures.shap_summary(explanation), "How: a dot a post; red where the feature is high; grey: missing."
    yield pictures([(figures.importance(explanation), "What the model uses."), summary])


def errors(results: Results) -> Iterator[str]:
    if not results.final:
        yield missing("Predictions", SUBMISSION.format(track=results.track))
        return
    yield f"<p>Out-of-fold predictions of {html.escape(results.final)}; bars: {results.unit}, its error.</p>"
    calibration = figures.calibration(results.predictions)
    drawn = [
        (calibration, "Calibration: on the dotted line a prediction is right on average."),
        (_by(results, "user"), "By whether the user is among those learnt from."),
        (_by(results, "decile"), "By the true label: the least popular tenth of the posts is 1, the most popular 10."),
        (_by(results, "time"), "Over time."),
    ]
    if "category" in results.predictions:
        drawn.append((_by(results, "category"), "By category."))
    yield pictures(drawn)
    bias = results.predictions.assign(bias=lambda t: t["pred"] - t["label"]).groupby("holdout")["bias"].mean()
    yield f"<p>Mean of predicted less true: {bias[False]:+.3f} before the holdout, {bias[True]:+.3f} in it.</p>"


def _by(results: Results, name: str, label_only: bool = False) -> plt.Figure:
    """Error (or label) of the groups of labelled posts."""
    table = results.predictions
    groups = {
        "user": lambda: table["seen"].map({True: "seen", False: "unseen"}),
        "decile": lambda: pd.qcut(table["label"].rank(method="first"), 10, labels=False) + 1,
        "time": lambda: table["time"].dt.tz_localize(None).dt.to_period(figures.period(table["time"])[1]),
        "category": lambda: table["category"],
    }[name]()
    of_group = table["label" if label_only else "error"].groupby(groups)
    means = pd.DataFrame({"error": of_group.mean(), "se": of_group.sem().fillna(0), "posts": of_group.size()})
    if name == "category":
        means = means.sort_values("error", ascending=False)
    return figures.error_bars(means, name, "mean label" if label_only else results.unit)


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


def _note(results: Results, study: str) -> str:
    """The rows and seeds a study was measured on."""
    m = results.metrics.get(study, {})
    config = json.loads((results.folder / study / "config.json").read_text())["config"]
    rows = f"{m['rows']:,} posts" if "rows" in m else ""
    held = f"holdout {m['holdout_rows']:,}" if "holdout_rows" in m else ""
    seeds = f"seeds: {len(config['seeds'])}" if config.get("seeds") else ""
    note = ", ".join(filter(None, (rows, held, seeds)))
    return f"Measured on {note}." if note else ""
