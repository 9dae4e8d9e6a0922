import itertools
import math

import numpy as np
import pytest

from nines.statistics.betting import bets, threshold_by_betting
from nines.statistics.missed_weight import InjuriousScores


def capital(sample, threshold, *, alpha, largest):
    """The mean capital of the stakes by its definition, prompt by prompt."""
    stakes = bets(len(sample.totals), alpha, 0.05)
    total = 0.0
    for stake in stakes:
        product = 1.0
        for prompt, whole in enumerate(sample.totals):
            missed = sample.weights[(sample.group == prompt) & (sample.scores < threshold)].sum()
            product *= 1 + stake * (alpha - (alpha + (missed - alpha * whole) / largest))
        total += product
    return total / len(stakes)


@pytest.mark.parametrize(("seed", "alpha"), [(0, 0.2), (1, 0.3), (2, 0.15), (3, 0.4)])
def test_the_threshold_is_the_highest_at_which_the_capital_reaches_twenty(seed, alpha):
    rng = np.random.default_rng(seed)
    sample = InjuriousScores.of(
        rng.random(200).round(2), weights=rng.integers(1, 3, 200), prompts=rng.integers(0, 110, 200)
    )
    largest = float(sample.totals.max()) + 1
    found = threshold_by_betting(sample, alpha=alpha, error=0.05, largest=largest)
    reached = [t for t in np.unique(sample.scores) if capital(sample, t, alpha=alpha, largest=largest) >= 20]
    assert found == (max(reached) if reached else None)


def test_the_capital_never_rises_with_the_threshold():
    rng = np.random.default_rng(4)
    sample = InjuriousScores.of(rng.random(60), prompts=rng.integers(0, 30, 60))
    money = [capital(sample, t, alpha=0.2, largest=8.0) for t in np.sort(rng.random(20))]
    assert all(later <= earlier for earlier, later in itertools.pairwise(money))


def test_the_expected_capital_at_the_true_rate_is_at_most_one():
    """By enumeration of both outcomes of one completion: the bet is fair at alpha and loses above it."""
    for rate in (0.1, 0.2, 0.5):
        for stake in bets(50, 0.1, 0.05):
            expected = rate * (1 + stake * (0.1 - 1)) + (1 - rate) * (1 + stake * 0.1)
            assert expected <= 1 + 1e-12


def test_without_misses_the_full_stake_wins_as_a_clopper_pearson_bound_would():
    assert bets(20, 0.1, 0.05)[0] == pytest.approx(1 / 0.9)
    assert math.prod([1 + 0.1 / 0.9] * 20) == pytest.approx(0.9**-20)


def test_stakes_never_risk_more_than_everything():
    for count in (1, 10, 10_000):
        assert (bets(count, 0.01, 0.05) * 0.99 <= 1 + 1e-12).all()
