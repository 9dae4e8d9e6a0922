import itertools

import numpy as np
import pytest

from nines.statistics.estimate import NoEstimateError
from nines.statistics.policy_failures import policy_failures

SCORES = np.array([0.1, 0.7, 0.3, 0.2, 0.9, 0.4, 0.05, 0.6])
LABELS = np.array([1, 1, 0, 0, 1, 1, 0, 1])
PROMPTS = np.array([0, 0, 0, 0, 1, 1, 1, 1])


def first_accepted(order, scores, labels, *, threshold, tries):
    for item in order[:tries]:
        if scores[item] < threshold:
            return labels[item]
    return 0


def test_first_accepted_is_the_mean_over_every_order_of_every_prompt():
    expected = np.mean(
        [
            first_accepted(order, SCORES, LABELS, threshold=0.5, tries=3)
            for start in (0, 4)
            for order in itertools.permutations(range(start, start + 4))
        ]
    )
    found = policy_failures(SCORES, LABELS, PROMPTS, threshold=0.5, max_tries=3)
    assert found.per_prompt.estimate == pytest.approx(expected)
    assert (found.prompts, found.labels) == (2, 8)
    assert found.delivered == pytest.approx(1.0)
    assert found.accepted_first == pytest.approx(5 / 8)


def test_the_base_policy_is_the_mean_over_prompts():
    found = policy_failures(SCORES, LABELS, PROMPTS, threshold=2.0, max_tries=1)
    assert found.per_prompt.estimate == pytest.approx((2 / 4 + 3 / 4) / 2)


def test_refusals_leave_the_rate_of_the_delivered_higher_than_that_of_prompts():
    found = policy_failures(SCORES, LABELS, PROMPTS, threshold=0.15, max_tries=1)
    assert found.delivered == pytest.approx(0.25)
    assert found.per_prompt.estimate == pytest.approx((1 / 4) / 2)
    assert found.per_delivered.estimate == pytest.approx(0.5)


def test_selection_for_labelling_is_undone_on_average():
    chances = np.array([0.5, 0.2, 0.9, 0.4, 0.3, 0.8, 0.6, 0.7])
    whole = policy_failures(SCORES, LABELS, PROMPTS, threshold=0.5, max_tries=2).per_prompt.estimate
    mean = 0.0
    for taken in itertools.product([False, True], repeat=8):
        known = np.array(taken)
        probability = np.prod(np.where(known, chances, 1 - chances))
        if not known[SCORES < 0.5].any():
            continue
        found = policy_failures(
            SCORES, LABELS * known, PROMPTS, threshold=0.5, max_tries=2, labelled=known, probabilities=chances
        )
        mean += probability * found.per_prompt.estimate
    assert mean == pytest.approx(whole)


def test_prompts_count_by_their_weights():
    weights = np.repeat([3.0, 1.0], 4)
    found = policy_failures(SCORES, LABELS, PROMPTS, threshold=2.0, max_tries=1, prompt_weights=weights)
    assert found.per_prompt.estimate == pytest.approx(0.75 * 2 / 4 + 0.25 * 3 / 4)
    with pytest.raises(ValueError, match="equal within a prompt"):
        policy_failures(SCORES, LABELS, PROMPTS, threshold=2.0, max_tries=1, prompt_weights=np.arange(8))


def test_rejected_completions_need_no_label():
    known = SCORES < 0.5
    found = policy_failures(SCORES, LABELS * known, PROMPTS, threshold=0.5, max_tries=2, labelled=known)
    everything = policy_failures(SCORES, LABELS, PROMPTS, threshold=0.5, max_tries=2)
    assert found.per_prompt == everything.per_prompt
    with pytest.raises(NoEstimateError, match="may deliver have no label"):
        policy_failures(SCORES, LABELS * known, PROMPTS, threshold=0.5, max_tries=2, labelled=known, fallback="safest")


def test_broken_assumptions_are_refused():
    with pytest.raises(NoEstimateError, match="lowers its threshold"):
        policy_failures(SCORES, LABELS, PROMPTS, threshold=0.5, max_tries=2, conservatism=0.9)
    with pytest.raises(NoEstimateError, match="delivers nothing"):
        policy_failures(SCORES, LABELS, PROMPTS, threshold=0.0, max_tries=2)
    with pytest.raises(NoEstimateError, match="no chance of being labelled"):
        policy_failures(
            SCORES, LABELS, PROMPTS, threshold=0.5, max_tries=2, probabilities=np.where(SCORES < 0.1, 0.0, 1.0)
        )
    with pytest.raises(NoEstimateError, match="no effective sample"):
        policy_failures(SCORES, LABELS, PROMPTS, threshold=0.5, max_tries=2, prompt_weights=np.zeros(8))
