import json
import math

import pytest

from nines.errors import UserError
from nines.statistics.estimate import Estimate, NoEstimateError


def estimate(**changes):
    fields = {
        "estimate": 0.25,
        "lower": 0.125,
        "upper": 0.5,
        "confidence": 0.95,
        "method": "hand",
        "items": 4,
        "effective_items": 3.5,
    }
    return Estimate(**fields | changes)


def test_the_width_is_the_distance_of_the_ends():
    assert estimate().width == 0.375


def test_json_keeps_numbers_and_says_null_for_an_open_end():
    found = json.loads(json.dumps(estimate(upper=math.inf).as_json()))
    assert found["estimate"] == 0.25
    assert found["upper"] is None


def test_ends_in_the_wrong_order_are_refused():
    with pytest.raises(ValueError, match="lower <= upper"):
        estimate(lower=0.6)


def test_an_end_that_is_not_a_number_is_refused():
    with pytest.raises(ValueError, match="lower <= upper"):
        estimate(lower=math.nan)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95])
def test_a_confidence_outside_zero_and_one_is_refused(confidence):
    with pytest.raises(ValueError, match="confidence"):
        estimate(confidence=confidence)


def test_data_that_carry_no_estimate_are_the_users_matter():
    assert issubclass(NoEstimateError, UserError)
    assert NoEstimateError("no support").exit_code == 2
