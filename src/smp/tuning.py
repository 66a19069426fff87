"""Optuna search of a learner's hyperparameters, kept in a journal that goes on where it stopped and may be shared."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from smp.learners import Learner


def search(journal: Path, name: str, learner: Learner, loss_of: Callable[[Learner], float], trials: int) -> Learner:
    """The learner with the least loss of `trials` finished trials; the first trial is `learner` as it is.

    journal: a file that several processes may work on at once; trials finished earlier count. name: of the study in
    it, which must change with everything but the learner that `loss_of` depends on.
    """
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    journal.parent.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(journal))), study_name=name, load_if_exists=True
    )
    if not study.trials:
        study.enqueue_trial(asdict(learner))
    # Seeded by what is there, so that processes at work on one study do not all propose the same.
    study.sampler = optuna.samplers.TPESampler(seed=len(study.trials), multivariate=True, constant_liar=True)
    finished = optuna.trial.TrialState.COMPLETE
    if len(study.get_trials(states=(finished,))) < trials:
        study.optimize(
            lambda trial: loss_of(learner.suggest(trial)),
            callbacks=[optuna.study.MaxTrialsCallback(trials, states=(finished,))],
        )
    table = study.trials_dataframe(attrs=("number", "value", "params", "duration"))
    table.to_csv(journal.with_name(f"{journal.stem}.csv"), index=False)
    journal.with_name(f"{journal.stem}.json").write_text(json.dumps(study.best_params, indent=1) + "\n")
    return learner.suggest(optuna.trial.FixedTrial(study.best_params))
