"""Tuned strategies: the choice never sees the seed that it is judged by, and chance is seldom called a difference."""

import numpy as np
import pytest
from scipy import stats

from sweeps.report.tuning import tuned, tuned_difference


def test_each_seed_is_judged_by_the_set_that_the_others_choose() -> None:
    # Without seed 0 set 1 leads (0.5 against 0.2), without seed 1 set 0 leads (0.9 against 0.1).
    values = np.array([[0.9, 0.2], [0.1, 0.5]])
    assert tuned(values).tolist() == [0.1, 0.2]


def test_tuning_pure_noise_gains_nothing() -> None:
    values = np.random.default_rng(0).normal(size=(4000, 10, 3))
    assert tuned(values).mean() == pytest.approx(0.0, abs=0.03)
    assert values.mean(axis=-1).max(axis=-1).mean() > 0.8  # the winner's curse that tuning avoids


def test_one_set_each_is_the_paired_t_test() -> None:
    first, second = np.array([[0.82, 0.85, 0.80]]), np.array([[0.78, 0.80, 0.79]])
    found = tuned_difference(first, second, same_settings=True)
    expected = stats.ttest_rel(first[0], second[0])
    interval = expected.confidence_interval(0.95)
    assert found.p_value == pytest.approx(expected.pvalue)
    assert (found.lower, found.upper) == pytest.approx((interval.low, interval.high))


def test_the_variance_of_picked_sets_is_corrected_for_their_overlap() -> None:
    first, second = np.array([[0.9, 0.8, 0.7], [0.1, 0.1, 0.1]]), np.array([[0.5, 0.5, 0.5], [0.1, 0.1, 0.1]])
    found = tuned_difference(first, second, same_settings=True)
    assert found.difference == pytest.approx(0.3)
    assert found.seed_error == pytest.approx(0.1 * np.sqrt(1 / 3 + 1 / 2))


def test_seeds_without_effect_make_every_difference_exact() -> None:
    assert tuned_difference(np.full((1, 3), 0.7), np.full((1, 3), 0.6), same_settings=True).p_value == 0.0
    assert tuned_difference(np.full((1, 3), 0.7), np.full((1, 3), 0.7), same_settings=True).p_value == 1.0


@pytest.mark.parametrize(("shape", "same"), [((1, 1), True), ((2, 3), False)])
def test_too_few_seeds_or_sets_are_refused(shape: tuple[int, int], same: bool) -> None:
    with pytest.raises(ValueError, match="at least"):
        tuned_difference(np.zeros(shape), np.zeros(shape), same_settings=same)


def strategy(generator: np.random.Generator, sets: int, *, seeds: int = 3, effect: float = 0.0) -> np.ndarray:
    """Sets at random learning rates whose optimum is shared; the noise over seeds is far smaller than that effect."""
    rates = generator.uniform(-5, -2, size=(sets, 1))
    return effect - 0.05 * np.abs(rates + 3) + 0.004 * generator.normal(size=(sets, seeds))


@pytest.mark.parametrize(("first", "second"), [(4, 4), (8, 8), (12, 4)])
def test_equal_strategies_are_seldom_told_apart_even_if_one_tried_more_sets(first: int, second: int) -> None:
    generator = np.random.default_rng(1)
    p_values, by_seeds_alone = [], []
    for _ in range(400):
        one, other = strategy(generator, first), strategy(generator, second)
        p_values.append(tuned_difference(one, other, same_settings=False).p_value)
        by_seeds_alone.append(tuned_difference(one, other, same_settings=True).p_value)
    # At most 5 % nominally; two standard errors of 400 draws above the 6 % that longer simulations show at worst.
    assert np.mean(np.array(p_values) < 0.05) <= 0.085
    # The seeds alone would claim a difference several times as often: what was tried is luck too.
    assert np.mean(np.array(by_seeds_alone) < 0.05) > 0.15


def test_a_plain_difference_is_found() -> None:
    generator = np.random.default_rng(2)
    found = [
        tuned_difference(strategy(generator, 8, effect=0.1), strategy(generator, 8), same_settings=False)
        for _ in range(100)
    ]
    assert np.mean([each.p_value < 0.05 for each in found]) > 0.95
    assert np.mean([each.difference for each in found]) == pytest.approx(0.1, abs=0.01)
    assert np.mean([each.lower < 0.1 < each.upper for each in found]) >= 0.9
