"""What becomes of new posts: a prediction, an interval that covers 80% of the errors on later posts, five reasons.

python -m smp.predict POSTS --track image --out FILE.csv    POSTS: a folder of official files, a .csv or .jsonl
python -m smp.predict coverage --track image                how often the intervals cover posts of the holdout
python -m smp.predict app --track image                     a page in the browser, on this machine alone
"""

import sys
from pathlib import Path

import pandas as pd
import tyro

from smp import tracks
from smp.disk.store import replacing
from smp.errors import one_line_errors
from smp.oof import finished
from smp.predict import posts as new_posts
from smp.predict.interval import LEVEL, coverage, forward_errors
from smp.predict.say import Forecast, about
from smp.tracks.load import load_data


def predict(posts: tyro.conf.Positional[Path], track: str, out: Path, experiment: str = "") -> None:
    """Predict new posts with kept models; nothing is fitted, and no label of theirs is needed.

    Args:
        posts: a folder of official files (the test split's), or a .csv or .jsonl with the columns one has.
        track: whose posts they are.
        out: the CSV to write: post_id, prediction, low, high, user_seen, reason_1 to reason_5.
        experiment: whose models to ask, with its @variant; the track's final one where none is named.
    """
    forecast = Forecast.of(track, experiment)
    items = new_posts.read(posts, tracks.get(track), forecast.known.data)
    for line in about(forecast, items):
        print(line)
    table, left_out = forecast.table(items)
    for name, why in left_out.items():
        print(f"left out: {name}, for {why}; its weight went to the others")
    with replacing(out) as aside:
        table.to_csv(aside, float_format="%.7f")
    print(f"{out}: {len(table):,} posts")


def measure(track: str, experiment: str = "") -> pd.DataFrame:
    """Write coverage.csv to the experiment's folder, and print it: how often the intervals cover posts of the holdout.

    They are made of forward errors before the holdout, so that no post is judged by its own error.
    """
    experiment = experiment or tracks.get(track).final
    table = coverage(forward_errors(track, experiment, load_data(track)))
    path = finished(track, experiment) / "coverage.csv"
    with replacing(path) as aside:
        table.round(4).to_csv(aside, index=False)
    print(f"{path}: intervals made to cover {LEVEL:.0%}")
    print(table.round(3).to_string(index=False))
    return table


if __name__ == "__main__":
    from smp.predict.app import app

    commands, arguments = {"coverage": measure, "app": app}, sys.argv[1:]
    with one_line_errors():
        if arguments[:1] and arguments[0] in commands:
            tyro.cli(commands[arguments[0]], args=arguments[1:], prog=f"smp.predict {arguments[0]}")
        else:
            tyro.cli(predict, args=arguments, prog="smp.predict", description=__doc__)
