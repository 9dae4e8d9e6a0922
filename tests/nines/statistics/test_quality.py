import numpy as np
import pytest
from scipy import stats

from nines.statistics.estimate import NoEstimateError
from nines.statistics.intervals import clustered_interval
from nines.statistics.quality import expected_ends, quality, shares_of_outcomes, shares_of_scores


def test_a_win_counts_one_a_tie_half_a_loss_nothing():
    assert shares_of_outcomes([1, 0, -1]).tolist() == [1.0, 0.5, 0.0]
    assert shares_of_scores([2.0, 1.0, 0.0], [1.0, 1.0, 1.0]).tolist() == [1.0, 0.5, 0.0]


def test_quality_is_the_share_of_wins_and_half_that_of_ties():
    found = quality([1, 1, 1, 0.5, 0.5, 0], np.arange(6))
    assert found.estimate == pytest.approx(4 / 6)
    assert found.items == 6


@pytest.mark.parametrize(("wins", "pairs"), [(0, 12), (1, 12), (7, 12), (12, 12), (60, 150)])
def test_independent_pairs_without_ties_have_the_interval_of_clopper_and_pearson(wins, pairs):
    found = quality(np.r_[np.ones(wins), np.zeros(pairs - wins)], np.arange(pairs))
    exact = stats.binomtest(wins, pairs).proportion_ci(0.95, method="exact")
    assert (found.lower, found.upper) == pytest.approx((exact.low, exact.high), abs=1e-9)


def test_without_ties_clusters_and_weights_give_the_interval_of_a_clustered_proportion():
    rng = np.random.default_rng(0)
    shares, prompts = (rng.random(60) < 0.6).astype(float), rng.integers(0, 15, 60)
    weights = rng.exponential(size=60)
    found, known = quality(shares, prompts, weights=weights), clustered_interval(shares, prompts, weights=weights)
    assert (found.estimate, found.lower, found.upper) == pytest.approx((known.estimate, known.lower, known.upper))


def test_swapping_the_sides_mirrors_estimate_and_interval():
    rng = np.random.default_rng(1)
    shares, prompts = rng.choice([0, 0.25, 0.5, 1], 80), rng.integers(0, 30, 80)
    one, other = quality(shares, prompts), quality(1 - shares, prompts)
    assert (one.estimate, one.lower, one.upper) == pytest.approx((1 - other.estimate, 1 - other.upper, 1 - other.lower))


def test_ties_are_information_and_nothing_but_ties_is_not_certainty():
    decided = quality([1, 0] * 20, np.arange(40))
    tied = quality([1, 0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5] * 5, np.arange(40))
    only = quality([0.5] * 40, np.arange(40))
    assert only.width < tied.width < decided.width
    # No win in 40: the next may be one with a chance of up to 8.8 % (two-sided 95 %).
    assert only.upper == pytest.approx(0.5 + (1 - 0.025 ** (1 / 40)) / 2)


def test_pairs_of_one_prompt_that_agree_count_as_fewer():
    shares = np.r_[np.ones(50), np.zeros(50)]
    assert quality(shares, np.arange(100) // 10).width > 1.5 * quality(shares, np.arange(100)).width


def test_pairs_of_weight_zero_take_no_part():
    one = quality([1, 0, 1, 0], [0, 1, 2, 3], weights=[1, 1, 1, 0])
    assert one == quality([1, 0, 1], [0, 1, 2])


def test_the_expected_interval_is_that_of_a_sample_with_those_numbers():
    shares = np.r_[np.ones(30), np.zeros(20), np.full(50, 0.5)]
    found = quality(shares, np.arange(100))
    assert expected_ends(0.3, 0.2, 100) == pytest.approx((found.lower, found.upper), abs=1e-3)


def test_no_pair_is_no_estimate_and_shares_outside_are_refused():
    with pytest.raises(NoEstimateError, match="no pair"):
        quality([], [])
    with pytest.raises(NoEstimateError, match="no pair"):
        quality([1.0], [0], weights=[0.0])
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        quality([1.5], [0])
    with pytest.raises(ValueError, match="prompts"):
        quality([1.0, 0.0], [0])
    with pytest.raises(ValueError, match="1, 0 or -1"):
        shares_of_outcomes([2])
