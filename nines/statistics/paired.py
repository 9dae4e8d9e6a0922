"""The difference of two proportions that were seen on the same items."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from nines.statistics.checks import binary_vector
from nines.statistics.estimate import Estimate


def paired_difference(first: ArrayLike, second: ArrayLike, *, confidence: float = 0.95) -> Estimate:
    """Share of events among `first` minus that among `second`, item by item, with Bonett and Price's interval.

    Wald's interval after one item is added to each kind of disagreement (Bonett and Price 2012, "Adjusted Wald
    confidence interval for a difference of binomial proportions based on paired data", eq. 2): it does not shrink to
    nothing where the two never disagree.

    Args:
        first: Whether each item is an event by the first account, `(n,)`, n at least 1.
        second: The same by the second.
        confidence: Wanted coverage in (0, 1).

    Raises:
        ValueError: Shapes differ, there is no item, or an event is neither 0 nor 1.
    """
    count = len(np.asarray(first))
    ours, theirs = binary_vector(first, "first", length=count), binary_vector(second, "second", length=count)
    if count == 0:
        raise ValueError("a difference needs at least one item")
    only_first, only_second = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
    gained, lost = (only_first + 1) / (count + 2), (only_second + 1) / (count + 2)
    error = math.sqrt((gained + lost - (gained - lost) ** 2) / (count + 2))
    half = float(stats.norm.ppf((1 + confidence) / 2)) * error
    return Estimate(
        estimate=(only_first - only_second) / count,
        lower=max(-1.0, gained - lost - half),
        upper=min(1.0, gained - lost + half),
        confidence=confidence,
        method="paired difference, Bonett-Price",
        items=count,
        effective_items=float(count),
    )
