"""Second level of the image track. Parents: exp010-exp018. Asks: what do different models reach together?

exp040_hyperfusion is not among them: beside exp015_clip_ft it helped on the later posts of one data set of two.
"""

from dataclasses import dataclass

from smp.stacking import Fusion, run_fusion

TRACK = "image"
GROUP = "submission"
PARENTS = (
    "exp010_lgbm",
    "exp011_catboost",
    "exp012_mlp",
    "exp015_clip_ft",
    "exp016_linear",
    "exp017_huber",
    "exp018_linear_stream",
)


@dataclass(frozen=True)
class Config(Fusion):
    parents: tuple[str, ...] = PARENTS


if __name__ == "__main__":
    run_fusion(__file__, Config, TRACK)
