from functools import partial

import numpy as np
import pytest

from benchmarks.guarantees import SCENARIOS, Scenario, alone, in_prompts, judge, main, selected
from nines.statistics.chosen_threshold import ChosenThreshold

NAMES = [f"{scenario.name}, {scenario.situation}" for scenario in SCENARIOS]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=NAMES)
def test_no_promise_is_refuted(scenario):
    verdict = judge(scenario, resamples=100)
    assert verdict.passed, verdict


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS, ids=NAMES)
def test_no_promise_is_refuted_over_a_thousand_resamples(scenario):
    verdict = judge(scenario, resamples=1000)
    assert verdict.passed, verdict


def test_conformal_risk_control_is_exact_where_alpha_is_a_multiple_of_one_over_n_plus_one():
    scenario = next(one for one in SCENARIOS if one.situation == "19 independent")
    verdict = judge(scenario, resamples=1000)
    assert verdict.mean == pytest.approx(2 / 20, abs=4 * verdict.standard_error)


def greedy(scores, *, alpha, **_):
    """The threshold whose observed rate is alpha: unbiased for nothing, and no rule."""
    threshold = float(np.sort(scores)[int(alpha * len(scores)) + 1])
    return ChosenThreshold(threshold, "greedy", {}, "", (), len(scores), len(scores), 0.0)


@pytest.mark.parametrize("promise", ["mean", "probability"])
def test_a_rule_that_promises_too_much_is_refuted(promise):
    scenario = Scenario(greedy, "greedy", "19 independent", 0.1, partial(alone, items=19), promise)
    assert not judge(scenario, resamples=500).passed


@pytest.mark.parametrize(
    "draw", [partial(selected, items=400, rarely=0.1, stated=True), partial(in_prompts, prompts=300, stated=True)]
)
@pytest.mark.parametrize("threshold", [0.05, 0.2, 0.6])
def test_the_stated_truth_is_the_weighted_share_of_many_samples(draw, threshold):
    rng = np.random.default_rng(1)
    missed = total = 0.0
    for _ in range(200):
        sample = draw(rng)
        weights = np.ones(len(sample.scores)) if sample.weights is None else sample.weights
        missed += weights[sample.scores < threshold].sum()
        total += weights.sum()
    assert missed / total == pytest.approx(sample.truth(threshold), abs=0.015)


def test_the_command_prints_a_row_for_each_scenario(capsys):
    assert main(["--resamples", "5"]) in (0, 1)
    assert capsys.readouterr().out.count("\n| ") == len(SCENARIOS) + 1
