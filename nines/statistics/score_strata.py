"""Strata of items by score, and how many labels each stratum gets."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nines.errors import ConfigError
from nines.statistics.checks import finite_vector, weights_or_ones


def score_strata(failure_chances: ArrayLike, *, count: int, shares: ArrayLike | None = None) -> NDArray[np.int64]:
    """Stratum of each item, from 0 for the lowest scores up; items of one score share a stratum.

    Boundaries cut `cumsum(shares * sqrt(p))` into equal parts, which makes Neyman's allocation nearly equal (the rule
    of Dalenius and Hodges 1959, for a label instead of a measured size). Fewer strata result where scores are few.

    Args:
        failure_chances: How likely a failure each item is, `(N,)`, not negative.
        count: Strata at most, at least 1.
        shares: What part of the whole each item is, `(N,)`; None for equal ones.

    Raises:
        ConfigError: `count` is below 1.
        ValueError: Shapes differ or values are negative.
    """
    chances = weights_or_ones(failure_chances, len(finite_vector(failure_chances, "failure_chances")))
    parts = weights_or_ones(shares, len(chances))
    if count < 1:
        raise ConfigError(f"there must be at least 1 stratum, got {count}")
    distinct, group = np.unique(chances, return_inverse=True)
    size = np.bincount(group, weights=parts * np.sqrt(chances), minlength=len(distinct))
    if size.sum() == 0:
        return np.zeros(len(chances), dtype=np.int64)
    middle = (np.cumsum(size) - size / 2) / size.sum()
    stratum = np.minimum((middle * count).astype(np.int64), count - 1)
    return np.asarray(np.unique(stratum, return_inverse=True)[1][group], dtype=np.int64)


def neyman_allocation(sizes: ArrayLike, spreads: ArrayLike, *, budget: int, least: int = 2) -> NDArray[np.int64]:
    """Labels for each stratum in proportion to size times standard deviation (Neyman 1934), whole and within bounds.

    Args:
        sizes: Items of each stratum, `(strata,)`, whole numbers.
        spreads: Standard deviation of the label in each, such as `sqrt(p * (1 - p))`, up to a factor, `(strata,)`.
        budget: Labels in all.
        least: Every stratum that has items gets at least this many, or all of them, so that none is without support.

    Returns:
        `(strata,)`, summing to the smaller of the budget and the number of items.

    Raises:
        ConfigError: The budget does not reach for `least` in each.
        ValueError: Shapes differ or values are negative.
    """
    there = weights_or_ones(sizes, len(finite_vector(sizes, "sizes")))
    spread = weights_or_ones(spreads, len(there))
    base = np.minimum(there, least)
    if budget < base.sum():
        raise ConfigError(f"{budget} labels do not reach for {least} in each of {len(there)} strata")
    wanted = there * spread
    wanted = wanted / wanted.max() if wanted.any() else there
    # What is next to nothing is nothing: dividing by it would leave the range of numbers.
    wanted = np.where(wanted < 1e-12, 0.0, wanted)
    total = min(float(budget), float(there.sum()))
    found = np.floor(_proportional(wanted, base, there, total=total) + 1e-9)
    while found.sum() < total:
        # One more label saves this much variance (Wright 2012); strata that nobody wants come last.
        saved = np.where(found < there, wanted**2 / np.maximum(found * (found + 1), 0.5), -1.0)
        found[int(saved.argmax())] += 1
    return np.asarray(found, dtype=np.int64)


def _proportional(
    wanted: NDArray[np.float64], least: NDArray[np.float64], most: NDArray[np.float64], *, total: float
) -> NDArray[np.float64]:
    """`clip(c * wanted, least, most)` with the largest c, found by halving, for which it sums to at most `total`."""
    low, high = 0.0, float((most[wanted > 0] / wanted[wanted > 0]).max(initial=0.0))
    found = np.maximum(least, np.where(wanted > 0, most, least))
    if found.sum() <= total:
        return found
    for _ in range(100):
        middle = (low + high) / 2.0
        if np.clip(middle * wanted, least, most).sum() > total:
            high = middle
        else:
            low = middle
    return np.asarray(np.clip(low * wanted, least, most), dtype=np.float64)
