"""Figures that need no threshold: (partial) area under the ROC curve, average precision, log loss, calibration error.

All take weights, and give NaN where the rows hold no positive or no negative that the figure needs.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from nines.statistics.checks import binary_vector, finite_vector, weights_or_ones
from nines.statistics.curves import precision_recall_curve, probability_bins, roc_curve


def auroc(scores: ArrayLike, positives: ArrayLike, *, weights: ArrayLike | None = None) -> float:
    """Area under the ROC curve in [0, 1], ties counted half: the chance that a positive outscores a negative."""
    curve = roc_curve(scores, positives, weights=weights)
    return math.nan if curve is None else float(np.trapezoid(curve[1], curve[0]))


def partial_auc(
    scores: ArrayLike,
    positives: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    max_false_positive_rate: float = 0.1,
) -> float:
    """Area under the ROC curve up to a false positive rate, standardised so that chance is 0.5 and perfect is 1.

    McClish 1989, "Analyzing a portion of the ROC curve", eq. 4:
    `0.5 * (1 + (area - r**2 / 2) / (r - r**2 / 2))` for the raw area up to the rate r. Below-chance scores give less
    than 0.5. Equals scikit-learn's `roc_auc_score(..., max_fpr=r)`.

    Args:
        scores: Score of each row, `(n,)`.
        positives: Whether each row is positive, `(n,)`.
        weights: What each row stands for, `(n,)`; None counts each once.
        max_false_positive_rate: The rate r in (0, 1].

    Raises:
        ValueError: The rate lies outside (0, 1], or see `cumulative_weights`.
    """
    limit = max_false_positive_rate
    if not 0.0 < limit <= 1.0:
        raise ValueError(f"the false positive rate must lie in (0, 1], got {limit}")
    curve = roc_curve(scores, positives, weights=weights)
    if curve is None:
        return math.nan
    false_positive, true_positive = curve
    inside = false_positive <= limit
    x = np.concatenate([false_positive[inside], [limit]])
    y = np.concatenate([true_positive[inside], [np.interp(limit, false_positive, true_positive)]])
    area = float(np.trapezoid(y, x))
    chance = limit**2 / 2
    return 0.5 * (1.0 + (area - chance) / (limit - chance))


def average_precision(scores: ArrayLike, positives: ArrayLike, *, weights: ArrayLike | None = None) -> float:
    """Precision averaged over the steps of recall, `sum((R_k - R_{k-1}) * P_k)`, without interpolation, in [0, 1]."""
    curve = precision_recall_curve(scores, positives, weights=weights)
    if curve is None:
        return math.nan
    precision, recall = curve
    return float((np.diff(recall, prepend=0.0) * precision).sum())


def log_loss(probabilities: ArrayLike, positives: ArrayLike, *, weights: ArrayLike | None = None) -> float:
    """Weighted mean of `-log p(label)` in nats; probabilities are kept one float64 epsilon away from 0 and 1.

    Raises:
        ValueError: A probability lies outside [0, 1], or shapes differ.
    """
    values = finite_vector(probabilities, "probabilities")
    if ((values < 0) | (values > 1)).any():
        raise ValueError("log loss needs probabilities in [0, 1]")
    positive = binary_vector(positives, "positives", length=len(values))
    masses = weights_or_ones(weights, len(values))
    if masses.sum() == 0:
        return math.nan
    epsilon = float(np.finfo(np.float64).eps)
    clipped = np.clip(values, epsilon, 1.0 - epsilon)
    losses = -np.where(positive, np.log(clipped), np.log1p(-clipped))
    return float(np.average(losses, weights=masses))


def expected_calibration_error(
    probabilities: ArrayLike, positives: ArrayLike, *, weights: ArrayLike | None = None, bins: int = 15
) -> float:
    """Mean distance, by weight, between the predicted and the observed share of positives in bins of equal width.

    Naeini et al. 2015; for the positive class's probability (not the confidence in the predicted class).

    Raises:
        ValueError: A probability lies outside [0, 1], shapes differ, or `bins` is below 1.
    """
    values = finite_vector(probabilities, "probabilities")
    positive = binary_vector(positives, "positives", length=len(values))
    masses = weights_or_ones(weights, len(values))
    if masses.sum() == 0:
        return math.nan
    group = probability_bins(values, bins=bins)
    gaps = np.bincount(group, weights=masses * (values - positive), minlength=bins)
    return float(np.abs(gaps).sum() / masses.sum())
