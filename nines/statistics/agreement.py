"""How far judges agree beyond chance: Cohen's kappa of two, Krippendorff's alpha of any number with gaps."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from nines.statistics.estimate import Estimate, NoEstimateError

Level = Literal["nominal", "ordinal", "interval"]
Weighting = Literal["none", "linear", "quadratic"]
RESAMPLES = 2000
MANY_KINDS = 2000
FEWEST_CLUSTERS = 10

Statistic = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""From tables of cells, `(resamples, cells)`, to a figure of each."""


def cohen_kappa(
    first: ArrayLike,
    second: ArrayLike,
    *,
    weighting: Weighting = "none",
    clusters: ArrayLike | None = None,
    confidence: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """Cohen's kappa of two judges on the same items (Cohen 1960; weighted: Cohen 1968).

    `1 - observed disagreement / disagreement by chance`, by chance meaning each judge's own shares of answers.
    Disagreement of answers number i and j in the order of their values is 0 or 1, `|i - j|`, or `(i - j)²`. The
    interval is a bootstrap over clusters (percentiles; Efron and Tibshirani 1993, section 13.3), or the jackknife's
    normal one (section 11) where there are thousands. It needs at least ten clusters, and is too short below some 50.

    Args:
        first: Answer of the first judge, numbers or names that sort, `(n,)`.
        second: Answer of the second, `(n,)`.
        weighting: "none", "linear" or "quadratic".
        clusters: Prompt of each item, `(n,)`; None: each its own.
        confidence: Nominal coverage in (0, 1).
        seed: Of the bootstrap.

    Raises:
        NoEstimateError: Too few clusters, or both judges always gave one and the same answer.
        ValueError: Lengths differ, or the weighting is unknown.
    """
    one, other = np.asarray(first), np.asarray(second)
    if one.ndim != 1 or one.shape != other.shape:
        raise ValueError(f"two judges need answers to the same items, got {one.shape} and {other.shape}")
    if weighting not in get_args(Weighting):
        raise ValueError(f"weighting must be one of {', '.join(get_args(Weighting))}, got {weighting!r}")
    answers, codes = np.unique(np.concatenate([one, other]), return_inverse=True)
    size = len(answers)
    cells = codes[: len(one)] * size + codes[len(one) :]
    distance = np.abs(np.subtract.outer(np.arange(size), np.arange(size))).astype(np.float64)
    penalty = {"none": np.sign(distance), "linear": distance, "quadratic": np.square(distance)}[weighting]

    def kappas(tables: NDArray[np.float64]) -> NDArray[np.float64]:
        joint = tables.reshape(-1, size, size) / tables.sum(axis=-1)[:, None, None]
        expected = np.einsum("ri,rj,ij->r", joint.sum(axis=2), joint.sum(axis=1), penalty)
        observed = np.einsum("rij,ij->r", joint, penalty)
        ratio = np.divide(observed, expected, out=np.full(len(joint), np.nan), where=expected > 0)
        return np.asarray(1 - ratio)

    counts = _by_cluster(cells, np.ones(len(cells)), size * size, clusters)
    return _bootstrapped(counts, kappas, method=f"Cohen's kappa ({weighting})", confidence=confidence, seed=seed)


def krippendorff_alpha(
    ratings: ArrayLike,
    *,
    level: Level = "nominal",
    clusters: ArrayLike | None = None,
    confidence: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """Krippendorff's alpha of any number of judges who need not have judged all items (Krippendorff 2011).

    `1 - observed / expected disagreement` over the pairs of answers to one item, each item with m answers weighing its
    pairs by `1 / (m - 1)`; items with one answer take no part. Squared differences of answers are 0 or 1 (nominal), of
    the cumulated numbers of answers between them (ordinal), or of the values (interval). The interval is a bootstrap
    over clusters, as for `cohen_kappa`. It must not be used to select judges by the data that it is computed from.

    Args:
        ratings: Numbers, NaN where a judge did not answer, `(items, judges)`. For pairs: 1, 0 (tie), -1, ordinal.
        level: "nominal", "ordinal" or "interval".
        clusters: Prompt of each item, `(items,)`; None: each its own.
        confidence: Nominal coverage in (0, 1).
        seed: Of the bootstrap.

    Raises:
        NoEstimateError: No item has two answers, all answers are alike, or too few clusters have two answers.
        ValueError: Shapes do not fit, or the level is unknown.
    """
    values = np.asarray(ratings, dtype=np.float64)
    if values.ndim != 2:
        raise ValueError(f"ratings must have shape (items, judges), got {values.shape}")
    if level not in get_args(Level):
        raise ValueError(f"level must be one of {', '.join(get_args(Level))}, got {level!r}")
    there = ~np.isnan(values)
    paired = there.sum(axis=1) >= 2
    if not paired.any():
        raise NoEstimateError("no item has answers of two judges, so nothing is known of their agreement")
    labels = np.arange(len(values)) if clusters is None else np.asarray(clusters)
    values, there, labels = values[paired], there[paired], labels[paired]
    answers, codes = np.unique(values[there], return_inverse=True)
    size = len(answers)
    # Number of each answer to each item; of them follow the ordered pairs of one item.
    tallies = np.zeros((len(values), size))
    np.add.at(tallies, (np.nonzero(there)[0], codes), 1.0)
    pairs = tallies[:, :, None] * tallies[:, None, :] - np.eye(size) * tallies[:, :, None]
    pairs /= (tallies.sum(axis=1) - 1)[:, None, None]
    groups = np.unique(labels, return_inverse=True)[1]
    counts = np.zeros((groups.max() + 1, size * size))
    np.add.at(counts, groups, pairs.reshape(len(values), -1))

    def alphas(tables: NDArray[np.float64]) -> NDArray[np.float64]:
        coincidences = tables.reshape(-1, size, size)
        totals = coincidences.sum(axis=2)
        squared = _squared_differences(answers, totals, level)
        count = totals.sum(axis=1)
        observed = (coincidences * squared).sum(axis=(1, 2)) / count
        expected = np.einsum("ri,rj,rij->r", totals, totals, squared) / (count * (count - 1))
        ratio = np.divide(observed, expected, out=np.full(len(count), np.nan), where=expected > 0)
        return np.asarray(1 - ratio)

    return _bootstrapped(counts, alphas, method=f"Krippendorff's alpha ({level})", confidence=confidence, seed=seed)


def _squared_differences(
    answers: NDArray[np.float64], totals: NDArray[np.float64], level: Level
) -> NDArray[np.float64]:
    """Of each two answers, `(resamples or 1, answers, answers)`."""
    if level == "nominal":
        return 1 - np.eye(len(answers))[None]
    if level == "interval":
        return np.square(np.subtract.outer(answers, answers))[None]
    # Krippendorff 2011: all answers from the one to the other, of the two ends only half.
    middle = np.cumsum(totals, axis=1) - totals / 2
    return np.asarray(np.square(middle[:, :, None] - middle[:, None, :]))


def _by_cluster(
    cells: NDArray[np.int64], weights: NDArray[np.float64], size: int, clusters: ArrayLike | None
) -> NDArray[np.float64]:
    labels = np.arange(len(cells)) if clusters is None else np.asarray(clusters)
    if labels.shape != cells.shape:
        raise ValueError(f"clusters must have shape {cells.shape}, got {labels.shape}")
    if len(cells) == 0:
        raise NoEstimateError("there is no item that both judges answered")
    groups = np.unique(labels, return_inverse=True)[1]
    flat = np.bincount(groups * size + cells, weights=weights, minlength=(int(groups.max()) + 1) * size)
    return np.asarray(flat.reshape(-1, size))


def _bootstrapped(
    counts: NDArray[np.float64], statistic: Statistic, *, method: str, confidence: float, seed: int
) -> Estimate:
    """Estimate over all clusters and its interval; `counts` has a row of cells for each cluster."""
    estimate = float(statistic(counts.sum(axis=0)[None])[0])
    if math.isnan(estimate):
        raise NoEstimateError("every answer is the same, so agreement by chance is complete")
    if len(counts) < FEWEST_CLUSTERS:
        raise NoEstimateError(f"{len(counts)} clusters are too few for an interval; {FEWEST_CLUSTERS} at least")
    rng = np.random.default_rng(seed)
    # Clusters with the same cells are alike, so it is enough to draw how often each kind occurs. Rows are told apart
    # by their product with a random vector: comparing them cell by cell takes seconds for a million.
    _, first, often = np.unique(
        (counts * rng.normal(size=counts.shape[1])).sum(axis=1), return_index=True, return_counts=True
    )
    kinds = counts[first]
    if len(kinds) <= MANY_KINDS:
        drawn = rng.multinomial(len(counts), often / len(counts), size=RESAMPLES)
        found = statistic(drawn @ kinds)
        tail = (1 - confidence) / 2
        # A resample without disagreement by chance says nothing against full agreement.
        lower, upper = np.quantile(np.where(np.isnan(found), 1.0, found), [tail, 1 - tail])
    else:
        without = statistic(counts.sum(axis=0) - kinds)
        mean = float(np.average(without, weights=often))
        variance = (len(counts) - 1) / len(counts) * float((often * np.square(without - mean)).sum())
        half = float(special.ndtri((1 + confidence) / 2)) * math.sqrt(variance)
        lower, upper = estimate - half, min(estimate + half, 1.0)
    return Estimate(
        estimate=estimate,
        lower=min(float(lower), estimate),
        upper=max(float(upper), estimate),
        confidence=confidence,
        method=f"{method}, over clusters",
        items=len(counts),
        effective_items=float(len(counts)),
    )
