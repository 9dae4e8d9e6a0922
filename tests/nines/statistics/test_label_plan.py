import numpy as np
import pytest

from nines.errors import ConfigError
from nines.statistics.estimate import NoEstimateError
from nines.statistics.gamma_interval import gamma_interval
from nines.statistics.label_plan import METHODS, plan_round, shifted_to_rate
from nines.statistics.weighted_rates import expected_weight

CHANCES = np.random.default_rng(0).beta(0.2, 8, size=2000)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_spends_the_budget_and_leaves_every_item_a_chance(method):
    found = plan_round(CHANCES, budget=200, method=method, seed=1)
    assert abs(len(found.drawn) - 200) <= 1
    assert found.probabilities.sum() == pytest.approx(200)
    assert found.probabilities.min() > 0
    assert found.heaviest == pytest.approx(1 / found.probabilities.min())
    assert found.expected_weight == pytest.approx(
        expected_weight(found.probabilities, np.maximum(CHANCES, 1e-9), shares=np.ones(2000)), rel=0.02
    )


def test_every_method_but_uniform_promises_a_smaller_variance():
    weights = {method: plan_round(CHANCES, budget=200, method=method, seed=1).expected_weight for method in METHODS}
    assert max(weights[method] for method in METHODS if method != "uniform") < 0.6 * weights["uniform"]


def test_labelled_items_are_not_drawn_again_and_failures_raise_their_stratum():
    labelled = np.arange(2000) < 400
    low = np.median(CHANCES) > CHANCES
    before = plan_round(CHANCES, budget=200, method="oasis", seed=1, labelled=labelled)
    surprised = plan_round(CHANCES, budget=200, method="oasis", seed=1, labelled=labelled, events=labelled & low)
    assert not labelled[before.drawn].any()
    assert surprised.probabilities[low & ~labelled].sum() > 1.5 * before.probabilities[low & ~labelled].sum()


def test_items_without_a_share_are_never_drawn():
    shares = np.where(np.arange(2000) % 2, 1 / 1000, 0.0)
    for method in METHODS:
        found = plan_round(CHANCES, budget=100, method=method, seed=2, shares=shares)
        assert (found.drawn % 2 == 1).all()


def test_the_expected_interval_is_that_of_equal_events():
    found = plan_round(CHANCES, budget=200, method="proportional", seed=1, shares=np.full(2000, 1 / 2000))
    weight = found.expected_weight
    expected = gamma_interval(0.02, 0.02 * weight, next_weight=weight)
    assert found.expected_interval(0.02) == pytest.approx([float(end) for end in expected])


def test_a_shift_reaches_the_rate_and_keeps_the_order():
    shifted = shifted_to_rate(CHANCES, rate=1e-4)
    assert shifted.mean() == pytest.approx(1e-4, rel=1e-6)
    assert (np.argsort(shifted, kind="stable") == np.argsort(CHANCES, kind="stable")).mean() > 0.99
    odds, before = shifted / (1 - shifted), CHANCES / (1 - CHANCES)
    middle = (CHANCES > 1e-6) & (CHANCES < 0.9)
    assert np.ptp(np.log(odds / before)[middle]) < 1e-6


def test_what_is_refused():
    with pytest.raises(ConfigError, match="did you mean 'neyman'"):
        plan_round(CHANCES, budget=10, method="neymann", seed=0)
    with pytest.raises(ConfigError, match="floor"):
        plan_round(CHANCES, budget=10, method="neyman", seed=0, floor=0.0)
    with pytest.raises(ConfigError, match="between 1 and the 2000"):
        plan_round(CHANCES, budget=3000, method="neyman", seed=0)
    with pytest.raises(NoEstimateError, match="nothing is left"):
        plan_round(CHANCES, budget=1, method="neyman", seed=0, labelled=np.ones(2000))
    with pytest.raises(ConfigError, match="rate"):
        shifted_to_rate(CHANCES, rate=0.0)
