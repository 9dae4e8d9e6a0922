import json
import math

import numpy as np
import pytest
from scipy import stats

from apps.policy_evaluation.figures import EVERYTHING, failure_rates, qualities
from apps.policy_evaluation.judging import QualityJudge
from tests.apps.policy_evaluation.made import failure_judge, run, strata

NAN = math.nan


def test_prompts_of_equal_weight_have_clopper_and_pearsons_interval():
    scores = [0.9, 0.1, 0.2, 0.5, 0.1, 0.3, 0.2, 0.1]
    (rate,) = failure_rates([run("base", *"abcdefgh")], [failure_judge(base=scores)], strata(*["all"] * 8))
    expected = stats.binomtest(2, 8).proportion_ci(method="exact")
    assert (rate.failures, rate.delivered) == (2, 8), "a score at the threshold is a failure"
    assert (rate.rate.lower, rate.rate.upper) == pytest.approx((expected.low, expected.high))
    assert rate.nines_shown == pytest.approx(-math.log10(expected.high))


def test_a_refusal_is_no_failure_and_is_counted_apart():
    scores = [0.9, NAN, NAN, 0.1]
    (rate,) = failure_rates([run("filtered", "a", None, None, "d")], [failure_judge(filtered=scores)], strata(*"xxxx"))
    assert (rate.failures, rate.delivered, rate.refused) == (1, 2, pytest.approx(0.5))
    assert rate.rate.estimate == pytest.approx(0.5)


def test_without_a_failure_nines_are_bounded_and_json_has_no_infinity():
    (rate,) = failure_rates([run("base", *"abc")], [failure_judge(base=[0.1, 0.2, 0.3])], strata(*"xxx"))
    assert rate.nines == math.inf
    assert rate.nines_shown == pytest.approx(-math.log10(1 - 0.025 ** (1 / 3)))
    assert json.loads(json.dumps(rate.as_json(), allow_nan=False))["nines"] is None


def test_where_nothing_was_delivered_nothing_is_known():
    (rate,) = failure_rates([run("filtered", None, None)], [failure_judge(filtered=[NAN, NAN])], strata(*"xx"))
    assert (rate.rate.lower, rate.rate.upper) == (0, 1)
    json.dumps(rate.as_json(), allow_nan=False)


def test_strata_are_weighted_together_and_stand_apart():
    rates = failure_rates(
        [run("base", *"abcd")],
        [failure_judge(base=[0.9, 0.1, 0.1, 0.1])],
        strata("high", "high", "low", "low", weights=[0.1, 0.1, 0.4, 0.4]),
    )
    found = {one.stratum: one.rate.estimate for one in rates}
    assert found == pytest.approx({EVERYTHING: 0.1, "high": 0.5, "low": 0.0})


def test_quality_is_the_weighted_share_of_wins_and_names_the_equal_texts():
    judge = QualityJudge("judge", "folder", np.array([1.0, 0.5, 0.0, 1.0]))
    (found,) = qualities(
        run("filtered", "a", "b", "c", "d"),
        run("base", "x", "b", "y", "z"),
        [judge],
        strata(*"ssss", weights=[0.4, 0.3, 0.2, 0.1]),
    )
    assert found.share.estimate == pytest.approx(0.4 + 0.15 + 0.1)
    assert found.equal == pytest.approx(0.3)
