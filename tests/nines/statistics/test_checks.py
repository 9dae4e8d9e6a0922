import numpy as np
import pytest

from nines.statistics.checks import binary_vector, finite_vector, weights_or_ones


def test_a_value_that_is_not_finite_is_refused_with_its_count():
    with pytest.raises(ValueError, match="scores must be finite, got 2 values"):
        finite_vector([0.1, np.nan, np.inf], "scores")


def test_another_length_is_refused_with_both_shapes():
    with pytest.raises(ValueError, match=r"must have shape \(3,\), got \(2,\)"):
        finite_vector([0.1, 0.2], "scores", length=3)


def test_no_weights_count_each_item_once():
    assert weights_or_ones(None, 3).tolist() == [1.0, 1.0, 1.0]


def test_a_negative_weight_is_refused():
    with pytest.raises(ValueError, match="not be negative"):
        weights_or_ones([1.0, -0.1], 2)


def test_a_label_other_than_zero_or_one_is_refused():
    with pytest.raises(ValueError, match="must be 0 or 1"):
        binary_vector([0, -1], "positives", length=2)
