"""A neural network on the features of exp051. Parents: none. Asks: what does a smooth model add to the trees?"""

from dataclasses import dataclass

from smp.experiment import Experiment, Weight
from smp.learners import MLP
from smp.runner import run_cv

TRACK = "video"
GROUP = "submission"
PARENTS = ()


@dataclass(frozen=True)
class Config(Experiment):
    features: tuple[str, ...] = ("video_stats", "minilm_content")
    label_features: tuple[str, ...] = ("user_labels",)
    learner: MLP = MLP(objective="l1", epochs=15, batch_size=128, dropout=0.4, weight_decay=0.1, width=128)
    weight: Weight = "inverse_label"


if __name__ == "__main__":
    run_cv(__file__, Config, TRACK, small={"seeds": (0, 1)})
