import numpy as np
import pytest
from scipy import stats

from nines.statistics.binomial import items_to_show, jeffreys, upper_bound_without_events, wilson
from nines.statistics.intervals import clopper_pearson


@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_wilson_is_that_of_scipy(confidence):
    events = np.arange(0, 31)
    lower, upper = wilson(events, 30, confidence=confidence)
    for k in events:
        expected = stats.binomtest(int(k), 30).proportion_ci(confidence_level=confidence, method="wilson")
        assert (lower[k], upper[k]) == pytest.approx((expected.low, expected.high))


def test_jeffreys_against_the_table_of_brown_cai_and_dasgupta():
    # Their table 5 for n = 10 at 95 %.
    lower, upper = jeffreys([0, 1, 2, 5], 10)
    assert lower == pytest.approx([0, 0.011, 0.044, 0.224], abs=5e-4)
    assert upper == pytest.approx([0.217, 0.381, 0.503, 0.776], abs=5e-4)


def test_ends_are_exact_where_nothing_or_everything_is_an_event():
    for interval in (wilson, jeffreys):
        assert interval(0, 17)[0] == 0.0
        assert interval(17, 17)[1] == 1.0


@pytest.mark.parametrize(("interval", "expected_events", "dip"), [(wilson, 0.17, 0.85), (jeffreys, 3.0, 0.92)])
def test_exact_coverage_dips_where_the_docstring_says_so(interval, expected_events, dip):
    n, rate = 1000, expected_events / 1000
    events = np.arange(n + 1)
    lower, upper = interval(events, n)
    assert stats.binom.pmf(events, n, rate)[(lower <= rate) & (rate <= upper)].sum() < dip


def test_the_bound_without_events_is_the_rule_of_three():
    assert upper_bound_without_events(1000) == pytest.approx(3 / 1000, rel=5e-3)
    assert upper_bound_without_events(0) == 1.0
    assert upper_bound_without_events(40, confidence=0.975) == pytest.approx(clopper_pearson(0, 40)[1])


def test_items_to_show_are_the_fewest_that_do():
    needed = items_to_show(1e-3)
    assert needed == 2995
    assert upper_bound_without_events(needed) <= 1e-3 < upper_bound_without_events(needed - 1)


def test_impossible_arguments_are_refused():
    with pytest.raises(ValueError, match="events must lie"):
        wilson(3, 2)
    with pytest.raises(ValueError, match="confidence"):
        jeffreys(1, 2, confidence=1.0)
    with pytest.raises(ValueError, match="items"):
        upper_bound_without_events(-1)
    with pytest.raises(ValueError, match="rate"):
        items_to_show(0.0)
