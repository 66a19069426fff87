"""Second level of the micro-video track. Parents: exp070_knn, exp070_lgbm, exp071_m3tr. Asks: what do all reach
together?"""

from dataclasses import dataclass

from smp.stacking import Fusion, Method, run_fusion

TRACK = "microvideo"
GROUP = "systems"
PARENTS = ("exp070_knn", "exp070_lgbm", "exp071_m3tr")


@dataclass(frozen=True)
class Config(Fusion):
    parents: tuple[str, ...] = PARENTS
    method: Method = "blend"


if __name__ == "__main__":
    run_fusion(__file__, Config, TRACK)
