"""Rates from a sample that was drawn stratum by stratum, each stratum with its own number of labels."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from nines.statistics.estimate import Estimate, NoEstimateError
from nines.statistics.gamma_interval import gamma_interval
from nines.statistics.label_rounds import Of

Interval = Literal["gamma", "exact"]


def stratified(
    events: ArrayLike,
    labelled: ArrayLike,
    sizes: ArrayLike,
    *,
    interval: Interval = "gamma",
    of: Of = "source",
    confidence: float = 0.95,
) -> Estimate:
    """Share of events in a pool of strata, from simple random samples of each (Cochran 1977, section 5.3).

    `sum(W * events / labelled)` with `W = sizes / sum(sizes)`: unbiased where every stratum that has items has labels.

    Args:
        events: Events among the labelled items of each stratum, `(strata,)`.
        labelled: How many items of each were labelled, drawn without replacement, `(strata,)`.
        sizes: How many items each has, `(strata,)`.
        interval: "gamma": Fay and Feuer's, with the heaviest weight of any stratum as the event that might have been;
            at least nominal in simulations where events are rare. "exact": Clopper and Pearson's of each stratum at a
            confidence that leaves alpha / strata to each, added up: guaranteed at any rate, and wide.
        of: Rate "of" the pool or its source, see `nines.statistics.label_rounds`.
        confidence: Nominal coverage in (0, 1).

    Raises:
        NoEstimateError: A stratum with items has no label, or there is no item.
        ValueError: Shapes differ or counts are impossible.
    """
    k, n, size = _counts(events, labelled, sizes)
    estimate, lower, upper = stratified_ends(k, n, size, interval=interval, of=of, confidence=confidence)
    weights = size / size.sum() / np.maximum(n, 1.0)
    rest = 1.0 - n / np.maximum(size, 1.0) if of == "pool" else 1.0
    variance = float((weights**2 * k * rest).sum())
    rate = float(estimate)
    effective = rate * max(1.0 - rate, 0.0) / variance if variance > 0 else 1.0 / float(weights.max())
    return Estimate(
        estimate=rate,
        lower=float(lower),
        upper=float(upper),
        confidence=confidence,
        method=f"stratified, {'gamma' if interval == 'gamma' else 'exact'} interval",
        items=int(n.sum()),
        effective_items=effective,
    )


def stratified_ends(
    events: ArrayLike,
    labelled: ArrayLike,
    sizes: ArrayLike,
    *,
    interval: Interval = "gamma",
    of: Of = "source",
    confidence: float = 0.95,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Estimates and both ends for many samples at once: `(..., strata)` to `(...,)`; see `stratified`."""
    k, n, size = _counts(events, labelled, sizes)
    shares = size / size.sum(axis=-1, keepdims=True)
    there = size > 0
    weights = np.where(there, shares / np.maximum(n, 1.0), 0.0)
    if interval == "exact":
        tail = (1.0 - confidence) / 2.0 / max(k.shape[-1], 1)
        safe_k, safe_n = np.where(there, k, 0.0), np.where(there, n, 1.0)
        ends = [
            np.where(safe_k > 0, stats.beta.ppf(tail, safe_k, safe_n - safe_k + 1), 0.0),
            np.where(safe_k < safe_n, stats.beta.isf(tail, safe_k + 1, safe_n - safe_k), 1.0),
        ]
        lower, upper = ((shares * np.nan_to_num(end)).sum(axis=-1) for end in ends)
        return (weights * k).sum(axis=-1), lower, upper
    total = (weights * k).sum(axis=-1)
    if of == "source":
        certain, variance, heaviest = np.zeros_like(total), (weights**2 * k).sum(axis=-1), weights.max(axis=-1)
    else:
        # The events that were drawn are certain; of a stratum that was labelled as a whole nothing else can come.
        certain = (k / size.sum(axis=-1, keepdims=True)).sum(axis=-1)
        variance = (weights**2 * k * (1.0 - n / np.maximum(size, 1.0))).sum(axis=-1)
        heaviest = np.where(n < size, weights, 0.0).max(axis=-1)
    heaviest = np.broadcast_to(heaviest, total.shape)
    uncertain = np.where(variance > 0, np.maximum(total - certain, 0.0), 0.0)
    all_known = heaviest == 0.0
    lower, upper = gamma_interval(
        uncertain,
        np.where(uncertain > 0, variance, 0.0),
        next_weight=np.where(all_known, 1.0, heaviest),
        confidence=confidence,
    )
    return total, np.minimum(certain + lower, 1.0), np.minimum(np.where(all_known, certain, certain + upper), 1.0)


def _counts(
    events: ArrayLike, labelled: ArrayLike, sizes: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    k, n, size = (np.asarray(part, dtype=np.float64) for part in (events, labelled, sizes))
    if not k.shape[-1:] == n.shape[-1:] == size.shape[-1:]:
        raise ValueError(f"events, labelled and sizes must have one length, got {k.shape}, {n.shape}, {size.shape}")
    if not ((k >= 0).all() and (k <= n).all() and (n <= size).all()):
        raise ValueError("a stratum needs 0 <= events <= labelled <= size")
    if size.sum() <= 0:
        raise NoEstimateError("the strata hold no item")
    if (unlabelled := (n == 0) & (size > 0)).any():
        raise NoEstimateError(
            f"stratum {int(np.flatnonzero(unlabelled.reshape(-1, unlabelled.shape[-1]).any(axis=0))[0])} has items but "
            "no label: nothing is known of its rate; label some of it, or bound it by its share (with_unreachable)"
        )
    return k, n, size
