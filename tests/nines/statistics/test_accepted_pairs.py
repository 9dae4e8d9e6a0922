import itertools
from fractions import Fraction

import numpy as np
import pytest

from nines.statistics.accepted_pairs import needs_label, quality_from_needed, saving
from nines.statistics.estimate import NoEstimateError
from nines.statistics.quality import quality

# One prompt: chances of five completions, whether the filter accepts each, and what row i gets against column j.
CHANCES = [Fraction(n, 20) for n in (5, 1, 6, 3, 5)]
ACCEPTED = [True, True, False, True, False]
H = Fraction(1, 2)
SHARES = [[H, 1, 0, H, 1], [0, H, 1, 1, 0], [1, 0, H, 0, 1], [H, 0, 1, H, 0], [0, 1, 0, 1, H]]
RANK = [2, 0, 3, 1, 4]  # of the scores: completion 1 is the safest


def first_accepted(draws):
    return next((draw for draw in draws if ACCEPTED[draw]), None)


def safest(draws):
    found = min(draws, key=RANK.__getitem__)
    return found if ACCEPTED[found] else None


def enumerated(select, tries):
    """Exact: quality given that one is delivered, with all labels and with ½ for pairs that are both accepted."""
    labelled = skipped = delivered = Fraction(0)
    for unfiltered, *draws in itertools.product(range(5), repeat=tries + 1):
        chance = np.prod([CHANCES[draw] for draw in (unfiltered, *draws)])
        chosen = select(draws)
        if chosen is None:
            continue
        delivered += chance
        labelled += chance * SHARES[chosen][unfiltered]
        skipped += chance * (H if ACCEPTED[unfiltered] else SHARES[chosen][unfiltered])
    return labelled / delivered, skipped / delivered


@pytest.mark.parametrize("tries", [1, 2, 3])
def test_both_accepted_pairs_need_no_label_under_first_accepted_selection(tries):
    labelled, skipped = enumerated(first_accepted, tries)
    assert labelled == skipped  # exact fractions


@pytest.mark.parametrize("tries", [2, 3])
def test_they_do_need_one_under_safest_of_batch_selection(tries):
    labelled, skipped = enumerated(safest, tries)
    assert abs(labelled - skipped) > Fraction(1, 250)


def test_coupled_draws_have_the_same_quality():
    """The unfiltered completion may be the first of the attempts that the filter chooses from."""
    coupled = total = Fraction(0)
    for draws in itertools.product(range(5), repeat=4):
        chance, chosen = np.prod([CHANCES[draw] for draw in draws]), first_accepted(draws)
        if chosen is not None:
            total += chance
            coupled += chance * SHARES[chosen][draws[0]]
        else:
            # With a budget without end all are delivered; here the rest is taken for what it would have been.
            rest = sum(CHANCES[i] for i in range(5) if ACCEPTED[i])
            coupled += chance * sum(CHANCES[i] / rest * SHARES[i][draws[0]] for i in range(5) if ACCEPTED[i])
            total += chance
    assert coupled / total == enumerated(first_accepted, 1)[0]


def test_only_pairs_with_a_side_that_is_not_accepted_need_a_label():
    assert needs_label([True, True, False, False], [True, False, True, False]).tolist() == [False, True, True, True]


def test_the_estimate_is_that_of_ties_where_no_label_is_needed():
    shares, needed = np.array([np.nan, 1.0, np.nan, 0.0, 1.0, np.nan]), np.array([0, 1, 0, 1, 1, 0], dtype=bool)
    found, known = quality_from_needed(shares, needed, np.arange(6)), quality([0.5, 1, 0.5, 0, 1, 0.5], np.arange(6))
    assert (found.estimate, found.lower, found.upper) == (known.estimate, known.lower, known.upper)


def test_both_estimates_have_one_expectation_and_skipping_has_the_smaller_variance():
    rng = np.random.default_rng(0)
    needed = rng.random((4000, 50)) < 0.3
    shares = (rng.random((4000, 50)) < np.where(needed, 0.8, 0.5)).astype(float)
    all_labels, skipping = shares.mean(axis=1), np.where(needed, shares, 0.5).mean(axis=1)
    error = (all_labels - skipping).std() / 4000**0.5
    assert abs(all_labels.mean() - skipping.mean()) < 4 * error
    # p (1 - p) with p = 0.59, against 0.3 of 1/4 minus 0.09².
    assert (all_labels.var() / skipping.var()) == pytest.approx(0.2419 / 0.0669, rel=0.1)


def test_the_saving_to_the_same_width_is_about_one_over_the_squared_share_of_rejected():
    needed = np.arange(1000) < 250
    shares = np.where(needed, np.arange(1000) % 2, np.nan)
    found = saving(shares, needed)
    assert (found.pairs, found.needed) == (1000, 250)
    assert found.rejected == pytest.approx(0.25)
    assert found.same_pairs == 4
    assert found.same_width == pytest.approx(16)


def test_without_any_needed_label_the_estimate_is_even_and_the_saving_has_no_bound():
    found = quality_from_needed(np.full(30, np.nan), np.zeros(30, dtype=bool), np.arange(30))
    assert found.estimate == 0.5
    assert found.width > 0
    assert saving(np.full(30, np.nan), np.zeros(30, dtype=bool)).same_width == float("inf")


def test_needed_pairs_without_any_label_are_no_estimate():
    with pytest.raises(NoEstimateError, match="none of the 1 pairs"):
        quality_from_needed([np.nan, np.nan], [True, False], [0, 1], weights=[0.0, 1.0])
    with pytest.raises(ValueError, match="needed pairs"):
        quality_from_needed([np.nan, np.nan], [True, False], [0, 1])
