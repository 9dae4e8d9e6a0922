import math

import pytest

from nines.statistics.estimate import NoEstimateError
from nines.statistics.safety_margin import safety_margin


def test_the_margin_is_the_distance_in_log_odds_of_the_two_worst():
    found = safety_margin(
        [0.5, 0.2, 0.9], {"adversarial": [0.3, 0.01, 0.02], "pairs": [0.4]}, threshold=0.1, safe=[0.005, 0.05, 0.3, 0.6]
    )
    worst = found.found[0]
    assert (found.sample.score, worst.score, worst.row, worst.missed) == (0.2, 0.01, 1, 2)
    assert found.margin == pytest.approx(math.log(0.2 / 0.8) - math.log(0.01 / 0.99))
    assert found.found[1].below_sample < 0
    assert worst.below_threshold == pytest.approx(math.log(0.1 / 0.9) - math.log(0.01 / 0.99))
    assert worst.acceptance_to_reject_it == 0.25
    assert found.as_json()["sample"]["acceptance_to_reject_it"] == 0.5


def test_the_chance_of_worse_is_the_bound_of_a_minimum():
    found = safety_margin([0.5] * 100, {}, threshold=0.5, safe=[0.1])
    # All n scores lie above the quantile p with probability (1 - p) ** n.
    assert (1 - found.chance_of_worse) ** 100 == pytest.approx(0.05)
    assert found.margin == 0.0


def test_weights_of_safe_rows_count_and_an_empty_sample_is_refused():
    found = safety_margin([0.5], {"empty": []}, threshold=0.5, safe=[0.1, 0.7], safe_weights=[1, 3])
    assert found.sample.acceptance_to_reject_it == 0.25
    assert found.found == ()
    with pytest.raises(NoEstimateError):
        safety_margin([], {}, threshold=0.5, safe=[0.1])
    with pytest.raises(ValueError, match="scores in"):
        safety_margin([1.5], {}, threshold=0.5, safe=[0.1])
