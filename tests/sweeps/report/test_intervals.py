"""Intervals and corrections against scipy and hand-worked numbers."""

import math

import numpy as np
import pytest
from scipy import stats

from sweeps.report.intervals import holm, mean_interval, seed_noise
from sweeps.report.results import ParameterSet


def test_the_interval_is_scipys_t_interval() -> None:
    values = [0.71, 0.74, 0.69, 0.80]
    found = mean_interval(values, level=0.9)
    expected = stats.t.interval(0.9, 3, loc=np.mean(values), scale=stats.sem(values))
    assert (found.lower, found.upper) == pytest.approx(expected)
    assert found.mean == pytest.approx(0.735)


def test_one_value_has_no_interval() -> None:
    found = mean_interval([0.5])
    assert (found.lower, found.upper, found.count) == (-math.inf, math.inf, 1)


def test_holm_follows_the_hand_worked_example() -> None:
    # Ordered: 0.01 × 4, 0.02 × 3, 0.03 × 2, 0.04 × 1, then the running maximum.
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])


def test_holm_never_exceeds_one_and_takes_an_empty_list() -> None:
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_noise_over_seeds_is_pooled_by_degrees_of_freedom() -> None:
    sets = [
        ParameterSet(0, {}, {0: 0.0, 1: 2.0}),
        ParameterSet(1, {}, {0: 1.0, 1: 2.0, 2: 3.0}),
        ParameterSet(2, {}, {0: 9.0}),
    ]
    deviation, degrees = seed_noise(sets) or (math.nan, 0)
    assert degrees == 3
    assert deviation == pytest.approx(math.sqrt((2.0 * 1 + 1.0 * 2) / 3))


def test_without_repeats_the_noise_is_unknown() -> None:
    assert seed_noise([ParameterSet(0, {}, {0: 1.0}), ParameterSet(1, {}, {0: 2.0})]) is None
