from __future__ import annotations

import numpy as np

from nines.statistics.consensus import majority, majority_of_others, soft_labels
from nines.statistics.readings import Readings

# yes, yes, no | yes, no | unsure, yes | unsure | nobody
READINGS = Readings.of_table([[1, 1, 0], [1, 0, -1], [2, 1, -1], [2, -1, -1], [-1, -1, -1]], response_count=3)


def test_the_majority_of_tied_or_missing_votes_is_unsure() -> None:
    assert majority(READINGS).tolist() == [1, -1, 1, -1, -1]


def test_soft_labels_are_shares_of_the_votes_and_an_unsure_vote_is_split() -> None:
    np.testing.assert_allclose(soft_labels(READINGS)[:4, 1], [2 / 3, 0.5, 0.75, 0.5])
    assert np.isnan(soft_labels(READINGS)[4]).all()


def test_a_labellers_own_vote_does_not_count_among_the_others() -> None:
    # Item 0: others of the first reading are yes and no, a tie; of the third, yes and yes.
    assert majority_of_others(READINGS)[:3].tolist() == [-1, -1, 1]
    assert majority_of_others(READINGS)[3:5].tolist() == [0, 1]


def test_three_thirds_of_unsure_votes_are_a_tie_in_spite_of_rounding() -> None:
    readings = Readings.of_table([[3, 3, 3, 3, 3, 3, 3]], class_count=3, response_count=4)
    assert majority(readings).tolist() == [-1]
