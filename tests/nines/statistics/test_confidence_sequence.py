import math

import numpy as np
import pytest

from nines.statistics.confidence_sequence import betting_ends, decide
from nines.statistics.estimate import NoEstimateError


def capital(values, mean, *, confidence=0.95, running=True):
    """The formula of Waudby-Smith and Ramdas written out value by value."""
    wanted = math.log(2 / (1 - confidence))
    money, most, total, squares = 1.0, 0.0, 0.0, 0.0
    variance = 0.25
    for t, x in enumerate(values, start=1):
        stake = min(math.sqrt(2 * wanted / (variance * t * math.log(t + 1))), 0.5 / mean)
        money *= 1 + stake * (x - mean)
        most = max(most, money)
        total += x
        squares += (x - (0.5 + total) / (t + 1)) ** 2
        variance = (0.25 + squares) / (t + 1)
    return most if running else money


@pytest.mark.parametrize("running", [True, False])
def test_the_ends_are_where_the_capital_reaches_its_bound(running):
    values = np.random.default_rng(0).choice([0, 0.5, 1], 60, p=[0.1, 0.2, 0.7])
    lower, upper = betting_ends(values, running=running)
    assert capital(values, float(lower), running=running) == pytest.approx(40, rel=1e-3)
    assert capital(1 - values, 1 - float(upper), running=running) == pytest.approx(40, rel=1e-3)
    assert lower < values.mean() < upper


def test_several_sequences_at_once_are_as_each_alone():
    values = np.random.default_rng(1).random((3, 40))
    lower, upper = betting_ends(values)
    for place, one in enumerate(values):
        assert betting_ends(one) == (pytest.approx(lower[place]), pytest.approx(upper[place]))


def test_running_ends_never_move_apart():
    values = np.random.default_rng(2).choice([0.0, 1.0], 80)
    ends = np.array([betting_ends(values[:count]) for count in range(1, 81)])
    assert (np.diff(ends[:, 0]) >= -1e-6).all()
    assert (np.diff(ends[:, 1]) <= 1e-6).all()


def test_known_halves_narrow_the_sequence():
    rng = np.random.default_rng(3)
    decided = rng.choice([0.0, 1.0], 200)
    mostly_known = np.where(rng.random(200) < 0.1, decided, 0.5)
    wide, narrow = betting_ends(decided), betting_ends(mostly_known)
    assert narrow[1] - narrow[0] < 0.5 * (wide[1] - wide[0])


def test_a_fixed_length_tunes_the_stakes():
    values = np.random.default_rng(4).choice([0.0, 1.0], 400)
    free, fixed = betting_ends(values), betting_ends(values, length=400)
    assert fixed[1] - fixed[0] < free[1] - free[0]


def test_stopping_is_decided_by_level_or_width():
    assert decide(0.52, 0.7, level=0.5) == "above"
    assert decide(0.3, 0.44, level=0.45) == "below"
    assert decide(0.46, 0.54, half_width=0.05, level=0.5) == "precise"
    assert decide(0.4, 0.6, half_width=0.05, level=0.5) == "open"


def test_nothing_seen_and_values_outside_are_refused():
    with pytest.raises(NoEstimateError):
        betting_ends([])
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        betting_ends([1.2])
    with pytest.raises(ValueError, match="confidence"):
        betting_ends([0.5], confidence=1.0)
