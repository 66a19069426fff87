"""Optuna search of a learner's hyperparameters, kept in a database that goes on where it stopped and may be shared."""

import json
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from smp import paths
from smp.disk.store import replacing
from smp.errors import DataError
from smp.learners import Learner

if TYPE_CHECKING:
    import optuna

ATTEMPTS = 5  # to open a database
HEARTBEAT, GRACE = 15, 60  # seconds: a trial not heard of for so long belongs to a killed process, and is done again


def search(file: Path, name: str, learner: Learner, loss_of: Callable[[Learner], float], trials: int) -> Learner:
    """The learner with the least loss of `trials` finished trials; the first trial is `learner` as it is.

    Any number of processes may work on one study; trials finished earlier count. It is kept in the database SMP_STORAGE
    where that is set, else in `file`, beside which a table and the best values are written. name: of the study, which
    must change with everything but the learner that `loss_of` depends on. What a trial proposes depends on its number
    and the trials finished before it, so that a run that was killed and goes on proposes the same.
    """
    import optuna

    file.parent.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=_storage(file), study_name=name, load_if_exists=True, sampler=_by_number(asdict(learner))
    )
    finished = optuna.trial.TrialState.COMPLETE
    if len(study.get_trials(states=(finished,))) < trials:
        study.optimize(
            lambda trial: loss_of(learner.suggest(trial)),
            callbacks=[optuna.study.MaxTrialsCallback(trials, states=(finished,))],
        )
    table = study.trials_dataframe(attrs=("number", "state", "value", "params", "duration"))
    with replacing(file.with_suffix(".csv")) as aside:
        table.to_csv(aside, index=False)
    with replacing(file.with_suffix(".json")) as aside:
        aside.write_text(json.dumps(study.best_params, indent=1) + "\n")
    return learner.suggest(optuna.trial.FixedTrial(study.best_params))


def _storage(file: Path) -> "optuna.storages.RDBStorage":
    """The shared database, or a SQLite file: both keep their word when a process is killed while it writes."""
    from optuna.exceptions import ExperimentalWarning
    from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
    from sqlalchemy.exc import SQLAlchemyError

    url = paths.storage() or f"sqlite:///{file}"
    patience = {"connect_args": {"timeout": 120}} if url.startswith("sqlite") else {}  # seconds, for another's writing
    for attempt in range(ATTEMPTS):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", category=ExperimentalWarning)  # heartbeats
                return RDBStorage(
                    url,
                    engine_kwargs=patience,
                    heartbeat_interval=HEARTBEAT,
                    grace_period=GRACE,
                    heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(),
                )
        except (SQLAlchemyError, ImportError) as error:  # another process may be making the tables just now
            failed = error
            time.sleep(0.2 * attempt)
    where = "SMP_STORAGE" if paths.storage() else file  # the address may hold a password
    reason = str(failed).split("\n")[0]
    raise DataError(f"{where}: no database to keep the study in ({reason}); mend its address or unset SMP_STORAGE")


def _by_number(first: dict) -> "optuna.samplers.BaseSampler":
    """TPE whose draws are seeded by the trial's number, so that no two processes draw the same; trial 0 is `first`."""
    import optuna

    class ByNumber(optuna.samplers.BaseSampler):
        def before_trial(self, study, trial):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", category=optuna.exceptions.ExperimentalWarning)
                self.tpe = optuna.samplers.TPESampler(seed=trial.number, multivariate=True, constant_liar=True)

        def infer_relative_search_space(self, study, trial):
            return self.tpe.infer_relative_search_space(study, trial) if trial.number else {}

        def sample_relative(self, study, trial, search_space):
            return self.tpe.sample_relative(study, trial, search_space)

        def sample_independent(self, study, trial, param_name, param_distribution):
            if trial.number == 0:
                return first[param_name]
            return self.tpe.sample_independent(study, trial, param_name, param_distribution)

    return ByNumber()
