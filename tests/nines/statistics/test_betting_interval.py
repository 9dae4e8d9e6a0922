import numpy as np
import pytest

from nines.statistics.betting_interval import betting_ends, betting_interval
from nines.statistics.estimate import NoEstimateError
from nines.statistics.intervals import clopper_pearson


def capital(draws, *, mean, stakes, sign):
    """The gambler's capital in plain Python."""
    money = 1.0
    for draw, stake in zip(draws, stakes, strict=True):
        money *= 1 + sign * stake * (draw - mean)
    return money


def plain_stakes(draws):
    stakes, seen, squares, total = [], 0, 0.0, 0.0
    for draw in draws:
        variance = (0.25 + squares) / (seen + 1) if seen else 0.25
        stakes.append(np.sqrt(2 * np.log(40) / (len(draws) * variance)))
        seen, total = seen + 1, total + draw
        squares += (draw - (0.5 + total) / (seen + 1)) ** 2
    return stakes


def test_at_the_ends_the_capital_is_what_refutes():
    draws = np.random.default_rng(0).beta(0.5, 3, size=200)
    lower, upper = betting_ends(draws[None, :], largest=1.0)
    stakes = plain_stakes(draws)
    below = [min(stake, 0.5 / lower[0]) for stake in stakes]
    above = [min(stake, 0.5 / (1 - upper[0])) for stake in stakes]
    assert capital(draws, mean=lower[0], stakes=below, sign=1) == pytest.approx(40, rel=0.01)
    assert capital(draws, mean=upper[0], stakes=above, sign=-1) == pytest.approx(40, rel=0.01)


def test_it_is_wider_than_the_exact_interval_by_less_than_a_factor_of_two():
    draws = (np.random.default_rng(1).random(5000) < 0.01).astype(float)
    found, exact = betting_interval(draws, largest=1.0), clopper_pearson(draws.sum(), 5000)
    assert found.lower <= exact[0] <= found.estimate <= exact[1] <= found.upper
    assert found.width < 2 * (exact[1] - exact[0])


def test_the_unit_does_not_matter():
    draws = np.random.default_rng(2).random(100)
    one, seven = betting_interval(draws, largest=1.0), betting_interval(7 * draws, largest=7.0)
    assert (seven.lower, seven.upper) == pytest.approx((7 * one.lower, 7 * one.upper))


def test_draws_without_an_event_have_a_lower_end_of_zero():
    found = betting_interval(np.zeros(1000), largest=1.0)
    assert found.lower == 0.0
    assert 0.0037 < found.upper < 0.01


def test_values_out_of_range_and_no_values_are_refused():
    with pytest.raises(ValueError, match="largest"):
        betting_interval([0.5, 2.0], largest=1.0)
    with pytest.raises(NoEstimateError, match="no draw"):
        betting_interval([], largest=1.0)
