import itertools

import numpy as np
import pytest

from nines.statistics.estimate import NoEstimateError
from nines.statistics.intervals import clopper_pearson
from nines.statistics.stratified import stratified
from nines.statistics.weighted_rates import horvitz_thompson


def test_it_is_unbiased_over_every_possible_sample():
    first, second = [1, 0, 0, 1], [0, 1, 0]
    estimates = [
        stratified([sum(a), sum(b)], [2, 1], [4, 3]).estimate
        for a in itertools.combinations(first, 2)
        for b in itertools.combinations(second, 1)
    ]
    assert np.mean(estimates) == pytest.approx(3 / 7)


@pytest.mark.parametrize("of", ["source", "pool"])
def test_the_gamma_interval_is_that_of_horvitz_thompson(of):
    found = stratified([2, 1], [100, 50], [1000, 5000], of=of)
    events = np.concatenate([np.arange(100) < 2, np.arange(50) < 1])
    chances = np.repeat([0.1, 0.01], [100, 50])
    same = horvitz_thompson(events, chances, shares=np.full(150, 1 / 6000), of=of)
    assert (found.estimate, found.lower, found.upper) == pytest.approx((same.estimate, same.lower, same.upper))
    assert found.effective_items == pytest.approx(same.effective_items)


def test_the_exact_interval_adds_the_strata_at_a_divided_error():
    found = stratified([2, 0], [100, 50], [1000, 3000], interval="exact")
    one, two = (clopper_pearson(k, n, confidence=0.975) for k, n in ((2, 100), (0, 50)))
    assert (found.lower, found.upper) == pytest.approx((0.25 * one[0], 0.25 * one[1] + 0.75 * two[1]))


def test_one_stratum_is_clopper_and_pearsons_interval():
    found = stratified([3], [400], [10_000], interval="exact")
    assert (found.lower, found.upper) == pytest.approx(clopper_pearson(3, 400))


def test_a_pool_of_strata_that_are_all_labelled_is_known():
    found = stratified([2, 1], [10, 5], [10, 5], of="pool")
    assert (found.lower, found.estimate, found.upper) == pytest.approx((0.2, 0.2, 0.2))


def test_a_stratum_without_labels_is_refused_by_its_number():
    with pytest.raises(NoEstimateError, match="stratum 1 has items but no label"):
        stratified([1, 0, 0], [5, 0, 5], [50, 10, 50])
    with pytest.raises(NoEstimateError, match="no item"):
        stratified([0], [0], [0])
    with pytest.raises(ValueError, match="events <= labelled"):
        stratified([3], [2], [10])
