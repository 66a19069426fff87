"""All that is said of new posts: prediction, interval, reasons, and what it rests on."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from smp import tracks
from smp.errors import DataError
from smp.oof import finished
from smp.predict.interval import LEVEL, coverage, forward_errors, half_widths, seen
from smp.predict.models import Predictor
from smp.predict.reasons import COUNT, reasons
from smp.predict.world import Known, World
from smp.tracks.load import data_name


@dataclass(frozen=True)
class Forecast:
    """An experiment's kept models and the errors that its forward predictions made."""

    known: Known
    experiment: str
    predictor: Predictor
    errors: pd.DataFrame  # smp.predict.interval.forward_errors

    @classmethod
    def of(cls, track: str, experiment: str = "") -> "Forecast":
        """Of the track's final experiment, where none is named. Raises DataError where it is not finished."""
        room = tracks.get(track)
        if room.new_posts is None:
            raise DataError(f"the track {track}: there is no way to read new posts")
        known, experiment = Known.of(track), experiment or room.final
        return cls(known, experiment, Predictor(known, experiment), forward_errors(track, experiment, known.data))

    @cached_property
    def half_widths(self) -> dict[bool, float]:
        """Of the intervals, by whether the user was seen: of all forward errors, the holdout's among them."""
        return half_widths(self.errors)

    def table(self, items: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, str]]:
        """Of every post prediction, low, high, user_seen and its reasons (index post_id); and the parents left out."""
        world = World(self.known, items)
        answer = self.predictor.ask(world)
        is_seen = seen(world.data, world.query, self.known.train)
        half = np.where(is_seen, self.half_widths[True], self.half_widths[False])
        table = pd.DataFrame(
            {"prediction": answer.pred, "low": answer.pred - half, "high": answer.pred + half, "user_seen": is_seen},
            index=items.index,
        )
        why = reasons(answer.contributions, world) if len(answer.contributions) else [[]] * len(table)
        for i in range(COUNT):
            table[f"reason_{i + 1}"] = [lines[i] if i < len(lines) else "" for lines in why]
        return table, answer.left_out


def about(forecast: Forecast, items: pd.DataFrame | None = None) -> Iterator[str]:
    """What the predictions rest on, in a few lines."""
    track, data = forecast.known.track, forecast.known.data
    metrics = json.loads((finished(track, forecast.experiment) / "metrics.json").read_text())
    time = data.items["time"].iloc[forecast.known.train]
    named = ", ".join(f"{m.name.upper()} {metrics['holdout'][m.name]:.3f}" for m in tracks.get(track).task.metrics)
    yield (
        f"{forecast.experiment}, trained on {len(time):,} {track} posts ({data_name(track)}) of {time.min():%Y-%m-%d} "
        f"to {time.max():%Y-%m-%d}; on later posts, the holdout: {named}"
    )
    table = coverage(forecast.errors)
    of = ", ".join(f"{c:.0%} of {u} users' posts" for u, c in table[["users", "coverage"]].to_numpy()[1:])
    yield f"intervals are made to cover {LEVEL:.0%}; of the holdout they cover {of or 'nothing: it has no posts'}"
    if items is not None and len(late := items["time"][items["time"] > data.items["time"].max()]):
        days = (late.max() - data.items["time"].max()).days
        yield f"{len(late):,} posts are later than the data, by up to {days:,} days: what changed since is unknown"
    yield "reasons are the trees' part of the answer (SHAP); a correlation is not advice"
