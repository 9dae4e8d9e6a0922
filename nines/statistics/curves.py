"""Curves of a score against labels: receiver operating characteristic, precision and recall, calibration."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nines.statistics.checks import binary_vector, finite_vector, weights_or_ones


@dataclasses.dataclass(frozen=True)
class CumulativeWeights:
    """Weight of positives and negatives at or above each distinct score, from the highest score down.

    Attributes:
        thresholds: Distinct scores in descending order, `(k,)`.
        positives: Weight of positives with a score at or above each, `(k,)`.
        negatives: Weight of negatives with a score at or above each, `(k,)`.
    """

    thresholds: NDArray[np.float64]
    positives: NDArray[np.float64]
    negatives: NDArray[np.float64]


def cumulative_weights(
    scores: ArrayLike, positives: ArrayLike, *, weights: ArrayLike | None = None
) -> CumulativeWeights:
    """Cumulate weights over the distinct scores; rows of weight 0 leave no trace.

    Args:
        scores: Score of each row, `(n,)`, higher for more likely positive.
        positives: Whether each row is positive, `(n,)`.
        weights: What each row stands for, `(n,)`; None counts each once.

    Raises:
        ValueError: Shapes differ, a score is not finite, or a weight is negative.
    """
    values = finite_vector(scores, "scores")
    positive = binary_vector(positives, "positives", length=len(values))
    masses = weights_or_ones(weights, len(values))
    counted = masses > 0
    distinct, group = np.unique(values[counted], return_inverse=True)
    masses, positive = masses[counted], positive[counted]
    by_score = [
        np.bincount(group, weights=masses * side, minlength=len(distinct))[::-1] for side in (positive, ~positive)
    ]
    return CumulativeWeights(
        thresholds=distinct[::-1], positives=np.cumsum(by_score[0]), negatives=np.cumsum(by_score[1])
    )


def roc_curve(
    scores: ArrayLike, positives: ArrayLike, *, weights: ArrayLike | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """False and true positive rates, each `(k + 1,)`, from (0, 0) to (1, 1); None when a class is missing."""
    cumulated = cumulative_weights(scores, positives, weights=weights)
    if len(cumulated.thresholds) == 0 or cumulated.positives[-1] == 0 or cumulated.negatives[-1] == 0:
        return None
    false_positive = np.concatenate([[0.0], cumulated.negatives / cumulated.negatives[-1]])
    true_positive = np.concatenate([[0.0], cumulated.positives / cumulated.positives[-1]])
    return false_positive, true_positive


def precision_recall_curve(
    scores: ArrayLike, positives: ArrayLike, *, weights: ArrayLike | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Precision and recall at each distinct score from the highest down, each `(k,)`; None without a positive."""
    cumulated = cumulative_weights(scores, positives, weights=weights)
    if len(cumulated.thresholds) == 0 or cumulated.positives[-1] == 0:
        return None
    precision = cumulated.positives / (cumulated.positives + cumulated.negatives)
    return precision, cumulated.positives / cumulated.positives[-1]


def probability_bins(probabilities: ArrayLike, *, bins: int) -> NDArray[np.int64]:
    """Bin of each probability among `bins` of equal width on [0, 1], the last one closed, `(n,)`.

    Raises:
        ValueError: A probability lies outside [0, 1], or `bins` is below 1.
    """
    values = finite_vector(probabilities, "probabilities")
    if bins < 1:
        raise ValueError(f"bins must be at least 1, got {bins}")
    if ((values < 0) | (values > 1)).any():
        raise ValueError("calibration needs probabilities in [0, 1]")
    return np.minimum((values * bins).astype(np.int64), bins - 1)
