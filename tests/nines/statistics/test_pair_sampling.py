import numpy as np
import pytest

from nines.statistics.estimate import NoEstimateError
from nines.statistics.pair_sampling import hajek_quality, label_probabilities, sampled_quality
from nines.statistics.quality import quality


def test_horvitz_thompson_is_the_sum_of_deviations_over_probabilities():
    """By hand: ½ + (½/0.5 · 8 - ½/0.25 · 2) / 40."""
    shares, sampled = np.r_[np.ones(8), np.zeros(2), np.full(30, np.nan)], np.arange(40) < 10
    chances = np.r_[np.full(8, 0.5), np.full(32, 0.25)]
    found = sampled_quality(shares, sampled, chances, np.arange(40))
    assert found.estimate == pytest.approx(0.5 + (8 - 4) / 40)
    assert found.items == 10


def test_predictions_that_are_right_leave_only_the_spread_of_the_pool():
    rng = np.random.default_rng(0)
    shares = (rng.random(300) < 0.7).astype(float)
    sampled = rng.random(300) < 0.2
    found = sampled_quality(shares, sampled, np.full(300, 0.2), np.arange(300), predictions=shares)
    assert found.estimate == pytest.approx(shares.mean())
    assert found.effective_items == pytest.approx(300, rel=0.01)


def test_hajek_weights_by_one_over_the_probability():
    found = hajek_quality([1, 0, 1], [0.5, 0.25, 1.0], [0, 1, 2])
    known = quality([1, 0, 1], [0, 1, 2], weights=[2, 4, 1])
    assert (found.estimate, found.lower, found.upper) == (known.estimate, known.lower, known.upper)
    assert found.estimate == pytest.approx(3 / 7)


def test_probabilities_sum_to_the_labels_and_go_with_doubt():
    chances = label_probabilities([0.5, 0.9, 0.99, 0.1, 0.5], labels=2, floor=0.1)
    assert chances.sum() == pytest.approx(2)
    assert chances[0] == chances[4] > chances[1] == pytest.approx(chances[3])
    assert chances[3] > chances[2] >= 0.1 * 2 / 5


def test_what_would_be_above_one_is_shared_among_the_others():
    chances = label_probabilities([0.5] + [0.001] * 9, labels=5, floor=0.1)
    assert chances[0] == 1
    assert chances.sum() == pytest.approx(5)
    assert label_probabilities([0.0, 1.0], labels=1).tolist() == [0.5, 0.5]


def test_pairs_that_could_not_be_drawn_and_few_labels_are_no_estimate():
    with pytest.raises(NoEstimateError, match="could never be sampled"):
        sampled_quality([1.0], [True], [0.0], [0])
    with pytest.raises(NoEstimateError, match="10 at least"):
        sampled_quality(np.ones(9), np.ones(9, dtype=bool), np.ones(9), np.arange(9))
    with pytest.raises(NoEstimateError, match="single prompt"):
        sampled_quality(np.ones(20), np.ones(20, dtype=bool), np.ones(20), np.zeros(20))
    with pytest.raises(NoEstimateError, match="probability 0"):
        hajek_quality([1.0], [0.0], [0])
    with pytest.raises(ValueError, match="labels"):
        label_probabilities([0.5], labels=2)
