import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from nines.statistics.gamma_interval import gamma_interval


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 60), st.floats(1e-6, 1e3))
def test_equal_weights_give_garwoods_exact_interval(events, weight):
    lower, upper = gamma_interval(events * weight, events * weight**2, next_weight=weight)
    garwood = (stats.chi2.ppf(0.025, 2 * events) / 2 if events else 0.0, stats.chi2.isf(0.025, 2 * events + 2) / 2)
    assert (lower / weight, upper / weight) == pytest.approx(garwood)


def test_unequal_weights_by_the_quantiles_of_chi_squared():
    # Fay and Feuer's eqs. 7 and 8 in their own terms: v / (2 y) * chi2 with 2 y**2 / v degrees of freedom.
    total, variance, weight = 7.0, 15.0, 3.0
    lower, upper = gamma_interval(total, variance, next_weight=weight)
    assert lower == pytest.approx(variance / (2 * total) * stats.chi2.ppf(0.025, 2 * total**2 / variance))
    grown, spread = total + weight, variance + weight**2
    assert upper == pytest.approx(spread / (2 * grown) * stats.chi2.ppf(0.975, 2 * grown**2 / spread))


def test_many_samples_at_once_are_each_alone():
    totals, variances = np.array([0.0, 2.0, 9.0]), np.array([0.0, 4.0, 12.0])
    lower, upper = gamma_interval(totals, variances, next_weight=2.0)
    for place in range(3):
        alone = gamma_interval(totals[place], variances[place], next_weight=2.0)
        assert [lower[place], upper[place]] == pytest.approx([float(end) for end in alone])


@pytest.mark.parametrize(
    ("total", "variance", "weight", "said"),
    [(-1, 1, 1, "not be negative"), (1, 0, 1, "variance must be positive"), (0, 0, 0, "next_weight must be positive")],
)
def test_impossible_arguments_are_refused(total, variance, weight, said):
    with pytest.raises(ValueError, match=said):
        gamma_interval(total, variance, next_weight=weight)
