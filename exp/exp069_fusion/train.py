"""Second level of the cascade track. Parents: exp060_linear, exp060_lgbm, exp060_gru, exp061-063. Asks: what do all
reach together?"""

from dataclasses import dataclass

from smp.stacking import Fusion, Method, run_fusion

TRACK = "cascade"
GROUP = "systems"
PARENTS = ("exp060_linear", "exp060_lgbm", "exp060_gru", "exp061_concat", "exp062_casft", "exp063_autocas")


@dataclass(frozen=True)
class Config(Fusion):
    parents: tuple[str, ...] = PARENTS
    method: Method = "blend"


if __name__ == "__main__":
    run_fusion(__file__, Config, TRACK)
