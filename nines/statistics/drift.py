"""Whether a labeller changes over time: a test for a change at an unknown moment, and the accuracy window by window."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nines.statistics.checks import binary_vector
from nines.statistics.estimate import Estimate, NoEstimateError
from nines.statistics.intervals import clopper_pearson

_AT_ONCE = 4_000_000
METHOD = "share right in a window, Clopper-Pearson"


@dataclasses.dataclass(frozen=True)
class Drift:
    """What the order of a labeller's right and wrong readings says.

    Attributes:
        p_value: Chance of so large a largest difference between before and after if the order meant nothing, in (0, 1].
        change_at: Readings before the split with the largest difference.
        before: Share right before that split. The split was picked, so the difference is too large as an estimate.
        after: Share right after it.
        windows: Share right in consecutive windows of nearly equal size, each with its own exact interval.
    """

    p_value: float
    change_at: int
    before: float
    after: float
    windows: tuple[Estimate, ...]


def drift(
    right: ArrayLike,
    *,
    windows: int = 4,
    shortest: int = 10,
    permutations: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Drift:
    """Test whether the share of right readings changes once, at an unknown moment, and describe it by windows.

    The statistic is the largest standardised difference between the readings before and after a split (the CUSUM
    statistic; Page 1955), over all splits that leave `shortest` readings on each side. Its p-value comes from random
    orders of the same readings, the observed order counted in (Phipson and Smyth 2010): under no drift every order is
    equally likely, so the test keeps its level exactly, whatever the accuracy. Assumes that the items come in an order
    that has nothing to do with their difficulty; with a plan that asks hard items last, the test finds the plan. It is
    made for one look at the end: who looks after every batch divides the level by the number of looks.

    Args:
        right: Whether each reading agrees with gold or with the majority of others, in the order of reading, `(n,)`.
        windows: How many windows to describe it by, at least 1.
        shortest: Fewest readings on either side of a split, at least 1.
        permutations: Random orders to compare with, at least 99.
        confidence: Of each window's interval.
        seed: Of the random orders.

    Raises:
        NoEstimateError: Fewer than `2 * shortest` readings.
        ValueError: An argument is out of range.
    """
    values = binary_vector(right, "right", length=len(np.asarray(right)))
    count = len(values)
    if shortest < 1 or permutations < 99 or windows < 1:
        raise ValueError("shortest and windows must be at least 1, permutations at least 99")
    if count < 2 * shortest:
        raise NoEstimateError(f"{count} readings are too few to look for drift; it takes {2 * shortest}")
    # Sums are of whole numbers, so equal orders give equal statistics to the bit.
    observed = _differences(values[None, :].astype(np.int64), shortest)[0]
    split = int(observed.argmax())
    rng = np.random.default_rng(seed)
    as_large, rest = 0, permutations
    while rest:
        rows = min(rest, max(1, _AT_ONCE // count))
        shuffled = rng.permuted(np.tile(values.astype(np.int64), (rows, 1)), axis=1)
        largest = _differences(shuffled, shortest).max(axis=1)
        as_large += int((largest >= observed[split] - 1e-12).sum())
        rest -= rows
    change_at = split + shortest
    return Drift(
        p_value=(1 + as_large) / (1 + permutations),
        change_at=change_at,
        before=float(values[:change_at].mean()),
        after=float(values[change_at:].mean()),
        windows=tuple(_window(part, confidence) for part in np.array_split(values, min(windows, count))),
    )


def _differences(values: NDArray[np.int64], shortest: int) -> NDArray[np.float64]:
    """Standardised difference at each split, `(orders, splits)`, up to a factor that all orders share."""
    count = values.shape[1]
    before = np.arange(shortest, count - shortest + 1)
    sums = np.cumsum(values, axis=1)
    gaps = np.abs(sums[:, before - 1] * count - before * sums[:, -1:])
    return np.asarray(gaps / np.sqrt(before * (count - before)), dtype=np.float64)


def _window(part: NDArray[np.bool_], confidence: float) -> Estimate:
    events, count = int(part.sum()), len(part)
    lower, upper = clopper_pearson(events, count, confidence=confidence)
    return Estimate(events / count, lower, upper, confidence, METHOD, count, float(count))
