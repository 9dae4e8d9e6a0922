import pytest

from nines.statistics.confidence_sequence import betting_ends
from nines.statistics.estimate import NoEstimateError
from nines.statistics.sequential_quality import prompt_shares, quality_so_far


def test_a_prompt_is_one_step_in_the_order_of_its_first_pair():
    assert prompt_shares([1, 0, 0.5, 1], ["b", "a", "b", "c"]).tolist() == [0.75, 0, 1]


def test_the_interval_is_the_confidence_sequence_of_the_prompts():
    shares, prompts = [1, 0, 0.5, 1, 1, 1], ["b", "a", "b", "c", "d", "e"]
    found = quality_so_far(shares, prompts)
    lower, upper = betting_ends(prompt_shares(shares, prompts))
    assert (found.lower, found.upper, found.items) == (lower, upper, 5)
    assert found.estimate == pytest.approx((0.75 + 0 + 3) / 5)


def test_no_prompt_and_unequal_lengths_are_refused():
    with pytest.raises(NoEstimateError, match="no judged prompt"):
        quality_so_far([], [])
    with pytest.raises(ValueError, match="do not go with"):
        quality_so_far([1.0], ["a", "b"])
