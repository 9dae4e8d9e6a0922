import numpy as np
import pytest

from nines.statistics.estimate import NoEstimateError
from nines.statistics.weight_checks import unreachable_mass, weight_report, with_unreachable
from nines.statistics.weighted_rates import horvitz_thompson


def test_a_report_by_hand():
    report = weight_report([1, 1, 1, 9, 0], [1, 0, 1, 1, 1])
    assert (report.items, report.events) == (4, 3)
    assert report.effective_items == pytest.approx(12**2 / 84)
    assert report.effective_events == pytest.approx(11**2 / 83)
    assert report.largest_share == pytest.approx(9 / 11)


def test_one_heavy_failure_is_warned_of():
    (line,) = weight_report([1.0] * 20 + [60.0], [1] * 20 + [1]).warnings()[:1]
    assert "75 % of the estimate" in line
    assert "21 events are worth" in line


def test_equal_weights_and_enough_events_need_no_warning():
    assert weight_report(np.ones(1000), np.arange(1000) < 20).warnings() == []


def test_few_events_and_very_unequal_weights_are_warned_of():
    assert "2.0 effective events" in weight_report(np.ones(1000), np.arange(1000) < 2).warnings()[0]
    uneven = np.concatenate([np.ones(5), np.full(995, 1e-6)])
    assert "very unequal" in weight_report(uneven, np.zeros(1000)).warnings()[0]


def test_no_weight_is_refused():
    with pytest.raises(NoEstimateError, match="no effective sample"):
        weight_report([0.0], [1])


def test_bounds_hold_whatever_the_unreachable_items_are():
    chances = np.array([0.5, 0.5, 0.5, 0.5, 0.0])
    assert unreachable_mass(chances) == pytest.approx(0.2)
    reached = horvitz_thompson([1, 0], [0.5, 0.5], shares=[0.25, 0.25])
    found = with_unreachable(reached, mass=0.2)
    assert found.lowest == pytest.approx(0.8 * 0.5)
    assert found.highest == pytest.approx(0.8 * 0.5 + 0.2)
    for hidden in (0.0, 0.3, 1.0):
        assert found.lowest <= 0.8 * reached.estimate + 0.2 * hidden <= found.highest
    assert with_unreachable(reached, mass=0.2, most=0.1).highest == pytest.approx(0.42)


def test_nothing_unreachable_changes_nothing():
    reached = horvitz_thompson([1, 0], [0.5, 0.5], shares=[0.01, 0.01])
    found = with_unreachable(reached, mass=0.0)
    assert (found.lowest, found.highest, found.lower, found.upper) == (
        reached.estimate, reached.estimate, reached.lower, reached.upper,
    )  # fmt: skip
    with pytest.raises(ValueError, match="mass"):
        with_unreachable(reached, mass=1.2)
    with pytest.raises(NoEstimateError, match="empty"):
        unreachable_mass([])
