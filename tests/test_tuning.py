"""The search: never repeats finished trials, shares one study, never sees the holdout's labels."""

import json
import os
import signal
import sys
import time
from dataclasses import replace
from multiprocessing import get_context

import numpy as np
import optuna
import pandas as pd
import pytest

from smp import paths, runner, tuning
from smp.errors import DataError
from smp.experiment import Experiment
from smp.folds import load_folds
from smp.learners import MLP, CatBoost, LightGBM, TabNet
from smp.runner import run_cv
from smp.tracks.load import load_data
from smp.tuning import search


@pytest.mark.parametrize("learner", [LightGBM(), CatBoost(), MLP(), TabNet()], ids=lambda x: type(x).__name__)
def test_a_search_goes_on_where_it_stopped_and_starts_from_the_defaults(tmp_path, learner):
    tried = []

    def loss_of(candidate):
        tried.append(candidate)
        return candidate.learning_rate

    first = search(tmp_path / "s.db", "a", learner, loss_of, 4)
    assert len(tried) == 4
    assert tried[0] == replace(learner, **{k: getattr(tried[0], k) for k in ("learning_rate",)})
    assert tried[0].learning_rate == learner.learning_rate, "the first trial is the learner as it is"
    assert first == min(tried, key=lambda c: c.learning_rate)
    search(tmp_path / "s.db", "a", learner, loss_of, 6)
    assert len(tried) == 6
    assert search(tmp_path / "s.db", "a", learner, loss_of, 6) in tried
    assert len(tried) == 6
    search(tmp_path / "s.db", "other data", learner, loss_of, 2)
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

    data = load_data("video")
    late = data.ids.isin(load_folds("video", data).query("holdout").index)
    flipped = replace(data, labels=np.where(late, 14 - data.labels, data.labels))
    monkeypatch.setattr(runner, "load_data", lambda track: flipped)
    (output / "studies" / "exp950_test@tuned.db").unlink()
    monkeypatch.setattr(sys, "argv", ["train.py", "--tune", "5", "--force"])
    run_cv(script, Config, "video")
    again = pd.read_csv(output / "studies" / "exp950_test@tuned.csv")
    pd.testing.assert_series_equal(again["value"], trials["value"])


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_what_a_trial_proposes_is_optunas_of_its_number_and_the_trials_before_it():
    first = {"a": 0.5, "b": 3}

    def loss_of(trial):
        return (trial.suggest_float("a", 0, 1) - 0.3) ** 2 + (trial.suggest_int("b", 1, 9) - 7) ** 2

    made = optuna.create_study(sampler=tuning._by_number(first))
    made.optimize(loss_of, n_trials=13)
    loss_of(made.ask())  # at work in another process: what it tries is not tried again
    made.optimize(loss_of, n_trials=1)
    assert made.trials[0].params == first
    for number in (1, 12, 14):  # of few trials at random, then of what these say of both values together
        sampler = optuna.samplers.TPESampler(seed=number, multivariate=True, constant_liar=True)
        plain = optuna.create_study(sampler=sampler)
        plain.add_trials(made.trials[:number])
        plain.optimize(loss_of, n_trials=1)
        assert plain.trials[-1].params == made.trials[number].params


def quadratic(candidate):
    return (candidate.learning_rate - 0.05) ** 2


def test_two_processes_share_a_study_in_a_database_and_repeat_no_trial(tmp_path, monkeypatch):
    """Both come to the same learner, whose loss is that of one process alone within a thousandth."""
    monkeypatch.setenv("SMP_STORAGE", f"sqlite:///{tmp_path / 'shared.db'}")

    def work(name):
        def loss_of(candidate):
            with (tmp_path / "tried.txt").open("a") as file:
                file.write(f"{name} {candidate.learning_rate!r}\n")
            time.sleep(0.05)
            return quadratic(candidate)

        best = search(tmp_path / name / "s.db", "a", LightGBM(), loss_of, 12)
        (tmp_path / name / "best.txt").write_text(repr(best.learning_rate))

    workers = [get_context("fork").Process(target=work, args=(name,)) for name in "ab"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    tried = [line.split() for line in (tmp_path / "tried.txt").read_text().splitlines()]
    assert {name for name, _ in tried} == {"a", "b"} and 12 <= len(tried) <= 13  # the last two may end together
    assert len({rate for _, rate in tried}) == len(tried)
    a, b = ((tmp_path / name / "best.txt").read_text() for name in "ab")
    assert a == b
    monkeypatch.delenv("SMP_STORAGE")
    alone = search(tmp_path / "alone.db", "a", LightGBM(), quadratic, 12)
    assert abs(quadratic(alone) - quadratic(replace(alone, learning_rate=float(a)))) < 1e-3


def test_only_sqlites_driver_is_told_to_wait(tmp_path, monkeypatch):
    """Those of others refuse its option."""
    monkeypatch.setattr(optuna.storages, "RDBStorage", lambda url, engine_kwargs, **_: (url, engine_kwargs))
    url, options = tuning._storage(tmp_path / "s.db")
    assert url == f"sqlite:///{tmp_path / 's.db'}" and options["connect_args"]["timeout"] >= 60
    monkeypatch.setenv("SMP_STORAGE", "postgresql://host/studies")
    assert tuning._storage(tmp_path / "s.db") == ("postgresql://host/studies", {})


@pytest.mark.filterwarnings("error::optuna.exceptions.ExperimentalWarning")
def test_a_search_killed_in_its_third_trial_ends_as_an_undisturbed_one(tmp_path):
    tried, limit = [], 2

    def loss_of(candidate):
        if len(tried) == limit:
            os.kill(os.getpid(), signal.SIGKILL)
        tried.append(candidate)
        return quadratic(candidate)

    child = get_context("fork").Process(target=search, args=(tmp_path / "s.db", "a", LightGBM(), loss_of, 6))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    limit = None
    search(tmp_path / "s.db", "a", LightGBM(), loss_of, 6)
    assert len(tried) == 4, "two were finished"
    finished = pd.read_csv(tmp_path / "s.csv").query("state == 'COMPLETE'")
    assert len(finished) == 6 and (tmp_path / "s.json").exists()


def test_a_database_that_is_not_there_is_one_line_without_its_password(tmp_path, monkeypatch):
    monkeypatch.setenv("SMP_STORAGE", f"sqlite:///{tmp_path}/no/such/folder/secret.db")
    with pytest.raises(DataError, match=r"SMP_STORAGE: no database to keep the study in \(.*unable to open") as caught:
        search(tmp_path / "s.db", "a", LightGBM(), quadratic, 1)
    assert "secret" not in str(caught.value)
