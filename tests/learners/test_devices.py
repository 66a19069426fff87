"""GPUs of the tree learners: what one does not support is neither passed nor tuned, and a missing one is said."""

import catboost
import numpy as np
import optuna
import pandas as pd
import pytest
import torch

from smp.errors import DataError
from smp.learners import CatBoost, LightGBM
from smp.matrix import FeatureMatrix

X = FeatureMatrix.from_table(pd.DataFrame({"x": np.arange(100.0)}))
Y = np.arange(100.0)


def test_catboost_is_given_what_its_device_supports(monkeypatch):
    given = []

    class Recording(catboost.CatBoostRegressor):
        def __init__(self, **options):
            given.append(options)
            super().__init__(iterations=1, verbose=False, allow_writing_files=False)

    monkeypatch.setattr(catboost, "CatBoostRegressor", Recording)
    CatBoost(rsm=0.5).fit(X, Y)
    CatBoost(rsm=0.5, task_type="GPU", devices="0-1", gpu_ram_part=0.4).fit(X, Y)
    on_cpu, on_gpu = given
    assert on_cpu["task_type"] == "CPU" and on_cpu["rsm"] == 0.5 and "devices" not in on_cpu
    assert (on_gpu["task_type"], on_gpu["devices"], on_gpu["gpu_ram_part"]) == ("GPU", "0-1", 0.4)
    assert "rsm" not in on_gpu


def test_a_search_proposes_only_what_the_device_supports():
    trial = optuna.create_study().ask()
    assert CatBoost(task_type="GPU", rsm=0.3).suggest(trial).rsm == 0.3 and "rsm" not in trial.params
    trial = optuna.create_study().ask()
    CatBoost().suggest(trial)
    assert "rsm" in trial.params


def test_lightgbm_is_given_what_its_device_supports():
    on_cpu, on_gpu = (LightGBM(device=device).parameters(X, 0) for device in ("cpu", "cuda"))
    assert on_cpu["device_type"] == "cpu" and on_cpu["deterministic"] and on_cpu["force_col_wise"]
    assert on_gpu == {k: v for k, v in on_cpu.items() if k not in ("deterministic", "force_col_wise")} | {
        "device_type": "cuda"
    }


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize(
    "learner", [LightGBM(device="gpu", rounds=2), LightGBM(device="cuda", rounds=2), CatBoost(task_type="GPU")]
)
def test_a_gpu_that_is_not_there_is_said_in_one_line(learner):
    with pytest.raises(DataError, match=r"(?i)on (gpu|cuda).*; train with --learner\.\S+ cpu$") as caught:
        learner.fit(X, Y)
    assert "\n" not in str(caught.value)
