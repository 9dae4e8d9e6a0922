import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nines.errors import ConfigError
from nines.statistics.labelled import LabelledRows
from nines.statistics.thresholds import (
    fix_threshold,
    threshold_at_acceptance,
    threshold_at_false_positive_rate,
    thresholds_by_population,
)

SCORES = st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0]) | st.floats(0, 1), min_size=1, max_size=40)
RATES = st.sampled_from([0.0, 0.05, 0.1, 0.5, 0.99]) | st.floats(0, 0.999)


@st.composite
def weighted_scores(draw):
    scores = draw(SCORES)
    weights = draw(st.lists(st.integers(0, 5), min_size=len(scores), max_size=len(scores)))
    weights[0] = max(weights[0], 1)
    return np.array(scores), np.array(weights)


def share_rejected(scores, weights, threshold):
    return weights[scores >= threshold].sum() / weights.sum()


def test_one_of_twenty_safe_rows_may_be_rejected_at_five_percent():
    scores = np.arange(20) / 100
    assert threshold_at_false_positive_rate(scores, rate=0.05) == np.nextafter(0.18, 1)


def test_tied_scores_are_accepted_together():
    scores = [0.1] * 18 + [0.7] * 2
    assert threshold_at_false_positive_rate(scores, rate=0.05) == np.nextafter(0.7, 1)


def test_at_rate_zero_every_safe_row_is_accepted():
    assert threshold_at_false_positive_rate([0.2, 1.0], rate=0.0) > 1.0


@given(weighted_scores(), RATES)
def test_the_rate_is_kept_and_no_lower_threshold_keeps_it(data, rate):
    scores, weights = data
    threshold = threshold_at_false_positive_rate(scores, weights=weights, rate=rate)
    assert share_rejected(scores, weights, threshold) <= rate * (1 + 1e-9)
    # The share changes at scores only, so the next lower float64 stands for every lower threshold.
    lower = np.nextafter(threshold, -np.inf)
    assert share_rejected(scores, weights, lower) > rate


@given(weighted_scores(), RATES)
def test_a_weight_is_a_number_of_copies(data, rate):
    scores, weights = data
    copied = np.repeat(scores, weights)
    assert threshold_at_false_positive_rate(scores, weights=weights, rate=rate) == threshold_at_false_positive_rate(
        copied, rate=rate
    )


@given(weighted_scores(), RATES, st.sampled_from([1e-6, 0.3, 7.0, 1e9]))
def test_the_scale_of_the_weights_does_not_matter(data, rate, scale):
    scores, weights = data
    assert threshold_at_false_positive_rate(scores, weights=weights * scale, rate=rate) == (
        threshold_at_false_positive_rate(scores, weights=weights, rate=rate)
    )


@given(weighted_scores(), st.randoms())
def test_the_order_of_the_rows_does_not_matter(data, random):
    scores, weights = data
    order = list(range(len(scores)))
    random.shuffle(order)
    tenths = weights / 10
    assert threshold_at_false_positive_rate(scores[order], weights=tenths[order], rate=0.1) == (
        threshold_at_false_positive_rate(scores, weights=tenths, rate=0.1)
    )


@pytest.mark.parametrize("rate", [-0.01, 1.0, 1.5])
def test_a_rate_outside_its_range_is_refused(rate):
    with pytest.raises(ValueError, match="must lie in"):
        threshold_at_false_positive_rate([0.5], rate=rate)


def test_no_safe_row_with_a_weight_is_refused():
    with pytest.raises(ValueError, match="at least one safe completion"):
        threshold_at_false_positive_rate([0.5], weights=[0.0])


@pytest.fixture
def mixed_rows():
    labels = np.array([0] * 10 + [0] * 10 + [1, -1], dtype=np.int8)
    sources = np.array(["generated"] * 10 + ["written"] * 10 + ["generated"] * 2)
    weights = np.where(sources == "generated", 1.0, 0.0)
    weights[9] = 91.0
    return LabelledRows(labels=labels, prompts=np.arange(22), sources=sources, natural_weights=weights)


def test_injurious_and_unsure_rows_take_no_part(mixed_rows):
    scores = np.concatenate([np.linspace(0, 0.9, 10), np.linspace(0, 0.9, 10), [1.0, 1.0]])
    without = fix_threshold(scores, mixed_rows, population="all", rate=0.1)
    scores[-2:] = 0.0
    assert fix_threshold(scores, mixed_rows, population="all", rate=0.1) == without
    assert without.items == 20


def test_the_natural_population_weighs_and_says_how_little_it_rests_on(mixed_rows):
    scores = np.concatenate([np.linspace(0, 0.9, 10), np.zeros(12)])
    fixed = fix_threshold(scores, mixed_rows, rate=0.05)
    # The row with score 0.9 is 91 % of the weight, so it must be accepted.
    assert fixed.threshold > 0.9
    assert fixed.resulting_false_positive_rate == 0.0
    assert fixed.effective_items == pytest.approx(100**2 / (91**2 + 9))


def test_a_fixed_threshold_survives_json_exactly(mixed_rows):
    fixed = fix_threshold(np.linspace(0, 1, 22) ** 3, mixed_rows, population="written")
    assert json.loads(json.dumps(fixed.as_json()))["threshold"] == fixed.threshold


def test_a_population_without_safe_rows_is_refused_by_name(mixed_rows):
    only_injurious = LabelledRows(
        labels=np.array([1, 0], dtype=np.int8),
        prompts=np.arange(2),
        sources=np.array(["hard", "easy"]),
        natural_weights=np.zeros(2),
    )
    with pytest.raises(ConfigError, match="'hard' has no safe row"):
        fix_threshold([0.1, 0.2], only_injurious, population="hard")
    assert set(thresholds_by_population([0.1, 0.2], only_injurious)) == {"all", "easy"}


@pytest.mark.parametrize("share", [0.1, 0.35, 0.5, 0.99, 1.0])
def test_the_threshold_of_an_acceptance_share_is_the_lowest_that_accepts_it(share: float) -> None:
    random = np.random.default_rng(2)
    scores, weights = random.integers(0, 12, 40) / 12, random.random(40)
    threshold = threshold_at_acceptance(scores, weights=weights, share=share)
    candidates = np.nextafter(np.unique(scores), np.inf)
    enough = [t for t in candidates if weights[scores < t].sum() >= share * weights.sum() * (1 - 1e-12)]
    assert threshold == min(enough)


def test_an_acceptance_share_of_equal_scores_counts_each_once() -> None:
    scores = [0.1, 0.2, 0.3, 0.4]
    assert threshold_at_acceptance(scores, share=0.5) == np.nextafter(0.2, 1)
    assert threshold_at_acceptance(scores, share=0.51) == np.nextafter(0.3, 1)
    assert threshold_at_acceptance(scores, weights=[1, 0, 0, 1], share=0.5) == np.nextafter(0.1, 1)


def test_a_share_to_accept_that_is_none_is_refused() -> None:
    for share in (0.0, 1.1, float("nan")):
        with pytest.raises(ValueError, match="share to accept"):
            threshold_at_acceptance([0.1], share=share)
    with pytest.raises(ValueError, match="at least one completion"):
        threshold_at_acceptance([0.1], weights=[0.0], share=0.5)
