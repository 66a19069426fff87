"""Second level of the music track. Parents: exp080_linear, exp080_lgbm, exp081-083. Asks: what do
all reach together?"""

from dataclasses import dataclass

from smp.stacking import Fusion, Method, run_fusion

TRACK = "music"
GROUP = "systems"
PARENTS = (
    "exp080_linear",
    "exp080_lgbm",
    "exp081_gamenet",
    "exp082_hitmusicnet",
    "exp082_lyricnet",
    "exp083_spectrogram_cnn",
)


@dataclass(frozen=True)
class Config(Fusion):
    parents: tuple[str, ...] = PARENTS
    method: Method = "blend"


if __name__ == "__main__":
    run_fusion(__file__, Config, TRACK)
