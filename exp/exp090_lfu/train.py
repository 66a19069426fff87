"""Objects ranked by all their requests so far. Parents: none. Asks: what is reached without forgetting?"""

from dataclasses import dataclass

from smp.tracks.requests.rules import Rule, run_rule

TRACK = "requests"
GROUP = "systems"
PARENTS = ()


@dataclass(frozen=True)
class Config(Rule):
    columns: tuple[str, ...] = ("decays_ever",)


if __name__ == "__main__":
    run_rule(__file__, Config, TRACK)
