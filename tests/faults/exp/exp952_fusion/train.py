"""Second level of the small run. Parents: exp950, exp951."""

from dataclasses import dataclass

from smp.stacking import Fusion, run_fusion

TRACK = "image"
GROUP = "submission"
PARENTS = ("exp950_trees", "exp951_catboost")


@dataclass(frozen=True)
class Config(Fusion):
    parents: tuple[str, ...] = ("exp950_trees", "exp951_catboost")
    trials: int = 5


if __name__ == "__main__":
    run_fusion(__file__, Config, TRACK)
