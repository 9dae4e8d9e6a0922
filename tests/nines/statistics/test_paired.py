import numpy as np
import pytest
from scipy import stats

from nines.statistics.paired import paired_difference


def test_the_interval_is_the_one_worked_out_by_hand() -> None:
    first = [True] * 6 + [False] * 14
    second = [False] * 4 + [True] * 3 + [False] * 13  # 4 only by the first, 1 only by the second
    found = paired_difference(first, second)
    assert found.estimate == pytest.approx(3 / 20)
    gained, lost = 5 / 22, 2 / 22
    half = stats.norm.ppf(0.975) * ((gained + lost - (gained - lost) ** 2) / 22) ** 0.5
    assert (found.lower, found.upper) == pytest.approx((gained - lost - half, gained - lost + half))


def test_accounts_that_never_disagree_still_leave_an_interval() -> None:
    found = paired_difference(np.zeros(50), np.zeros(50))
    assert found.lower < 0 < found.upper
    assert found.upper == pytest.approx(-found.lower)


def test_swapping_the_accounts_turns_the_sign() -> None:
    random = np.random.default_rng(0)
    first, second = random.random(80) < 0.3, random.random(80) < 0.1
    one, other = paired_difference(first, second), paired_difference(second, first)
    assert (one.estimate, one.lower, one.upper) == pytest.approx((-other.estimate, -other.upper, -other.lower))


@pytest.mark.parametrize(("gained", "lost"), [(0.02, 0.0), (0.1, 0.02), (0.2, 0.2)])
@pytest.mark.parametrize("items", [40, 156])
def test_the_interval_covers_at_about_the_nominal_rate(gained: float, lost: float, items: int) -> None:
    random = np.random.default_rng(1)
    counts = random.multinomial(items, [gained, lost, 1 - gained - lost], size=2000)
    covered = 0
    for only_first, only_second, _ in counts:
        first = np.arange(items) < only_first
        second = (np.arange(items) >= only_first) & (np.arange(items) < only_first + only_second)
        found = paired_difference(first, second)
        covered += found.lower <= gained - lost <= found.upper
    assert covered / len(counts) > 0.93


def test_bad_events_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one item"):
        paired_difference([], [])
    with pytest.raises(ValueError, match="second must have shape"):
        paired_difference([0, 1], [1])
