"""Second level, image. Parents: exp010_lgbm, exp011_catboost, exp012_mlp. Asks: what do they reach together?"""

from dataclasses import dataclass

from smp.stacking import Fusion, run_fusion


@dataclass(frozen=True)
class Config(Fusion):
    parents: tuple[str, ...] = ("exp010_lgbm", "exp011_catboost", "exp012_mlp")


if __name__ == "__main__":
    run_fusion(__file__, Config, track="image")
