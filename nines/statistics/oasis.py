"""OASIS: adaptive importance sampling of labels by strata of the score (Marchant and Rubinstein 2017)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nines.errors import ConfigError
from nines.statistics.checks import finite_vector, weights_or_ones
from nines.statistics.estimate import Estimate, NoEstimateError
from nines.statistics.gamma_interval import gamma_interval


def stratum_rates(
    prior: ArrayLike, events: ArrayLike, labelled: ArrayLike, *, strength: float = 2.0
) -> NDArray[np.float64]:
    """Posterior mean failure rate of each stratum, `(strata,)`: beta prior of mean `prior` worth `strength` labels.

    Marchant and Rubinstein 2017, section 4.2, where the prior comes from the scores.

    Args:
        prior: Failure rate that the scores promise for each stratum, `(strata,)`, in [0, 1].
        events: Failures among its labelled items, `(strata,)`.
        labelled: Number of its labelled items, `(strata,)`.
        strength: How many labels the prior is worth, positive.

    Raises:
        ValueError: Shapes differ, values are out of range.
    """
    mean = finite_vector(prior, "prior")
    k, n = (weights_or_ones(part, len(mean)) for part in (events, labelled))
    if ((mean < 0) | (mean > 1)).any() or (k > n).any() or not strength > 0:
        raise ValueError("priors must lie in [0, 1], events in [0, labelled], and strength must be positive")
    return np.asarray((strength * mean + k) / (strength + n), dtype=np.float64)


def draw_distribution(
    shares: NDArray[np.float64], rates: NDArray[np.float64], *, epsilon: float
) -> NDArray[np.float64]:
    """Chance of each stratum at the next draw: `share * sqrt(rate)`, mixed with `epsilon` of the shares themselves.

    The first part has the smallest variance of a rate (their eq. 5 for the F-measure, which for a rate becomes this);
    the second keeps every weight below `1 / epsilon`, so the estimate converges whatever the rates are (their eq. 7).
    """
    best = shares * np.sqrt(rates)
    best = best / best.sum() if best.sum() > 0 else shares
    return np.asarray(epsilon * shares + (1.0 - epsilon) * best, dtype=np.float64)


@dataclasses.dataclass(frozen=True)
class OasisResult:
    """What an adaptive run found.

    Attributes:
        estimate: The failure rate of the pool's source with its interval; its items are draws.
        items: Item of each draw, `(draws,)`; the same one may come again and then costs no label.
        probabilities: Chance of that item at that draw, `(draws,)`.
        events: Its label, `(draws,)`.
        labels: How many different items were labelled.
    """

    estimate: Estimate
    items: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    events: NDArray[np.bool_]
    labels: int


def oasis(
    strata: ArrayLike,
    prior: ArrayLike,
    label: Callable[[int], bool],
    *,
    labels: int,
    seed: int,
    epsilon: float = 0.3,
    strength: float = 2.0,
    confidence: float = 0.95,
) -> OasisResult:
    """Draw items one by one with replacement, by what the labels so far say of their strata, until labels are spent.

    The estimate is the mean of `event * share / probability` over draws, each with the probabilities that held at its
    time: unbiased draw by draw. The interval is `gamma_interval` with the heaviest weight that any draw could have,
    `1 / epsilon` of a draw.

    Args:
        strata: Stratum of each item of the pool, `(N,)`, numbered from 0 without gaps.
        prior: Failure rate that the scores promise for each stratum, `(strata,)`.
        label: Asks for the label of one item.
        labels: Draws end when so many different items are labelled, or at `20 * labels` draws.
        seed: Of all draws.
        epsilon: Share of draws that ignore the rates, in (0, 1].
        strength: How many labels the prior is worth.
        confidence: Nominal coverage in (0, 1).

    Raises:
        ConfigError: `labels` or `epsilon` is out of range.
        NoEstimateError: The pool is empty.
    """
    place = np.asarray(strata, dtype=np.int64)
    mean = finite_vector(prior, "prior")
    if not len(place):
        raise NoEstimateError("the pool is empty")
    if not 1 <= labels <= len(place) or not 0.0 < epsilon <= 1.0:
        raise ConfigError(f"labels must lie in [1, {len(place)}] and epsilon in (0, 1], got {labels} and {epsilon}")
    sizes = np.bincount(place, minlength=len(mean))
    if len(sizes) != len(mean) or (sizes == 0).any():
        raise ValueError(f"strata must be numbered from 0 to {len(mean) - 1} without gaps")
    members = np.split(np.argsort(place, kind="stable"), np.cumsum(sizes)[:-1])
    shares = sizes / sizes.sum()
    rng = np.random.default_rng(seed)
    known: dict[int, bool] = {}
    events, seen = np.zeros(len(mean)), np.zeros(len(mean))
    drawn: list[tuple[int, float, bool]] = []
    while len(known) < labels and len(drawn) < 20 * labels:
        chances = draw_distribution(shares, stratum_rates(mean, events, seen, strength=strength), epsilon=epsilon)
        stratum = min(int(np.searchsorted(np.cumsum(chances), rng.random(), side="right")), len(chances) - 1)
        item = int(members[stratum][rng.integers(sizes[stratum])])
        if item not in known:
            known[item] = bool(label(item))
            events[stratum] += known[item]
            seen[stratum] += 1
        drawn.append((item, float(chances[stratum] / sizes[stratum]), known[item]))
    items, probabilities, found = (np.array(column) for column in zip(*drawn, strict=True))
    weights = 1.0 / (len(place) * probabilities * len(drawn))
    total, variance = float(weights[found].sum()), float(np.square(weights[found]).sum())
    heaviest = 1.0 / (epsilon * len(drawn))
    lower, upper = gamma_interval(total, variance, next_weight=heaviest, confidence=confidence)
    estimate = Estimate(
        estimate=total,
        lower=min(float(lower), 1.0),
        upper=min(float(upper), 1.0),
        confidence=confidence,
        method="OASIS, gamma interval",
        items=len(drawn),
        effective_items=total * max(1.0 - total, 0.0) / variance if variance > 0 else 1.0 / heaviest,
    )
    return OasisResult(estimate, items.astype(np.int64), probabilities, found.astype(bool), len(known))
