"""The rule for "better" against scipy's paired test, and against noise that holds nothing."""

import numpy as np
import pytest
from scipy.stats import t as student
from scipy.stats import ttest_rel

from smp.evidence import Gain, gain, judge
from smp.metrics import MAE, SRC


def predictions(rng, n, seeds, noise):
    y = rng.normal(6, 2, n)
    return y, y[:, None] + noise * rng.normal(size=(n, 1)) + 0.05 * rng.normal(size=(n, seeds))


def test_with_one_seed_and_a_mean_error_it_is_the_paired_t_test():
    rng = np.random.default_rng(0)
    y, a = predictions(rng, 400, 1, 1.0)
    b = a + 0.3 * rng.normal(size=a.shape)
    found, wanted = gain(MAE, y, a, b), ttest_rel(np.abs(y - b[:, 0]), np.abs(y - a[:, 0]))
    assert found.mean == pytest.approx(np.mean(np.abs(y - b[:, 0]) - np.abs(y - a[:, 0])))
    assert found.mean / found.se == pytest.approx(wanted.statistic, rel=0.12)


def test_better_is_positive_for_either_direction_and_three_answers_are_given():
    rng = np.random.default_rng(1)
    y, a = predictions(rng, 600, 3, 0.5)
    b = a + rng.normal(size=(600, 1))
    for metric in (SRC, MAE):
        assert gain(metric, y, a, b).answer == "yes"
        assert gain(metric, y, b, a).answer == "no"
        assert gain(metric, y, a, a).answer == "not resolved"


def test_seeds_that_disagree_leave_it_open():
    rng = np.random.default_rng(2)
    y, a = predictions(rng, 2000, 2, 0.5)
    b = a.copy()
    b[:, 0] += 0.6 * rng.normal(size=2000)  # a gain in one seed of two
    assert gain(MAE, y, a[:, :1], b[:, :1]).answer == "yes"
    assert gain(MAE, y, a, b).answer == "not resolved"


def test_the_degrees_of_freedom_are_those_of_welch_and_satterthwaite():
    rng = np.random.default_rng(7)
    y, a = predictions(rng, 400, 4, 0.5)
    b = a + 0.01 + 0.02 * rng.normal(size=(1, 4))
    found, of_seed = gain(MAE, y, a, b), [MAE(y, q) - MAE(y, p) for p, q in zip(a.T, b.T)]
    seeds = np.var(of_seed, ddof=1) / 4
    posts = found.se**2 - seeds
    freedom = (posts + seeds) ** 2 / (seeds**2 / 3)
    assert posts > 0 and found.p == pytest.approx(2 * student.sf(abs(np.mean(of_seed)) / found.se, freedom))


def test_groups_that_move_together_count_as_one():
    rng = np.random.default_rng(3)
    y, user = rng.normal(6, 1, 600), np.repeat(np.arange(20), 30)
    a = y[:, None] + 1.0
    b = a + np.repeat(rng.normal(0.05, 0.3, 20), 30)[:, None]
    assert gain(MAE, y, a, b, group=user).se > 3 * gain(MAE, y, a, b).se


def test_parts_are_judged_apart():
    y, part = np.tile(np.arange(50.0), 2), np.repeat([0, 1], 50)
    a = (y + 100 * part)[:, None]  # perfect order in each part, not over both
    b = (-y + 100 * part)[:, None]
    assert gain(SRC, y, a, b, part=part).mean == pytest.approx(2.0)
    b[part == 1] = a[part == 1]
    assert gain(SRC, y, a, b, part=part).mean == pytest.approx(1.0)


def test_pure_noise_is_called_better_or_worse_as_rarely_as_the_level_says(monkeypatch):
    monkeypatch.setattr("smp.evidence.DRAWS", 60)
    rng, wrong = np.random.default_rng(4), 0
    for _ in range(200):
        y = rng.normal(size=60)
        a, b = (y[:, None] + rng.normal(size=(60, 2)) for _ in range(2))
        wrong += gain(MAE, y, a, b).answer != "not resolved"
    assert wrong <= 20  # 5 % are 10; more than 20 come once in a thousand


