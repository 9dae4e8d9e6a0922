import numpy as np
import pytest

from nines.statistics.estimate import NoEstimateError
from nines.statistics.intervals import clustered_interval
from nines.statistics.rate_curve import rate_below


@pytest.mark.parametrize("prompts", [1, 5, 60, 300])
@pytest.mark.parametrize("weighted", [False, True])
def test_every_point_equals_the_interval_of_that_threshold_alone(prompts, weighted):
    rng = np.random.default_rng(prompts)
    scores, group = rng.integers(0, 30, 300) / 30, rng.integers(0, prompts, 300)
    weights = rng.random(300) * (rng.random(300) < 0.8) if weighted else None
    thresholds = np.r_[-1.0, np.unique(scores), 2.0]
    curve = rate_below(scores, group, thresholds=thresholds, weights=weights)
    for place, threshold in enumerate(thresholds):
        one = clustered_interval(scores < threshold, group, weights=weights)
        found = (curve.estimate[place], curve.lower[place], curve.upper[place])
        assert found == pytest.approx((one.estimate, one.lower, one.upper), abs=1e-9)


def test_events_are_counted_below_each_threshold():
    curve = rate_below([0.1, 0.2, 0.2, 0.4], [0, 1, 2, 3], thresholds=[0.2, 0.3, 0.5], weights=[1, 1, 0, 1])
    assert curve.events.tolist() == [1, 2, 3]


def test_without_weights_there_is_no_rate():
    with pytest.raises(NoEstimateError):
        rate_below([0.1], [0], thresholds=[0.5], weights=[0])
