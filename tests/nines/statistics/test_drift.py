from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from nines.statistics.drift import drift
from nines.statistics.estimate import NoEstimateError


def test_the_p_value_is_that_of_all_orders() -> None:
    right = [1, 1, 1, 1, 0, 1, 0, 0]

    def largest(order: tuple[int, ...]) -> float:
        return max(
            abs(np.mean(order[:split]) - np.mean(order[split:])) * np.sqrt(split * (8 - split)) for split in range(2, 7)
        )

    observed = largest(tuple(right))
    orders = [tuple(int(place in wrong) ^ 1 for place in range(8)) for wrong in combinations(range(8), 3)]
    exact = np.mean([largest(order) >= observed - 1e-9 for order in orders])
    found = drift(right, shortest=2, permutations=20_000)
    assert found.p_value == pytest.approx(exact, abs=4 * np.sqrt(exact / 20_000))


def test_without_drift_the_test_keeps_its_level() -> None:
    rng = np.random.default_rng(1)
    found = [drift(rng.random(80) < 0.9, permutations=99, seed=seed).p_value <= 0.05 for seed in range(200)]
    assert stats.binom.sf(sum(found) - 1, 200, 0.05) > 0.001


def test_a_labeller_who_tires_is_found_and_the_moment_too() -> None:
    rng = np.random.default_rng(2)
    right = np.concatenate([rng.random(200) < 0.95, rng.random(100) < 0.7])
    found = drift(right, windows=3)
    assert found.p_value < 0.01
    assert abs(found.change_at - 200) < 30
    assert found.before > 0.9 > found.after
    assert [window.items for window in found.windows] == [100, 100, 100]
    assert found.windows[2].upper < found.windows[0].lower


def test_a_labeller_who_is_always_right_shows_no_drift() -> None:
    assert drift(np.ones(40)).p_value == 1.0


def test_too_few_readings_are_refused() -> None:
    with pytest.raises(NoEstimateError, match="too few"):
        drift(np.ones(19), shortest=10)
