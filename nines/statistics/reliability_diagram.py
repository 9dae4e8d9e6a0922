"""How far probabilities are from the shares that are observed: the reliability diagram and the calibration error."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nines.statistics.checks import binary_vector, finite_vector, weights_or_ones
from nines.statistics.curves import probability_bins
from nines.statistics.estimate import Estimate, NoEstimateError
from nines.statistics.intervals import clustered_interval, kish_effective_size


@dataclasses.dataclass(frozen=True)
class ReliabilityBin:
    """One bin of a reliability diagram.

    Attributes:
        lowest: Lowest probability in the bin.
        highest: Highest probability in the bin.
        share: Share of all weight that lies in it, in (0, 1].
        predicted: Weighted mean of the probabilities.
        observed: Weighted share of injurious rows.
    """

    lowest: float
    highest: float
    share: float
    predicted: float
    observed: Estimate


def reliability_diagram(
    probabilities: ArrayLike,
    positives: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    prompts: ArrayLike | None = None,
    bins: int = 10,
    equal_weight: bool = False,
    confidence: float = 0.95,
) -> tuple[ReliabilityBin, ...]:
    """Predicted against observed share of injurious rows in bins of the probability, from the lowest up.

    Each observed share has Korn and Graubard's interval, see `nines.statistics.intervals.clustered_interval`.

    Args:
        probabilities: Of each row, in [0, 1], `(n,)`.
        positives: Whether each row is injurious, `(n,)`.
        weights: What each row stands for, `(n,)`; None counts each once.
        prompts: Prompt of each row, `(n,)`; None: each stands alone.
        bins: How many; empty ones are left out.
        equal_weight: Bins of about equal weight in place of equal width. Where nearly all probabilities are small,
            equal widths put nearly everything into one bin.
        confidence: Wanted coverage of each bin's interval, in (0, 1).

    Raises:
        NoEstimateError: No row has a weight.
        ValueError: A probability lies outside [0, 1], shapes differ, or `bins` is below 1.
    """
    values = finite_vector(probabilities, "probabilities")
    positive = binary_vector(positives, "positives", length=len(values))
    masses = weights_or_ones(weights, len(values))
    labels = np.arange(len(values)) if prompts is None else np.asarray(prompts)
    counted = masses > 0
    if not counted.any():
        raise NoEstimateError("no row has a weight, so nothing can be said of calibration")
    values, positive, masses, labels = values[counted], positive[counted], masses[counted], labels[counted]
    group = probability_bins(values, bins=bins)
    if equal_weight:
        group = _bins_of_equal_weight(values, masses, bins=bins)
    order = np.argsort(group, kind="stable")
    found = []
    for rows in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
        interval = clustered_interval(positive[rows], labels[rows], weights=masses[rows], confidence=confidence)
        found.append(
            ReliabilityBin(
                lowest=float(values[rows].min()),
                highest=float(values[rows].max()),
                share=float(masses[rows].sum() / masses.sum()),
                predicted=float(np.average(values[rows], weights=masses[rows])),
                observed=Estimate(
                    estimate=interval.estimate,
                    lower=interval.lower,
                    upper=interval.upper,
                    confidence=confidence,
                    method="Hájek, Korn-Graubard",
                    items=len(rows),
                    effective_items=interval.effective_items,
                ),
            )
        )
    return tuple(found)


def calibration_error(
    probabilities: ArrayLike,
    positives: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    prompts: ArrayLike | None = None,
    bins: int = 10,
    equal_weight: bool = True,
    confidence: float = 0.95,
) -> Estimate:
    """The expected calibration error over bins (Naeini et al. 2015) with an interval that is never too short.

    `sum(share |predicted - rate|)` over the bins of these rows, where the rate is the probability that a row of the bin
    is injurious, given the probabilities of the rows at hand. The point estimate puts the observed share for the rate.
    It is biased upwards, most where the error is small: noise is a distance, too. The interval joins intervals of all
    bins that hold at once (each at `1 - (1 - confidence) / bins`, Bonferroni), so its lower end is 0 wherever chance
    alone explains the distances. Wide, as an error that may be chance should be.

    Bins hide what evens out inside them: an error of 0 is no proof of calibration.

    Arguments and errors are those of `reliability_diagram`.
    """
    diagram = reliability_diagram(
        probabilities,
        positives,
        weights=weights,
        prompts=prompts,
        bins=bins,
        equal_weight=equal_weight,
        confidence=1.0 - (1.0 - confidence) / bins,
    )
    shares = np.array([one.share for one in diagram])
    predicted = np.array([one.predicted for one in diagram])
    observed = np.array([one.observed.estimate for one in diagram])
    lower = np.array([one.observed.lower for one in diagram])
    upper = np.array([one.observed.upper for one in diagram])
    nearest = np.maximum(np.maximum(lower - predicted, predicted - upper), 0.0)
    farthest = np.maximum(predicted - lower, upper - predicted)
    estimate = float(shares @ np.abs(predicted - observed))
    masses = weights_or_ones(weights, len(np.asarray(probabilities)))
    return Estimate(
        estimate=estimate,
        lower=min(float(shares @ nearest), estimate),
        upper=max(min(float(shares @ farthest), 1.0), estimate),
        confidence=confidence,
        method="binned calibration error, simultaneous Korn-Graubard",
        items=int((masses > 0).sum()),
        effective_items=kish_effective_size(masses),
    )


def _bins_of_equal_weight(values: NDArray[np.float64], masses: NDArray[np.float64], *, bins: int) -> NDArray[np.int64]:
    """Bin of each row such that bins weigh about the same; equal probabilities share a bin, `(n,)`."""
    _, group = np.unique(values, return_inverse=True)
    totals = np.bincount(group, weights=masses)
    middle = (np.cumsum(totals) - totals / 2.0) / totals.sum()
    return np.asarray(np.minimum((middle * bins).astype(np.int64), bins - 1)[group], dtype=np.int64)
