"""Objects ranked by decayed counts. Parents: none. Asks: what does one half-life reach, chosen on windows before?"""

from dataclasses import dataclass

from smp.tracks.requests.rules import Rule, run_rule

TRACK = "requests"
GROUP = "systems"
PARENTS = ()


@dataclass(frozen=True)
class Config(Rule):
    columns: tuple[str, ...] = ("decays_1", "decays_2", "decays_4", "decays_8", "decays_16", "decays_32", "decays_64")


if __name__ == "__main__":
    run_rule(__file__, Config, TRACK)
