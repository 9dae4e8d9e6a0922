import itertools

import numpy as np
import pytest

from nines.statistics.estimate import NoEstimateError
from nines.statistics.gamma_interval import gamma_interval
from nines.statistics.intervals import clopper_pearson
from nines.statistics.weighted_rates import expected_weight, hajek, horvitz_thompson


def every_sample(chances):
    """Each possible outcome of independent draws, with its probability."""
    for taken in itertools.product([False, True], repeat=len(chances)):
        mask = np.array(taken)
        yield mask, float(np.prod(np.where(mask, chances, 1 - chances)))


def test_horvitz_thompson_is_unbiased_over_every_possible_sample():
    events, chances = np.array([1, 0, 1, 1, 0]), np.array([0.2, 0.9, 0.5, 1.0, 0.1])
    shares = np.array([0.1, 0.2, 0.3, 0.15, 0.25])
    mean = sum(
        probability * horvitz_thompson(events[mask], chances[mask], shares=shares[mask]).estimate
        for mask, probability in every_sample(chances)
        if mask.any()
    )
    assert mean == pytest.approx(shares[events == 1].sum())


def test_equal_draws_of_a_large_pool_nearly_give_the_exact_interval():
    events = np.arange(10_000) < 4
    found = horvitz_thompson(events, np.full(10_000, 0.01), shares=np.full(10_000, 1e-6))
    assert found.estimate == pytest.approx(4e-4)
    assert (found.lower, found.upper) == pytest.approx(clopper_pearson(4, 10_000), rel=2e-3)
    assert found.effective_items == pytest.approx(10_000, rel=1e-3)


def test_a_pool_that_was_labelled_as_a_whole_leaves_only_its_source_uncertain():
    events = np.arange(100) < 3
    shares = np.full(100, 0.01)
    known = horvitz_thompson(events, np.ones(100), shares=shares, of="pool")
    assert (known.lower, known.estimate) == pytest.approx((0.03, 0.03))
    assert horvitz_thompson(events, np.ones(100), shares=shares).lower < 0.01


def test_the_failures_seen_bound_the_rate_of_the_pool_from_below():
    found = horvitz_thompson([1, 1, 0], [0.9, 0.5, 0.5], shares=[0.01] * 3, of="pool")
    assert found.lower >= 0.02


def test_events_of_one_prompt_count_as_one_surprise():
    events, chances, shares = [1, 1, 1, 0], [0.1] * 4, [1e-4] * 4
    alone = horvitz_thompson(events, chances, shares=shares)
    together = horvitz_thompson(events, chances, shares=shares, clusters=[5, 5, 5, 6])
    total, weight = 3e-3, 3e-3
    assert together.estimate == alone.estimate == pytest.approx(total)
    expected = [float(end) for end in gamma_interval(total, weight**2, next_weight=weight)]
    assert [together.lower, together.upper] == pytest.approx(expected)


def test_no_event_gives_the_bound_of_the_heaviest_item():
    found = horvitz_thompson([0, 0], [0.5, 0.01], shares=[1e-6, 1e-6])
    assert (found.lower, found.upper) == pytest.approx((0.0, -np.log(0.025) * 1e-4))
    assert horvitz_thompson([0], [0.5], shares=[1e-6], heaviest=1e-4).upper == pytest.approx(found.upper)


def test_trusting_scores_counts_equal_events_of_the_expected_weight():
    weight = expected_weight([0.5, 0.1], [0.2, 0.1], shares=[0.5, 0.5])
    assert weight == pytest.approx((0.25 * 0.2 / 0.5 + 0.25 * 0.1 / 0.1) / (0.5 * 0.2 + 0.5 * 0.1))
    found = horvitz_thompson([1, 0], [0.5, 0.1], shares=[5e-4, 5e-4], trusted_weight=5e-3)
    expected = [float(end) for end in gamma_interval(1e-3, 5e-6, next_weight=5e-3)]
    assert [found.lower, found.upper] == pytest.approx(expected)


def test_hajek_needs_probabilities_up_to_a_factor_only():
    rng = np.random.default_rng(0)
    events, chances = rng.random(200) < 0.1, rng.uniform(0.1, 0.5, size=200)
    one, other = hajek(events, chances), hajek(events, chances / 7)
    assert one.estimate == pytest.approx((events / chances).sum() / (1 / chances).sum())
    assert (one.lower, one.upper) == pytest.approx((other.lower, other.upper))


@pytest.mark.parametrize("estimator", [horvitz_thompson, hajek])
def test_samples_without_support_are_refused(estimator):
    with pytest.raises(NoEstimateError, match="no labelled item"):
        estimator([], [], shares=[])
    with pytest.raises(NoEstimateError, match="1 items have selection probability 0"):
        estimator([1, 0], [0.5, 0.0], shares=[0.5, 0.5])
    with pytest.raises(NoEstimateError, match="no effective sample"):
        estimator([1, 0], [0.5, 0.5], shares=[0.0, 0.0])
    with pytest.raises(ValueError, match=r"\(0, 1\]"):
        estimator([1, 0], [0.5, 1.5], shares=[0.5, 0.5])


def test_scores_that_exclude_what_cannot_be_drawn_are_refused():
    with pytest.raises(NoEstimateError, match="floor"):
        expected_weight([0.0, 1.0], [0.1, 0.1], shares=[0.5, 0.5])
