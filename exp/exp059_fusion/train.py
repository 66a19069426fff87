"""Second level of the video track. Parents: exp051-053, exp056-057. Asks: what do different models reach together?

The plain mean: on later months the weights that Optuna finds, and the bent mean, gain nothing over it (methods.csv).
"""

from dataclasses import dataclass

from smp.stacking import Fusion, Method, run_fusion

TRACK = "video"
GROUP = "submission"
PARENTS = ("exp051_lgbm", "exp052_catboost", "exp053_mlp", "exp056_forest", "exp057_gaussian")


@dataclass(frozen=True)
class Config(Fusion):
    parents: tuple[str, ...] = PARENTS
    method: Method = "mean"


if __name__ == "__main__":
    run_fusion(__file__, Config, TRACK)
