"""Pseudo-labels: who is confident, what is trained on, and which rounds are kept."""

import numpy as np

from smp.pseudo_label import PseudoLabels, accepted_rounds


def test_the_confident_are_those_whose_models_differ_least():
    spread = np.array([0.5, 0.1, 0.9, 0.2, 0.3])
    pred = np.stack([6 - spread, 6 + spread], axis=1)[:, :, None]
    assert PseudoLabels(share=0.4).confident(pred).tolist() == [1, 3]
    assert PseudoLabels(share=0.1).confident(pred).tolist() == []


def test_each_round_starts_from_the_predictions_of_the_last():
    asked = []

    def fit(chosen, labels):
        asked.append((chosen.tolist(), labels.tolist()))
        return np.array([[[1.0], [3.0]], [[5.0], [5.0]]])

    first = np.array([[[4.0], [4.0]], [[2.0], [8.0]]])
    rounds = PseudoLabels(share=0.5, rounds=2).refine(fit, first, np.array([0.25, 0.75]))
    assert asked == []  # nothing is trained before it is asked for
    assert len(list(rounds)) == 2
    assert asked == [([0], [4.0]), ([1], [5.0])]


def test_rounds_are_kept_while_the_loss_falls():
    def losses(values):
        for value in values:
            assert value is not None, "a round after a refused one was trained"
            yield value

    assert accepted_rounds(losses([1.0, 0.9, 0.8])) == (2, [1.0, 0.9, 0.8])
    assert accepted_rounds(losses([1.0, 1.0, None])) == (0, [1.0, 1.0])
    assert accepted_rounds(losses([1.0, 0.9, 0.95])) == (1, [1.0, 0.9, 0.95])
    assert accepted_rounds(losses([1.0])) == (0, [1.0])