def test_more_comparisons_ask_for_more():
    rng = np.random.default_rng(5)
    y, a = predictions(rng, 300, 1, 1.0)
    b = a + 0.25 * rng.normal(size=a.shape) + 0.02
    assert gain(MAE, y, a, b, tried=10_000).answer == "not resolved" != gain(MAE, y, a, a - 3).answer


def test_a_loss_that_is_borne_is_asked_for_by_its_size():
    rng = np.random.default_rng(6)
    y, a = predictions(rng, 2000, 3, 0.5)
    b = a + 0.02 * np.sign(a - y[:, None]) + 0.05 * rng.normal(size=a.shape)  # an MAE about .02 higher
    lost = -gain(MAE, y, b, a).mean
    asked = [gain(MAE, y, b, a, over=over).answer for over in (-2 * lost, -lost, -lost / 2, 0)]
    assert asked == ["yes", "not resolved", "no", "no"]


def test_a_claim_of_many_holds_where_all_hold_and_falls_with_one():
    yes, no, still = Gain(0.1, 0.01, 1e-9, 3), Gain(-0.1, 0.01, 1e-9, 3), Gain(0.1, 0.1, 0.3, 3)
    said = [judge("it does", gains)["answer"] for gains in ([yes, yes], [yes, still], [yes, still, no], [yes])]
    assert said == ["yes", "not resolved", "no", "yes"]
    assert judge("it does", [yes, still, no])["numbers"] == "of 3: 1 yes, 1 no, 1 not resolved; mean +0.0333"


def test_an_answer_is_given_below_the_level_shared_by_all_that_is_asked():
    said = [Gain(0.1, 0.05, p, 2).answer for p in (0.024, 0.026, np.nan)]
    assert said == ["yes", "not resolved", "not resolved"]
    assert Gain(-0.1, 0.05, 0.024, 2).answer == "no" and Gain(-0.1, 0.05, 0.024, 2, over=-0.2).answer == "yes"
    assert str(Gain(0.1, 0.05, 0.0241, 2)) == "+0.1000 (se 0.0500, p 0.024 of 0.025)"
    assert judge("it does", [Gain(0.1, 0.05, 0.0241, 2)])["numbers"] == str(Gain(0.1, 0.05, 0.0241, 2))


def test_what_every_draw_says_is_certain():
    zero, one, two = np.zeros(20), np.ones((20, 2)), np.full((20, 2), 2.0)
    found = gain(MAE, zero, one, two)
    assert (found.mean, found.se, found.p, found.answer) == (1, 0, 0, "yes")
    assert gain(MAE, zero, one, one).p == 1 == gain(MAE, zero, one, two, over=1.0).p


def test_a_seed_told_three_times_says_what_it_says_once():
    rng = np.random.default_rng(8)
    y, a = predictions(rng, 200, 1, 1.0)
    b = a + 0.3 * rng.normal(size=a.shape)
    once, thrice = gain(MAE, y, a, b), gain(MAE, y, np.repeat(a, 3, axis=1), np.repeat(b, 3, axis=1))
    assert (thrice.mean, thrice.se, thrice.p) == pytest.approx((once.mean, once.se, once.p))


def test_of_several_labels_every_one_is_judged():
    rng = np.random.default_rng(11)
    y = rng.normal(size=(300, 2))
    a, b = (y[:, None] + noise * rng.normal(size=(300, 3, 2)) for noise in (0.5, 1.0))
    both, apart = gain(MAE, y, a, b), [gain(MAE, y[:, j], a[:, :, j], b[:, :, j]) for j in range(2)]
    assert both.mean == pytest.approx(np.mean([one.mean for one in apart])) and both.answer == "yes"
