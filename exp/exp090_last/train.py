"""Objects ranked by their requests in the last window. Parents: none. Asks: what is reached without a memory?"""

from dataclasses import dataclass

from smp.tracks.requests.rules import Rule, run_rule

TRACK = "requests"
GROUP = "systems"
PARENTS = ()


@dataclass(frozen=True)
class Config(Rule):
    columns: tuple[str, ...] = ("lags_0",)


if __name__ == "__main__":
    run_rule(__file__, Config, TRACK)
