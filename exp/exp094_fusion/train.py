"""Second level of the requests track. Parents: exp090_decay, exp090_lgbm, exp091, exp092. Asks: what do all reach
together?"""

from dataclasses import dataclass

from smp.stacking import Fusion, Method, run_fusion

TRACK = "requests"
GROUP = "systems"
PARENTS = ("exp090_decay", "exp090_lgbm", "exp091_cachemamba", "exp092_transformer")


@dataclass(frozen=True)
class Config(Fusion):
    parents: tuple[str, ...] = PARENTS
    method: Method = "blend"


if __name__ == "__main__":
    run_fusion(__file__, Config, TRACK)
