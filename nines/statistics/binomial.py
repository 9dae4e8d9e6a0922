"""Short intervals of a binomial proportion that dip below their nominal coverage, and what zero events in n say.

Where coverage must never fall below the nominal one, as in every figure that this project reports, use
`nines.statistics.intervals.clopper_pearson`. The two here are for plots and for comparison with other people's figures.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Ends = tuple[NDArray[np.float64], NDArray[np.float64]]


def wilson(events: ArrayLike, items: ArrayLike, *, confidence: float = 0.95) -> Ends:
    """Wilson's score interval (Wilson 1927), the proportions that a z test does not reject.

    Its coverage oscillates around the nominal one, and near 0 and 1 it dips: at 95 % the lower end of a single event
    in n is 0.18 / n, so the interval misses a rate of 0.17 / n whenever there is an event, in 16 of 100 samples. Above
    some fifty expected events (and non-events) it stays within a percent of the nominal coverage.

    Args:
        events: Number of events, any shape.
        items: Number of items, at least 1, broadcast against `events`.
        confidence: Nominal coverage in (0, 1).

    Raises:
        ValueError: A count is impossible, or `confidence` lies outside (0, 1).
    """
    k, n = _counts(events, items, confidence)
    z = float(stats.norm.isf((1.0 - confidence) / 2.0))
    centre = (k + z * z / 2.0) / (n + z * z)
    half = z / (n + z * z) * np.sqrt(k * (n - k) / n + z * z / 4.0)
    # The exact ends: rounding must not leave a hair of an interval open at 0 or 1.
    return np.where(k == 0, 0.0, np.maximum(centre - half, 0.0)), np.where(k == n, 1.0, np.minimum(centre + half, 1.0))


def jeffreys(events: ArrayLike, items: ArrayLike, *, confidence: float = 0.95) -> Ends:
    """Equal-tailed interval of the posterior under Jeffreys' prior, beta(1/2, 1/2) (Brown, Cai and DasGupta 2001).

    The ends at 0 events and at n events are 0 and 1, as they recommend. Nominal on average over rates; it dips at
    single rates where few events are expected, to 92 % at 3 / n. Arguments and errors are those of `wilson`.
    """
    k, n = _counts(events, items, confidence)
    tail = (1.0 - confidence) / 2.0
    lower = stats.beta.ppf(tail, k + 0.5, n - k + 0.5)
    upper = stats.beta.isf(tail, k + 0.5, n - k + 0.5)
    return np.where(k == 0, 0.0, lower), np.where(k == n, 1.0, upper)


def upper_bound_without_events(items: float, *, confidence: float = 0.95) -> float:
    """The largest rate under which no event in `items` is not too surprising: one-sided, exact.

    `1 - (1 - confidence)**(1 / items)`, about 3 / items at 95 % (the rule of three, Hanley and Lippman-Hand 1983).
    The upper end of the two-sided interval is higher: about 3.7 / items.

    Args:
        items: Number of items that were looked at, at least 0; a real number may be an effective one. 0 gives 1.
        confidence: Coverage of the bound in (0, 1).

    Raises:
        ValueError: An argument is out of range.
    """
    _check_confidence(confidence)
    if not items >= 0.0:
        raise ValueError(f"items must be at least 0, got {items}")
    return 1.0 if items == 0 else -math.expm1(math.log1p(-confidence) / items)


def items_to_show(rate: float, *, confidence: float = 0.95) -> int:
    """How many items without a single event show that the rate is at most `rate`: the inverse of the bound above.

    Args:
        rate: In (0, 1).
        confidence: Coverage of the one-sided bound in (0, 1).

    Raises:
        ValueError: An argument is out of range.
    """
    _check_confidence(confidence)
    if not 0.0 < rate < 1.0:
        raise ValueError(f"rate must lie in (0, 1), got {rate}")
    return math.ceil(math.log1p(-confidence) / math.log1p(-rate))


def _counts(events: ArrayLike, items: ArrayLike, confidence: float) -> Ends:
    k, n = np.broadcast_arrays(np.asarray(events, dtype=np.float64), np.asarray(items, dtype=np.float64))
    if not ((k >= 0) & (k <= n) & (n >= 1)).all():
        raise ValueError("events must lie in [0, items], and items must be at least 1")
    _check_confidence(confidence)
    return k, n


def _check_confidence(confidence: float) -> None:
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence must lie in (0, 1), got {confidence}")
