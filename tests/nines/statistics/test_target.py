import numpy as np
import pytest

from nines.errors import ConfigError
from nines.statistics.estimate import NoEstimateError
from nines.statistics.target import target_weights


def test_without_shares_every_prompt_counts_the_same():
    assert target_weights(["a", "b", "b", "b"]).tolist() == [0.25] * 4


def test_strata_have_their_shares_and_prompts_of_one_count_alike():
    weights = target_weights(["low", "high", "low", "high", "high"], {"low": 3, "high": 1})
    assert weights == pytest.approx([3 / 8, 1 / 12, 3 / 8, 1 / 12, 1 / 12])


def test_a_stratum_without_a_share_counts_nothing():
    assert target_weights(["a", "b"], {"a": 1.0}).tolist() == [1.0, 0.0]


def test_a_weighted_mean_is_unbiased_for_the_target_whatever_was_drawn():
    rng = np.random.default_rng(0)
    truth = 0.7 * 0.1 + 0.3 * 0.6
    found = []
    for _ in range(4000):
        strata = np.array(["low"] * 10 + ["high"] * 30)
        events = rng.random(40) < np.where(strata == "low", 0.1, 0.6)
        found.append(float((target_weights(list(strata), {"low": 0.7, "high": 0.3}) * events).sum()))
    assert np.mean(found) == pytest.approx(truth, abs=4 * np.std(found) / len(found) ** 0.5)


def test_a_share_of_prompts_that_are_not_there_is_refused():
    with pytest.raises(NoEstimateError, match=r"no prompt belongs to 'high', which has a share of 0\.75"):
        target_weights(["low"], {"low": 1, "high": 3})


@pytest.mark.parametrize("shares", [{"a": -1.0, "b": 2.0}, {"a": 0.0}, {}, {"a": float("nan")}])
def test_senseless_shares_are_refused(shares):
    with pytest.raises(ConfigError, match="shares of strata"):
        target_weights(["a"], shares)


def test_no_prompts_are_refused():
    with pytest.raises(NoEstimateError, match="no prompt"):
        target_weights([])
