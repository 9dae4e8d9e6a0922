"""With which probability to draw each item for labelling, and the draw itself."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nines.errors import ConfigError
from nines.statistics.checks import finite_vector, weights_or_ones


def selection_probabilities(
    failure_chances: ArrayLike,
    *,
    budget: int,
    shares: ArrayLike | None = None,
    floor: float = 0.3,
    power: float = 0.5,
) -> NDArray[np.float64]:
    """Inclusion probabilities that put labels where failures are likely, and some everywhere.

    The Horvitz-Thompson estimate of a rate has variance `sum(shares**2 * p / probability)` up to a constant, smallest
    for probabilities in proportion to `shares * sqrt(p)` (Neyman 1934, applied item by item). A share `floor` of the
    budget is spread over all items in proportion to their shares (defensive mixing, Hesterberg 1995), so that no
    failure weighs more than `1 / (floor * budget)` of the whole, however wrong the scores are.

    Args:
        failure_chances: How likely a failure each item is, `(N,)`, in [0, 1], such as a calibrated score; only ratios
            count, until probabilities reach 1.
        budget: How many labels, from 1 to N.
        shares: What part of the whole each item is, `(N,)`, up to a factor; None for equal ones. An item of share 0 is
            never drawn.
        floor: In [0, 1]: 1 ignores the scores, 0 trusts them completely.
        power: 0.5 is optimal where `failure_chances` are right; 1 draws in proportion to them.

    Returns:
        Probabilities in [0, 1] that sum to the budget.

    Raises:
        ConfigError: Budget, floor or power is out of range.
        ValueError: Shapes differ or values are out of range.
    """
    chances = finite_vector(failure_chances, "failure_chances")
    if ((chances < 0) | (chances > 1)).any():
        raise ValueError("failure_chances must lie in [0, 1]; scores that are not probabilities must be mapped first")
    parts = weights_or_ones(shares, len(chances))
    possible = int((parts > 0).sum())
    if not 1 <= budget <= possible:
        raise ConfigError(f"the budget must lie between 1 and the {possible} items that can be drawn, got {budget}")
    if not 0.0 <= floor <= 1.0 or not power > 0:
        raise ConfigError(f"floor must lie in [0, 1] and power must be positive, got {floor} and {power}")
    likely = parts * chances**power
    if likely.sum() == 0:
        likely = parts
    return capped_in_proportion((1 - floor) * likely / likely.sum() + floor * parts / parts.sum(), total=budget)


def capped_in_proportion(sizes: NDArray[np.float64], *, total: float) -> NDArray[np.float64]:
    """`min(1, c * sizes)` with the c that makes it sum to `total`, which is at most the number of positive sizes."""
    ordered = np.sort(sizes)[::-1]
    # With the k largest at 1 the others share what is left; the first k that keeps all others below 1 is right.
    rest = np.concatenate([np.cumsum(ordered[::-1])[::-1], [0.0]])
    certain = np.arange(len(ordered) + 1)
    left = total - certain
    largest = np.concatenate([ordered, [0.0]])
    fits = (left >= 0) & ((left * largest <= rest * (1.0 + 1e-12)) | (left == 0))
    first = int(np.argmax(fits))
    if rest[first] == 0.0:
        return np.asarray(sizes > 0, dtype=np.float64)
    factor = float(left[first] / rest[first])
    found: NDArray[np.float64] = np.minimum(1.0, factor * sizes)
    if first:
        found[sizes >= ordered[first - 1]] = 1.0
    return found


def draw(probabilities: ArrayLike, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw items with exactly these inclusion probabilities: systematic in random order (Madow 1949).

    Their number is the sum of the probabilities, rounded up or down by chance. Under it the variance of an estimate is
    at most about that of independent draws, so intervals for those hold.

    Args:
        probabilities: Of each item, `(N,)`, in [0, 1].
        rng: Decides order and start.

    Returns:
        Places of the drawn items in ascending order, each at most once.

    Raises:
        ValueError: A probability lies outside [0, 1].
    """
    chances = finite_vector(probabilities, "probabilities")
    if ((chances < 0) | (chances > 1)).any():
        raise ValueError("probabilities must lie in [0, 1]")
    # Those of probability 1 are taken as they are: in a running sum rounding could lose one.
    certain = np.flatnonzero(chances == 1.0)
    open_items = np.flatnonzero(chances < 1.0)
    order = rng.permutation(open_items)
    ticks = np.floor(np.cumsum(chances[order]) + rng.random())
    taken = order[np.diff(ticks, prepend=0.0) >= 1]
    return np.sort(np.concatenate([certain, taken])).astype(np.int64)
