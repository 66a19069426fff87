"""Every video model on the last months, each from earlier ones. Parents: exp050-053, exp056, exp057, exp059.

Asks: what is the score of later posts to be believed? Writes months.csv, months.md and months.png: the constant of
least MAPE, every experiment and the fusion, on the last two months and over all of them, with standard errors and the
paired difference to exp051_lgbm.
"""

from dataclasses import dataclass
from pathlib import Path

from smp import tracks
from smp.disk.store import replacing
from smp.evidence import gain, judge
from smp.experiment import Run, Settings, predictions_read
from smp.folds import months
from smp.learners.medians import weighted_median
from smp.metrics import mean_and_errors
from smp.oof import load_forward
from smp.present import markdown, save, subplots
from smp.runner import run_make
from smp.study import say
from smp.tracks.load import load_data

import numpy as np
import pandas as pd

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
    answers, user = [], data.users[data.ids.get_indexer(pred.index)]
    for other in ("exp050_mvp", BASE):
        ours, theirs = (pred[[name]].to_numpy() for name in ("exp059_fusion", other))
        found = gain(ROOM.task.metrics[0], y, ours, theirs, user, tried=2, part=month)
        answers.append(judge(f"exp059_fusion has a lower MAPE than {other} on later months", [found]))
    say(answers)
    return {"rows": len(y), "answers": answers}


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
