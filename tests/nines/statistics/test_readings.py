from __future__ import annotations

import numpy as np
import pytest

from nines.statistics.estimate import NoEstimateError
from nines.statistics.readings import Readings


def test_a_table_survives_the_way_through_readings() -> None:
    table = [[0, -1, 2], [1, 1, -1], [-1, -1, -1]]
    readings = Readings.of_table(table)
    assert readings.table().tolist() == table
    assert (readings.item_count, readings.labeller_count, readings.response_count) == (3, 3, 3)


def test_a_number_outside_its_range_is_refused() -> None:
    with pytest.raises(ValueError, match="responses must lie in"):
        Readings(np.array([0]), np.array([0]), np.array([2]), item_count=1, labeller_count=1)


def test_two_readings_of_one_item_by_one_labeller_make_no_table() -> None:
    twice = Readings(np.array([0, 0]), np.array([0, 0]), np.array([0, 1]), item_count=1, labeller_count=1)
    with pytest.raises(NoEstimateError, match="twice"):
        twice.table()


def test_leaving_labellers_out_keeps_the_numbers_of_the_others() -> None:
    readings = Readings.of_table([[0, 1, 1], [1, 0, 1]]).without([1])
    assert readings.table().tolist() == [[0, -1, 1], [1, -1, 1]]
