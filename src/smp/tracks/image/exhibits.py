"""What the report shows of the image track's studies."""

from functools import partial

import pandas as pd

from smp.tracks.base import Exhibit


def as_table1(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """exp021's rows beside each other as the paper prints them: its numbers, ours on cv and on the holdout."""
    rows = []
    for name, of_row in table.groupby("row", sort=False):
        row = {"features": name}
        for r in of_row.to_dict("records"):
            row[f"{r['model']}, paper"] = f"{r[f'paper_{metric}']:.4f}"
            for part in ("cv", "holdout"):
                row[f"{r['model']}, {part}"] = f"{r[f'{part}_{metric}']:.4f} ±{r[f'{part}_{metric}_sd']:.4f}"
        rows.append(row)
    return pd.DataFrame(rows)


def what_helps(table: pd.DataFrame) -> str:
    """The families whose loss costs exp010 most on later posts, of those that clearly help."""
    less = table[table["row"].str.startswith("less ") & (table["forward_src_helps"] == "yes")]
    less = less.sort_values("forward_src_gain", ascending=False).head(4)
    said = [f"{row.removeprefix('less ')} ({gain:+.3f})" for row, gain in zip(less["row"], less["forward_src_gain"])]
    return f"What helps exp010_lgbm most (SRC on later posts, of a family): {', '.join(said) or 'nothing clearly'}."


TABLE1 = "the paper's Table 1"
EXHIBITS = (
    Exhibit("exp032_alignment", "words.png", "Words of a title and tags of a post (the paper's Fig. 1).", "data"),
    Exhibit("exp033_validation", "validation.csv", "Which validation tells the score on later posts?", "drift"),
    Exhibit("exp033_validation", "validation.png", "The same model under every scheme.", "drift"),
    Exhibit(
        "exp021_ablation",
        "table1.csv",
        "SRC (higher is better): what can be compared with the paper's official test is the order and the steps",
        TABLE1,
        partial(as_table1, metric="src"),
    ),
    Exhibit("exp021_ablation", "table1.csv", "MAE (lower is better)", TABLE1, partial(as_table1, metric="mae")),
    Exhibit("exp021_ablation", "table1.png", "Table 1, the paper's and ours.", TABLE1),
    Exhibit("exp034_families", "families.csv", "What exp010 owes to each of its ideas", summary=what_helps),
    Exhibit("exp035_representations", "representations.csv", "Representations, the same learner on each"),
    Exhibit("exp035_representations", "representations.png", "Representations compared."),
    Exhibit("exp036_clip_ft_options", "options.csv", "CLIP_FT with one thing changed"),
    Exhibit("exp030_sample_selection", "selection.csv", "Learning from a share of the posts"),
    Exhibit(
        "exp030_sample_selection",
        "selection.png",
        "Learning from a share of the posts (the paper's Fig. 4(b)): of least classification loss in each class, of "
        "the least loss, the latest, and as many at random.",
    ),
    Exhibit("exp031_oversampling", "oversampling.csv", "Labels over 12 learnt more often"),
    Exhibit(
        "exp031_oversampling",
        "oversampling.png",
        "The most popular posts learnt more often (the paper's Fig. 3): true and predicted labels, and what it does to "
        "the error.",
    ),
    Exhibit("exp040_hyperfusion", "steps.csv", "HyperFusion, step by step"),
    Exhibit("exp032_alignment", "lookalikes.csv", "Pairs of one user's posts: how far their labels lie apart"),
    Exhibit(
        "exp032_alignment",
        "alignment.png",
        "Classes whose pictures fit their words (the paper's Fig. 4(a)): a dot a subcategory, red the categories.",
    ),
)
