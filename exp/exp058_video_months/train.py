"""Every video model on the last months, each from earlier ones. Parents: exp050-053, exp056, exp057, exp059.

Asks: what is the score of later posts to be believed? Writes months.csv, months.md and months.png: the constant of
least MAPE, every experiment and the fusion, on the last two months and over all of them, with standard errors and the
paired difference to exp051_lgbm.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from smp import tracks
from smp.disk.store import replacing
from smp.experiment import Run, Settings, predictions_read
from smp.folds import months
from smp.learners.medians import weighted_median
from smp.metrics import mean_and_errors
from smp.oof import load_forward
from smp.present import markdown, save, subplots
from smp.runner import run_make
from smp.study import say
from smp.tracks.load import load_data

TRACK = "video"
GROUP = "studies"
PARENTS = (
    "exp050_mvp",
    "exp051_lgbm",
    "exp052_catboost",
    "exp053_mlp",
    "exp056_forest",
    "exp057_gaussian",
    "exp059_fusion",
)
BASE = "exp051_lgbm"
ROOM = tracks.get(TRACK)


@dataclass(frozen=True)
class Config(Settings):
    parents: tuple[str, ...] = PARENTS

    def inputs(self, track: str) -> dict[str, str]:
        return predictions_read(track, self.parents)


def make(run: Run) -> dict:
    data = load_data(TRACK)
    month, pred = load_forward(TRACK, run.config.parents)
    constant = {
        name: weighted_median(data.labels[earlier], ROOM.task.weight(data.labels[earlier])[None])[0]
        for name, earlier, _ in months(data, ROOM.split.months)
    }
    pred.insert(0, "best constant", month.map(constant))
    month, y = month.to_numpy(), data.labels[data.ids.get_indexer(pred.index)]
    late, rows = np.isin(month, np.unique(month)[-2:]), []
    losses = {name: ROOM.task.item_loss(y, column.to_numpy()) for name, column in pred.items()}
    for name, loss in losses.items():
        last, every = mean_and_errors(loss[late], month[late]), mean_and_errors(loss, month)
        step = mean_and_errors(loss - losses[BASE], month)
        rows.append(
            {
                "model": name,
                "last_two_rows": int(late.sum()),
                "last_two": last["mean"],
                "last_two_se": last["se_posts"],
                "rows": len(y),
                "months": every["mean_of_groups"],
                "months_se": every["se_groups"],
                "posts": every["mean"],
                "posts_se": every["se_posts"],
                f"less_{BASE}": step["mean"],
                "less_se_posts": step["se_posts"],
                "less_se_months": step["se_groups"],
            }
        )
    table = pd.DataFrame(rows).round(4)
    with replacing(run.folder / "months.csv") as aside:
        table.to_csv(aside, index=False)
    with replacing(run.folder / "months.md") as aside:
        aside.write_text(markdown(table) + "\n")
    draw(pd.DataFrame(losses).groupby(month).mean(), run.folder / "months.png")
    print(table.to_string(index=False))
    fusion = "exp059_fusion"
    answers = [_beats(fusion, other, losses, month) for other in ("exp050_mvp", BASE)]
    say(answers)
    return {"rows": len(y), "answers": answers}


def _beats(model: str, other: str, losses: dict[str, np.ndarray], month: np.ndarray) -> dict[str, str]:
    """Whether a model's MAPE is below another's on the same posts by two standard errors over posts and over months."""
    step = mean_and_errors(losses[model] - losses[other], month)
    gains = step["mean"] < -2 * step["se_posts"] and step["mean_of_groups"] < -2 * step["se_groups"]
    numbers = (
        f"{step['mean']:+.4f} ± {step['se_posts']:.4f} over {len(month):,} posts, ± {step['se_groups']:.4f} over months"
    )
    return {
        "claim": f"{model} has a lower MAPE than {other} on later months",
        "answer": "yes" if gains else "no",
        "numbers": numbers,
    }


def draw(by_month: pd.DataFrame, path: Path) -> None:
    figure, axes = subplots(1, 1, 9, 4)
    axis = axes[0, 0]
    for name in by_month.columns[1:]:
        axis.plot(by_month.index, by_month[name], "o-", label=name, lw=2.5 if "fusion" in name else 1)
    axis.set_ylabel("MAPE (lower is better)")
    axis.set_title("each month predicted from all earlier ones", fontsize=10)
    axis.legend(fontsize=8)
    save(figure, path)


if __name__ == "__main__":
    run_make(__file__, Config, TRACK, make)
