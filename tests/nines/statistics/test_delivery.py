import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nines.errors import ConfigError
from nines.policies.attempts import Attempt
from nines.policies.filter_plan import FilterPlan, FilterRule
from nines.statistics.delivery import delivery_shares
from nines.statistics.estimate import NoEstimateError


def delivered(scores, finished, *, threshold, max_tries, batch, fallback):
    """Which completion the real policy delivers when it draws them in this order; None for none."""
    rule = FilterRule(
        threshold=threshold,
        safest_of_batch=batch > 1,
        max_tries=max_tries,
        batch=batch,
        fallback=fallback,
        conservatism=None,
        require_finished=True,
    )
    plan = FilterPlan(["p"], lambda prompts, texts: np.array([float(text) for text in texts]), rule)
    while not plan.done(0):
        wanted = [index for _, index in plan.start(len(scores))]
        plan.finish(
            [
                (0, Attempt(str(scores[index]), (), (), 0.0, finished=bool(finished[index]), index=index))
                for index in wanted
            ]
        )
    (generation,) = plan.generations()
    return None if generation.chosen is None else generation.chosen.index


def by_enumeration(scores, finished, **rule):
    counts = np.zeros(len(scores))
    orders = list(itertools.permutations(range(len(scores))))
    for order in orders:
        chosen = delivered([scores[i] for i in order], [finished[i] for i in order], **rule)
        if chosen is not None:
            counts[order[chosen]] += 1
    return counts / len(orders)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.6, 0.8]), min_size=5, max_size=5),
    st.lists(st.booleans(), min_size=5, max_size=5),
    st.integers(1, 5),
    st.integers(1, 3),
    st.sampled_from(["refuse", "safest"]),
)
def test_shares_are_those_of_the_real_policy_over_every_order(scores, finished, max_tries, batch, fallback):
    rule = {"threshold": 0.5, "max_tries": max_tries, "batch": batch, "fallback": fallback}
    found = delivery_shares(scores, np.zeros(5), finished=finished, **rule)
    assert found == pytest.approx(by_enumeration(scores, finished, **rule))


def test_first_accepted_within_m_of_m_draws_is_the_share_among_the_accepted():
    found = delivery_shares([0.1, 0.9, 0.2, 0.3], np.zeros(4), threshold=0.5, max_tries=4)
    assert found == pytest.approx([1 / 3, 0, 1 / 3, 1 / 3])


def test_safest_of_k_without_a_threshold_has_the_weights_of_order_statistics():
    # Ranks 1 to 4 of 4 in batches of 2: 3, 2, 1, 0 of the 6 pairs.
    found = delivery_shares([0.4, 0.1, 0.3, 0.2], np.zeros(4), threshold=1.0, max_tries=2, batch=2)
    assert found == pytest.approx(np.array([0, 3, 1, 2]) / 6)


def test_every_prompt_delivers_once_if_the_fallback_never_refuses():
    rng = np.random.default_rng(0)
    prompts = rng.permutation(np.repeat(np.arange(30), rng.integers(6, 12, size=30)))
    scores = rng.random(len(prompts)).round(1)
    found = delivery_shares(scores, prompts, threshold=0.15, max_tries=6, batch=4, fallback="safest")
    assert np.bincount(prompts, weights=found) == pytest.approx(np.ones(30))


def test_prompts_of_several_sizes_in_any_order_are_each_alone():
    rng = np.random.default_rng(1)
    prompts = rng.permutation(np.repeat([3, 7, 9], [4, 6, 4]))
    scores = rng.random(14)
    found = delivery_shares(scores, prompts, threshold=0.6, max_tries=3, batch=2)
    for prompt in (3, 7, 9):
        own = prompts == prompt
        alone = delivery_shares(scores[own], prompts[own], threshold=0.6, max_tries=3, batch=2)
        assert found[own] == pytest.approx(alone)


def test_too_few_completions_are_refused():
    with pytest.raises(NoEstimateError, match="prompt 1 has 2 completions, and the policy tries up to 3"):
        delivery_shares(np.zeros(5), [0, 0, 0, 1, 1], threshold=0.5, max_tries=3)


def test_no_try_at_all_is_refused():
    with pytest.raises(ConfigError, match="at least 1"):
        delivery_shares([0.1], [0], threshold=0.5, max_tries=0)
