import math

import numpy as np
import pytest
from scipy import stats

from benchmarks.labels_saved import Outcome, binormal, fewest, naive, planned


@pytest.mark.parametrize(("auroc", "rate"), [(0.96, 1e-4), (0.98, 1e-5)])
def test_the_limit_of_equal_normal_scores_is_that_of_the_bhattacharyya_coefficient(auroc, rate):
    distance = math.sqrt(2) * stats.norm.ppf(auroc)
    source = binormal(rate, auroc=auroc)
    assert source.rate == pytest.approx(rate)
    assert source.limit == pytest.approx(math.exp(distance**2 / 4), rel=0.02)


def test_a_plan_is_narrower_than_as_many_naive_labels_and_both_cover():
    source = binormal(1e-3, auroc=0.98)
    plain = naive(source, labels=20_000, replications=300, rng=np.random.default_rng(0))
    plan = planned(source, labels=20_000, floor=0.2, trusting=True, replications=300, rng=np.random.default_rng(0))
    assert plan.width < 0.6 * plain.width
    assert min(plain.coverage, plan.coverage) > 0.93


def test_the_fewest_labels_are_found_within_half_a_percent():
    found = fewest(lambda labels: Outcome(labels, 1 / labels**0.5, 1.0), 0.01, most=1_000_000)
    assert 10_000 <= found.labels <= 10_050
