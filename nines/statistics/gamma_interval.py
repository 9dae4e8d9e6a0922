"""The interval of a weighted sum of rare events: exact for equal weights, honest about the heaviest one not seen."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats


def gamma_interval(
    total: ArrayLike, variance: ArrayLike, *, next_weight: ArrayLike, confidence: float = 0.95
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Interval of the mean of a weighted sum of Poisson counts (Fay and Feuer 1997, eqs. 7 and 8).

    With weights w and an event on the items of a set E the sum is `total = sum(w[E])` and its variance is estimated
    by `variance = sum(w[E]**2)`. The lower end is a quantile of the gamma distribution with that mean and variance,
    the upper one of that with one more event, of weight `next_weight`. Equal weights give Garwood's exact interval.

    Assumption: events are rare and independent. Coverage is then at least nominal in all simulations of Fay and Feuer
    and of `benchmarks/coverage` if `next_weight` is the largest weight that *any* item could have had, seen or not:
    an item that would have weighed much and was not drawn is what the upper end has to allow for. Smaller choices are
    shorter and rest on knowing where failures lie, see `nines.statistics.weighted_rates`.

    Args:
        total: Weighted sum of events, any shape, not negative.
        variance: Its estimated variance, broadcast against `total`; positive where `total` is.
        next_weight: Weight of the event that might have been, positive.
        confidence: Nominal coverage in (0, 1), half of the rest on each side.

    Returns:
        Lower and upper ends, in the unit of `total`.

    Raises:
        ValueError: An argument is out of range.
    """
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence must lie in (0, 1), got {confidence}")
    t, v, w = np.broadcast_arrays(*(np.asarray(part, dtype=np.float64) for part in (total, variance, next_weight)))
    if not ((t >= 0) & (v >= 0) & (w > 0)).all():
        raise ValueError("total and variance must not be negative, and next_weight must be positive")
    happened = t > 0
    if not (v > 0)[happened].all():
        raise ValueError("variance must be positive where total is; add what is certain after the interval is taken")
    tail = (1.0 - confidence) / 2.0
    # Ones where nothing happened: their quantile is discarded.
    mean, spread = np.where(happened, t, 1.0), np.where(happened, v, 1.0)
    lower = np.where(happened, stats.gamma.ppf(tail, mean**2 / spread, scale=spread / mean), 0.0)
    mean, spread = t + w, v + w**2
    return lower, stats.gamma.isf(tail, mean**2 / spread, scale=spread / mean)
