"""Rates from items that were drawn for labelling with known, unequal probabilities: Horvitz-Thompson and Hájek."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nines.statistics.checks import binary_vector, finite_vector, weights_or_ones
from nines.statistics.estimate import Estimate, NoEstimateError
from nines.statistics.intervals import clustered_interval
from nines.statistics.label_rounds import LabelRound, Of, rate_over_rounds


def horvitz_thompson(
    events: ArrayLike,
    probabilities: ArrayLike,
    *,
    shares: ArrayLike,
    clusters: ArrayLike | None = None,
    heaviest: float | None = None,
    trusted_weight: float | None = None,
    of: Of = "source",
    confidence: float = 0.95,
) -> Estimate:
    """Share of events in a pool of which each item was drawn with a known probability (Horvitz and Thompson 1952).

    `sum(shares * events / probabilities)` over the drawn items: unbiased whatever the probabilities were chosen by,
    if they are those really used and none is 0. The interval is that of `rate_over_rounds` for one round.

    Assumptions: events are rare (at most some 5 %: the interval is conservative above), clusters are independent.

    Args:
        events: Whether each drawn item is an event, `(n,)`.
        probabilities: With which probability each was drawn, `(n,)`, in (0, 1].
        shares: What part of the pool each item is, `(n,)`: 1 / N where all N items of the pool count alike.
        clusters: Prompt of each item, `(n,)`; None takes items as independent. Without effect on rates of the pool.
        heaviest: Largest share over probability of *any* item in the pool; None takes the largest that was drawn.
        trusted_weight: From `expected_weight`, for an interval that trusts the scores: see there.
        of: "pool" or "source".
        confidence: Nominal coverage in (0, 1).

    Returns:
        The rate. Its effective items are those whose binomial variance would be as large; without an event, those
        whose upper bound would be as high.

    Raises:
        NoEstimateError: Nothing was drawn, or an item that could not have been.
        ValueError: Shapes differ or values are out of range.
    """
    happened, chances, parts = _checked(events, probabilities, shares)
    labels = None if clusters is None else np.unique(np.asarray(clusters), return_inverse=True)[1]
    drawn = LabelRound(happened, chances, parts, importance=1.0, heaviest=heaviest, clusters=labels)
    return rate_over_rounds([drawn], of=of, trusted_weight=trusted_weight, confidence=confidence)


def hajek(
    events: ArrayLike,
    probabilities: ArrayLike,
    *,
    shares: ArrayLike | None = None,
    clusters: ArrayLike | None = None,
    confidence: float = 0.95,
) -> Estimate:
    """Share of events by normalised weights, for a pool whose size is not known (Hájek 1971).

    `sum(w * events) / sum(w)` with `w = shares / probabilities`, where shares need be known up to a factor only. Its
    bias is of the order 1 / n. The interval is Korn and Graubard's, see `clustered_interval`: it holds for weights that
    are moderately unequal and do not depend on whether an item is an event; where likely failures were preferred and a
    failure may hide behind a large weight it can be too short, and `horvitz_thompson` is to be used.

    Args:
        events: Whether each drawn item is an event, `(n,)`.
        probabilities: With which probability each was drawn, `(n,)`, in (0, 1], known up to a factor.
        shares: What part of the pool each item is, `(n,)`, up to a factor; None for equal ones.
        clusters: Prompt of each item, `(n,)`; None takes items as independent.
        confidence: Nominal coverage in (0, 1).

    Raises:
        NoEstimateError: Nothing was drawn, or an item that could not have been.
        ValueError: Shapes differ or values are out of range.
    """
    happened, chances, parts = _checked(events, probabilities, shares)
    labels = np.arange(len(happened)) if clusters is None else np.asarray(clusters)
    found = clustered_interval(happened, labels, weights=parts / chances, confidence=confidence)
    return Estimate(
        estimate=found.estimate,
        lower=found.lower,
        upper=found.upper,
        confidence=confidence,
        method="Hájek, Korn-Graubard interval",
        items=len(happened),
        effective_items=found.effective_items,
    )


def expected_weight(probabilities: ArrayLike, failure_chances: ArrayLike, *, shares: ArrayLike) -> float:
    """What a failure weighs on average, in variance, if failures lie where a classifier thinks.

    `sum(shares**2 * p / probabilities) / sum(shares * p)` over the *whole pool*: the variance of the Horvitz-Thompson
    estimate over its mean, if an item fails with chance p. As `trusted_weight` of `horvitz_thompson` it makes the
    interval that of `rate / weight` equal events. That interval holds if p is right up to a factor. If failures are
    commoner among items that were hardly ever drawn than p says, it is too short: state it as what it is, an interval
    under the assumption that the scores rank rightly, beside the one that assumes nothing.

    Args:
        probabilities: Of drawing each item of the pool, `(N,)`.
        failure_chances: How likely a failure each is, `(N,)`, up to a factor.
        shares: What part of the pool each is, `(N,)`.

    Raises:
        NoEstimateError: An item that may fail could not be drawn, or none may fail.
        ValueError: Shapes differ or values are negative.
    """
    chances = weights_or_ones(probabilities, len(np.atleast_1d(probabilities)))
    likely = weights_or_ones(failure_chances, len(chances))
    parts = weights_or_ones(shares, len(chances))
    mass = float((parts * likely).sum())
    if mass <= 0 or (chances[(parts > 0) & (likely > 0)] == 0).any():
        raise NoEstimateError("an item that may be a failure has no chance of being drawn; give every item a floor")
    counted = chances > 0
    return float((parts[counted] ** 2 * likely[counted] / chances[counted]).sum()) / mass


def _checked(
    events: ArrayLike, probabilities: ArrayLike, shares: ArrayLike | None
) -> tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64]]:
    chances = finite_vector(probabilities, "probabilities")
    if len(chances) == 0:
        raise NoEstimateError("no labelled item: there is nothing to estimate a rate from")
    if (chances == 0).any():
        raise NoEstimateError(
            f"{int((chances == 0).sum())} items have selection probability 0, so they cannot have been drawn; "
            "give the probabilities that were really used"
        )
    if ((chances < 0) | (chances > 1)).any():
        raise ValueError("selection probabilities must lie in (0, 1]")
    parts = weights_or_ones(shares, len(chances))
    if not parts.any():
        raise NoEstimateError("all drawn items have weight 0: no effective sample")
    return binary_vector(events, "events", length=len(chances)), chances, parts
