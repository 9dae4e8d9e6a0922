import itertools

import numpy as np
import pytest

from nines.statistics.estimate import NoEstimateError
from nines.statistics.safest_selection import bias_of_skipping, quality_of_selection, selection_weights
from tests.nines.statistics.test_accepted_pairs import ACCEPTED, CHANCES, RANK, SHARES

THRESHOLD = 3.0  # on the scores: completions 0, 1 and 3 lie below it
SCORES = np.array([2.0, 0.0, 3.0, 1.0, 4.0])
TABLE = np.array(SHARES, dtype=float)


def run_policy(draws, *, batch, batches, fallback):
    """Brute force: what is delivered of attempts in order."""
    for start in range(0, batch * batches, batch):
        found = [draw for draw in draws[start : start + batch] if ACCEPTED[draw]]
        if found:
            return min(found, key=RANK.__getitem__)
    return min(draws[: batch * batches], key=RANK.__getitem__) if fallback == "safest" else None


@pytest.mark.parametrize(
    ("batch", "batches", "fallback"),
    [(1, 1, "refuse"), (1, 3, "refuse"), (1, 3, "safest"), (2, 1, "safest"), (3, 1, "refuse"), (2, 2, "safest")],
)
def test_the_u_statistic_is_unbiased_by_exact_enumeration(batch, batches, fallback):
    options = {"batch": batch, "batches": batches, "fallback": fallback}
    chances = np.array(CHANCES, dtype=float)
    truth = delivered = 0.0
    for unfiltered, *draws in itertools.product(range(5), repeat=batch * batches + 1):
        chosen = run_policy(draws, **options)
        if chosen is not None:
            chance = np.prod(chances[[unfiltered, *draws]])
            truth += chance * TABLE[chosen, unfiltered]
            delivered += chance
    samples = np.array(list(itertools.product(range(5), repeat=5)))
    weights = selection_weights(SCORES[samples], threshold=THRESHOLD, **options)
    of_sample = np.prod(chances[samples], axis=1)
    shares = TABLE[samples[:, :, None], samples[:, None, :]]
    assert (of_sample * (weights * shares).sum(axis=(1, 2))).sum() == pytest.approx(truth)
    assert (of_sample * weights.sum(axis=(1, 2))).sum() == pytest.approx(delivered)


def test_weights_are_the_share_of_subsets_that_deliver_a_draw():
    """Batches of two out of three: counted by hand for scores 1 < 2 < 3, all accepted."""
    weights = selection_weights([[0.1, 0.2, 0.3]], threshold=1.0, batch=2)
    # Whatever is left out as the unfiltered one, the safer of the other two is delivered.
    assert weights[0] * 3 == pytest.approx(np.array([[0, 1, 1], [1, 0, 0], [0, 0, 0]]))


def test_first_accepted_needs_no_label_among_accepted_draws():
    rng = np.random.default_rng(0)
    scores = rng.random((200, 4))
    shares = np.where(rng.random((200, 4, 4)) < 0.5, 1.0, 0.0)
    shares = np.triu(shares, 1) + np.tril(1 - shares.transpose(0, 2, 1), -1)
    accepted = scores < 0.6
    unlabelled = np.where(accepted[:, :, None] & accepted[:, None, :], np.nan, shares)
    with_all = quality_of_selection(shares, scores, threshold=0.6)
    assert quality_of_selection(unlabelled, scores, threshold=0.6) == with_all
    with pytest.raises(NoEstimateError, match="have no label"):
        quality_of_selection(unlabelled, scores, threshold=0.6, batch=2)


def test_the_bias_of_skipping_is_that_of_a_simulation():
    rng = np.random.default_rng(0)
    batch, correlation, acceptance = 4, 0.5, 0.6
    scores = rng.normal(size=(400_000, batch + 1))
    merit = -correlation * scores + np.sqrt(1 - correlation**2) * rng.normal(size=scores.shape)
    threshold = np.quantile(scores, acceptance)
    best = scores[:, 1:].argmin(axis=1) + 1
    rows = np.arange(len(scores))
    # Batches without an accepted draw are drawn again: left out.
    kept = scores[rows, best] < threshold
    both = kept & (scores[:, 0] < threshold)
    gained = np.where(both, (merit[rows, best] > merit[:, 0]) - 0.5, 0.0)[kept]
    expected = bias_of_skipping(batch, correlation, acceptance=acceptance)
    assert expected > 0.03
    assert gained.mean() == pytest.approx(expected, abs=4 * gained.std() / len(gained) ** 0.5)


def test_the_bias_is_none_for_first_accepted_or_without_correlation_and_grows_with_both():
    assert bias_of_skipping(1, 0.8, acceptance=0.7) == pytest.approx(0, abs=1e-9)
    assert bias_of_skipping(8, 0.0) == pytest.approx(0, abs=1e-12)
    assert bias_of_skipping(8, -0.4) == pytest.approx(-bias_of_skipping(8, 0.4))
    grown = [bias_of_skipping(batch, 0.3) for batch in (2, 4, 8)] + [bias_of_skipping(8, 0.6)]
    assert grown == sorted(grown)


def test_the_bias_of_two_accepted_draws_is_that_of_their_maximum():
    """All accepted, k = 2: quality and safety one and the same is won in 2 of 3 by the safest, so ½ is 1/6 short."""
    assert bias_of_skipping(2, 0.99999) == pytest.approx(1 / 6, abs=2e-3)


def test_too_few_draws_or_prompts_are_no_estimate():
    with pytest.raises(NoEstimateError, match="at least 9"):
        selection_weights(np.zeros((2, 8)), threshold=1.0, batch=4, batches=2)
    with pytest.raises(NoEstimateError, match="delivers nothing"):
        quality_of_selection(np.full((3, 4, 4), 0.5), np.ones((3, 4)), threshold=0.5)
    with pytest.raises(NoEstimateError, match="10 that differ"):
        quality_of_selection(np.ones((3, 4, 4)), np.zeros((3, 4)), threshold=0.5, batch=2)
    with pytest.raises(ValueError, match="fallback"):
        selection_weights(np.zeros((2, 8)), threshold=1.0, fallback="best")
    with pytest.raises(ValueError, match="correlation"):
        bias_of_skipping(2, 1.0)
