"""A neural network on the features of exp010. Parents: none. Asks: what does a smooth model add to the trees?"""

from dataclasses import dataclass

from smp.experiment import Experiment
from smp.learners import MLP
from smp.runner import run_cv

TRACK = "image"
GROUP = "submission"
PARENTS = ()


@dataclass(frozen=True)
class Config(Experiment):
    features: tuple[str, ...] = ("post_stats", "time_place", "user_behaviour", "tags_post", "tags_user", "title_tags")
    label_features: tuple[str, ...] = ("account_counters",)
    learner: MLP = MLP(epochs=8, dropout=0.4)


if __name__ == "__main__":
    run_cv(__file__, Config, TRACK, small={"seeds": (0, 1)})
