"""The search: never repeats finished trials, shares one study, never sees the holdout's labels."""

import json
import sys
from dataclasses import replace

import pandas as pd
import pytest

from smp import paths, runner
from smp.data import load_posts
from smp.folds import load_folds
from smp.learners import MLP, CatBoost, LightGBM, TabNet
from smp.runner import Experiment, run_cv
from smp.tuning import search


@pytest.mark.parametrize("learner", [LightGBM(), CatBoost(), MLP(), TabNet()], ids=lambda x: type(x).__name__)
def test_a_search_goes_on_where_it_stopped_and_starts_from_the_defaults(tmp_path, learner):
    tried = []

    def loss_of(candidate):
        tried.append(candidate)
        return candidate.learning_rate

    first = search(tmp_path / "s.journal", "a", learner, loss_of, 4)
    assert len(tried) == 4
    assert tried[0] == replace(learner, **{k: getattr(tried[0], k) for k in ("learning_rate",)})
    assert tried[0].learning_rate == learner.learning_rate, "the first trial is the learner as it is"
    assert first == min(tried, key=lambda c: c.learning_rate)
    search(tmp_path / "s.journal", "a", learner, loss_of, 6)
    assert len(tried) == 6
    assert search(tmp_path / "s.journal", "a", learner, loss_of, 6) in tried
    assert len(tried) == 6
    search(tmp_path / "s.journal", "other data", learner, loss_of, 2)
    assert len(tried) == 8


def test_tuning_runs_a_variant_of_its_own_and_never_sees_the_holdout(demo_run, tmp_path, monkeypatch):
    class Small(LightGBM):
        def suggest(self, trial):
            return replace(self, num_leaves=trial.suggest_int("num_leaves", 2, 40))

    from dataclasses import dataclass

    @dataclass(frozen=True)
    class Config(Experiment):
        features: tuple[str, ...] = ("video_stats",)
        learner: LightGBM = Small(objective="l1", rounds=10, learning_rate=0.2)
        seeds: tuple[int, ...] = (0,)

    monkeypatch.setattr(sys, "argv", ["train.py", "--tune", "5"])
    script = str(tmp_path / "exp950_test" / "train.py")
    run_cv(script, Config, "video")
    output = paths.output("video")
    assert json.loads((output / "exp950_test@tuned" / "metrics.json").read_text())["experiment"] == "exp950_test@tuned"
    trials = pd.read_csv(output / "studies" / "exp950_test@tuned.csv")
    assert len(trials) == 5

    posts = load_posts("video")
    late = load_folds("video", posts).query("holdout").index
    flipped = posts.copy()
    flipped.loc[late, "label"] = 14 - flipped.loc[late, "label"]
    monkeypatch.setattr(runner, "load_posts", lambda track: flipped)
    (output / "studies" / "exp950_test@tuned.journal").unlink()
    monkeypatch.setattr(sys, "argv", ["train.py", "--tune", "5", "--force"])
    run_cv(script, Config, "video")
    again = pd.read_csv(output / "studies" / "exp950_test@tuned.csv")
    pd.testing.assert_series_equal(again["value"], trials["value"])
