"""Confidence intervals of a proportion: exact for independent items, and for weighted items that come in clusters."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from nines.statistics.checks import binary_vector, weights_or_ones


def clopper_pearson(events: float, items: float, *, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of a proportion after `events` of `items` (Clopper and Pearson 1934), by quantiles of the beta.

    Both counts may be real numbers, as an effective number of items is (Korn and Graubard 1998). No items at all
    say nothing: (0, 1).

    Args:
        events: Number of events in [0, items].
        items: Number of items, at least 0.
        confidence: Wanted coverage in (0, 1); half of the rest lies on each side.

    Raises:
        ValueError: `events` lies outside [0, items], or `confidence` outside (0, 1).
    """
    if not 0.0 <= events <= items:
        raise ValueError(f"events must lie in [0, items], got {events} of {items}")
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence must lie in (0, 1), got {confidence}")
    tail = (1.0 - confidence) / 2.0
    lower = float(special.betaincinv(events, items - events + 1.0, tail)) if events > 0 else 0.0
    upper = float(special.betaincinv(events + 1.0, items - events, 1.0 - tail)) if events < items else 1.0
    return lower, upper


def kish_effective_size(weights: ArrayLike) -> float:
    """Kish's effective number of items, `sum(w)**2 / sum(w**2)` (Kish 1965): 0 for no weight, n for equal weights."""
    masses = np.asarray(weights, dtype=np.float64)
    total = float(masses.sum())
    if total == 0.0:
        return 0.0
    return float(1.0 / np.square(masses / total).sum())


@dataclasses.dataclass(frozen=True)
class ProportionInterval:
    """A weighted proportion with its interval.

    Attributes:
        estimate: Weighted share of events in [0, 1]; NaN when no item has a weight.
        lower: Lower end of the interval.
        upper: Upper end of the interval.
        clusters: Number of clusters among the items that have a weight.
        effective_items: How many independent, equally weighted items would carry as much information.
    """

    estimate: float
    lower: float
    upper: float
    clusters: int
    effective_items: float


def clustered_interval(
    events: ArrayLike, clusters: ArrayLike, *, weights: ArrayLike | None = None, confidence: float = 0.95
) -> ProportionInterval:
    """Interval of a weighted proportion whose items come in clusters (Korn and Graubard 1998).

    The proportion is the Hájek estimate. Its variance is that of the linearised cluster totals; dividing the variance
    of equally many independent items by it gives the effective number of items, which shrinks further by
    `(t_{n-1} / t_{clusters-1})**2` because the variance itself is an estimate (their section 2). Clopper and
    Pearson's interval is then taken with real-valued counts. Three choices of ours keep it honest where few events
    leave the variance unknown:

    - the effective number never exceeds Kish's number for the weights: an event that happened to fall on a light
      item makes the variance look small;
    - with no event, or nothing but events, the variance is zero and says nothing; then items of one cluster count
      as one, that is Kish's number of the clusters' total weights;
    - so they do with a single cluster, which has no variance between clusters.

    Unweighted items, each a cluster of its own, give exactly Clopper and Pearson's interval.

    Args:
        events: Whether each item is an event, `(n,)`.
        clusters: Cluster of each item, `(n,)`, any comparable values.
        weights: What each item stands for, `(n,)`, not negative; None counts each once.
        confidence: Wanted coverage in (0, 1).

    Raises:
        ValueError: Shapes differ, an event is neither 0 nor 1, or a weight is negative.
    """
    labels = np.asarray(clusters)
    happened = binary_vector(events, "events", length=len(labels))
    masses = weights_or_ones(weights, len(labels))
    counted = masses > 0
    happened, masses = happened[counted], masses[counted]
    if len(masses) == 0:
        return ProportionInterval(estimate=float("nan"), lower=0.0, upper=1.0, clusters=0, effective_items=0.0)
    _, group = np.unique(labels[counted], return_inverse=True)
    none_or_all = not happened.any() or bool(happened.all())
    # The exact ends: rounding in a sum of weights must not turn "every item" into a hair less than one.
    estimate = float(happened.all()) if none_or_all else float(masses[happened].sum() / masses.sum())
    masses = masses / masses.sum()
    cluster_masses = np.asarray(np.bincount(group, weights=masses), dtype=np.float64)
    if none_or_all or len(cluster_masses) == 1:
        effective = kish_effective_size(cluster_masses)
    else:
        residuals = np.asarray(np.bincount(group, weights=masses * (happened - estimate)), dtype=np.float64)
        effective = _effective_items(estimate, residuals, masses, confidence=confidence)
    lower, upper = clopper_pearson(estimate * effective, effective, confidence=confidence)
    return ProportionInterval(
        estimate=estimate, lower=lower, upper=upper, clusters=len(cluster_masses), effective_items=effective
    )


def _effective_items(
    estimate: float, residuals: NDArray[np.float64], masses: NDArray[np.float64], *, confidence: float
) -> float:
    """Effective number of items behind `estimate`, from residual totals `(clusters,)` and weights that sum to one."""
    count, cluster_count = len(masses), len(residuals)
    variance = cluster_count / (cluster_count - 1) * float(np.square(residuals).sum())
    ceiling = kish_effective_size(masses)
    independent = estimate * (1.0 - estimate) / (count - 1)
    tail = (1.0 - confidence) / 2.0
    shrinkage = float(special.stdtrit(count - 1, tail) / special.stdtrit(cluster_count - 1, tail)) ** 2
    if variance * ceiling <= independent * count:
        return ceiling * shrinkage
    return count * independent / variance * shrinkage
