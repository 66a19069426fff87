"""Second level of the emoji track. Parents: exp095_emoji_tokens, exp095_names, exp096_emoji_graph. Asks: what do all
reach together?"""

from dataclasses import dataclass

from smp.stacking import Fusion, Method, run_fusion

TRACK = "emoji"
GROUP = "systems"
PARENTS = ("exp095_emoji_tokens", "exp095_names", "exp096_emoji_graph")


@dataclass(frozen=True)
class Config(Fusion):
    parents: tuple[str, ...] = PARENTS
    method: Method = "blend"


if __name__ == "__main__":
    run_fusion(__file__, Config, TRACK)
