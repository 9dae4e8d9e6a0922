"""The share of a population below each threshold of a whole curve, with the interval of each point."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from nines.statistics.checks import finite_vector, weights_or_ones
from nines.statistics.estimate import NoEstimateError
from nines.statistics.intervals import kish_effective_size


@dataclasses.dataclass(frozen=True)
class RateCurve:
    """A rate at each of k thresholds, with a band of pointwise intervals; all arrays `(k,)`.

    Attributes:
        estimate: Weighted share in [0, 1].
        lower: Lower ends.
        upper: Upper ends.
        events: How many items the share is of.
    """

    estimate: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    events: NDArray[np.int64]


def rate_below(
    scores: ArrayLike,
    prompts: ArrayLike,
    *,
    thresholds: ArrayLike,
    weights: ArrayLike | None = None,
    confidence: float = 0.95,
) -> RateCurve:
    """The weighted share of items with a score below each threshold, clustered by prompt.

    Each point is exactly `nines.statistics.intervals.clustered_interval` of `scores < threshold`, all of them in one
    pass over the sorted scores: the sum over prompts of `(M - R W)²`, where M is the prompt's weight below the
    threshold, W its whole weight and R the rate, comes from running sums of M² and M W.

    The band is pointwise: it holds at a threshold that was fixed beforehand, not at one that was picked from the curve.

    Args:
        scores: Of each item, `(n,)`.
        prompts: Prompt of each item, `(n,)`.
        thresholds: Where to evaluate, `(k,)`.
        weights: What each item stands for, `(n,)`; None counts each once.
        confidence: Wanted coverage of each interval, in (0, 1).

    Raises:
        NoEstimateError: No item has a weight.
        ValueError: Shapes differ, or a value is out of range.
    """
    values = finite_vector(scores, "scores")
    masses = weights_or_ones(weights, len(values))
    labels = np.asarray(prompts)
    if labels.shape != values.shape:
        raise ValueError(f"prompts must have shape {values.shape}, got {labels.shape}")
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence must lie in (0, 1), got {confidence}")
    counted = masses > 0
    if not counted.any():
        raise NoEstimateError("no item has a weight, so there is no rate")
    order = np.argsort(values[counted], kind="stable")
    values, masses = values[counted][order], masses[counted][order] / masses.sum()
    group = np.unique(labels[counted][order], return_inverse=True)[1]
    totals = np.asarray(np.bincount(group, weights=masses), dtype=np.float64)

    before = _weight_before(masses, group, totals)
    squares = _running((2.0 * before + masses) * masses)
    products = _running(masses * totals[group])
    below = np.searchsorted(values, finite_vector(thresholds, "thresholds"), side="left")
    rate = np.clip(_running(masses)[below], 0.0, 1.0)
    rate[below == len(values)] = 1.0
    residual = np.maximum(squares[below] - 2.0 * rate * products[below] + rate**2 * np.square(totals).sum(), 0.0)
    effective = _effective_items(rate, residual, below, masses=masses, totals=totals, confidence=confidence)
    lower, upper = _clopper_pearson(rate, effective, confidence=confidence)
    return RateCurve(estimate=rate, lower=lower, upper=upper, events=below.astype(np.int64))


def _running(steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums of the first 0, 1, … n steps, `(n + 1,)`."""
    return np.concatenate([[0.0], np.cumsum(steps)])


def _weight_before(
    masses: NDArray[np.float64], group: NDArray[np.int64], totals: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Weight of the items of the same prompt that come earlier, `(n,)`."""
    by_prompt = np.argsort(group, kind="stable")
    running = np.cumsum(masses[by_prompt]) - masses[by_prompt]
    start = np.concatenate([[0.0], np.cumsum(totals)[:-1]])
    before = np.empty_like(masses)
    before[by_prompt] = np.maximum(running - start[group[by_prompt]], 0.0)
    return before


def _effective_items(
    rate: NDArray[np.float64],
    residual: NDArray[np.float64],
    below: NDArray[np.int64],
    *,
    masses: NDArray[np.float64],
    totals: NDArray[np.float64],
    confidence: float,
) -> NDArray[np.float64]:
    """Effective number of items behind each rate, as in `nines.statistics.intervals`."""
    count, prompts = len(masses), len(totals)
    by_prompt = kish_effective_size(totals)
    if prompts == 1:
        return np.full(len(rate), by_prompt)
    tail = (1.0 - confidence) / 2.0
    shrinkage = float(stats.t.ppf(tail, count - 1) / stats.t.ppf(tail, prompts - 1)) ** 2
    ceiling = kish_effective_size(masses)
    variance = prompts / (prompts - 1) * residual
    independent = rate * (1.0 - rate) / (count - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        by_variance = np.where(variance * ceiling <= independent * count, ceiling, count * independent / variance)
    return np.where((below == 0) | (below == count), by_prompt, by_variance * shrinkage)


def _clopper_pearson(
    rate: NDArray[np.float64], items: NDArray[np.float64], *, confidence: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """`nines.statistics.intervals.clopper_pearson` of arrays."""
    tail, events = (1.0 - confidence) / 2.0, rate * items
    with np.errstate(invalid="ignore"):
        lower = np.where(rate > 0, stats.beta.ppf(tail, events, items - events + 1.0), 0.0)
        upper = np.where(rate < 1, stats.beta.ppf(1.0 - tail, events + 1.0, items - events), 1.0)
    return lower, upper
