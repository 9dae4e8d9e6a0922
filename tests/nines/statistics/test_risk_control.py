import math

import numpy as np
import pytest
from scipy import stats

from nines.statistics.estimate import NoEstimateError
from nines.statistics.intervals import clopper_pearson
from nines.statistics.risk_control import BOUNDS, allowed_misses, risk_controlling_threshold

SCORES = np.arange(1, 301) / 1000


@pytest.mark.parametrize(
    ("items", "alpha", "error"), [(100, 0.1, 0.05), (59, 0.05, 0.05), (58, 0.05, 0.05), (700, 0.01, 0.1)]
)
def test_clopper_pearson_allows_the_most_misses_whose_upper_bound_stays_below_alpha(items, alpha, error):
    misses = allowed_misses(items, alpha, error)
    bounds = [clopper_pearson(k, items, confidence=1 - 2 * error)[1] for k in range(items)]
    assert misses == sum(bound <= alpha for bound in bounds) - 1


def test_clopper_pearson_takes_the_order_statistic_above_the_allowed_misses():
    found = risk_controlling_threshold(SCORES, alpha=0.1)
    misses = allowed_misses(300, 0.1, 0.05)
    assert found.threshold == SCORES[misses]
    assert found.observed["missed"] == misses


def test_hoeffding_bentkus_equals_a_search_over_all_thresholds():
    alpha, count = 0.4, 300
    rng = np.random.default_rng(0)
    scores, prompts = rng.random(800), rng.integers(0, count, 800)
    weights = rng.random(800)
    totals = np.bincount(prompts, weights=weights, minlength=count)
    bound = totals.max()
    passing = []
    for threshold in np.sort(scores):
        missed = np.bincount(prompts, weights=weights * (scores < threshold), minlength=count)
        mean = (alpha + (missed - alpha * totals)[totals > 0] / bound).mean()
        n = int((totals > 0).sum())
        low = min(mean, alpha)
        entropy = (low * math.log(low / alpha) if low > 0 else 0) + (1 - low) * math.log((1 - low) / (1 - alpha))
        if min(math.exp(-n * entropy), math.e * stats.binom.cdf(math.ceil(n * mean), n, alpha)) <= 0.05:
            passing.append(threshold)
    found = risk_controlling_threshold(scores, alpha=alpha, weights=weights, prompts=prompts, bound="hoeffding_bentkus")
    assert passing
    assert found.threshold == max(passing)


@pytest.mark.parametrize("bound", BOUNDS)
def test_too_few_completions_are_refused_with_how_many_it_takes(bound):
    with pytest.raises(NoEstimateError, match="it takes 59 independent ones"):
        risk_controlling_threshold(SCORES[:58], alpha=0.05, bound=bound)


def test_clopper_pearson_takes_exactly_as_many_as_it_says():
    assert risk_controlling_threshold(SCORES[:59], alpha=0.05).threshold == SCORES[0]


def test_clopper_pearson_refuses_weights_and_shared_prompts():
    with pytest.raises(NoEstimateError, match="equal weights"):
        risk_controlling_threshold(SCORES, alpha=0.1, weights=SCORES)
    with pytest.raises(NoEstimateError, match="100 prompts"):
        risk_controlling_threshold(SCORES, alpha=0.1, prompts=np.arange(300) // 3)


@pytest.mark.parametrize("bound", BOUNDS)
def test_a_bound_of_higher_confidence_is_more_conservative(bound):
    lax, strict = (
        risk_controlling_threshold(SCORES, alpha=0.1, bound=bound, confidence=confidence).threshold
        for confidence in (0.9, 0.99)
    )
    assert strict < lax


@pytest.mark.parametrize("bound", ["hoeffding_bentkus", "betting"])
def test_doubling_all_weights_changes_nothing(bound):
    weights = np.random.default_rng(3).random(300) + 0.5
    one, two = (
        risk_controlling_threshold(SCORES, alpha=0.2, bound=bound, weights=factor * weights).threshold
        for factor in (1, 2)
    )
    assert one == two


def test_settings_outside_their_range_are_refused():
    for wrong in ({"alpha": 0.0}, {"alpha": 0.1, "confidence": 1.0}, {"alpha": 0.1, "bound": "chernoff"}):
        with pytest.raises(ValueError, match="must"):
            risk_controlling_threshold(SCORES, **wrong)
