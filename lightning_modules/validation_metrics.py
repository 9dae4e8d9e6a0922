"""Ranking and calibration metrics over all rows with a certain label, as torchmetrics computes them."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torchmetrics.functional.classification import (
    binary_auroc,
    binary_average_precision,
    binary_calibration_error,
)

PARTIAL_AUC_MAX_FPR = 0.1
SMALLEST_PROBABILITY = 1e-12
METRICS = ("partial_auc", "auroc", "average_precision", "calibration_error", "log_loss")


def classification_metrics(scores: NDArray[np.float64], labels: NDArray[np.int8]) -> dict[str, float]:
    """What a sweep may optimise, over the rows labelled yes or no; all sources count alike, row by row.

    Args:
        scores: P(injurious), shape (rows,), in [0, 1].
        labels: 1 injurious, 0 safe, -1 unsure, shape (rows,). Unsure rows are left out.

    Returns:
        `partial_auc` (up to a false positive rate of 0.1, standardised to [0.5, 1] as by McClish 1989), `auroc`,
        `average_precision`, `calibration_error` (15 bins, L1) and `log_loss` in nats. NaN where a class is missing.
    """
    certain = labels >= 0
    positive, probability = labels[certain] == 1, scores[certain]
    if positive.all() or not positive.any():
        return dict.fromkeys(METRICS, math.nan)
    # Ranks instead of probabilities: torchmetrics works in float32, where confident scores would tie.
    ranks = torch.from_numpy(_ranks(probability))
    target = torch.from_numpy(positive.astype(np.int64))
    clipped = np.clip(probability, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
    return {
        "partial_auc": float(binary_auroc(ranks, target, max_fpr=PARTIAL_AUC_MAX_FPR)),
        "auroc": float(binary_auroc(ranks, target)),
        "average_precision": float(binary_average_precision(ranks, target)),
        "calibration_error": float(binary_calibration_error(torch.from_numpy(probability).float(), target)),
        "log_loss": float(-np.where(positive, np.log(clipped), np.log1p(-clipped)).mean()),
    }


def _ranks(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Dense ranks scaled into [0, 1]; equal scores get equal ranks."""
    values, inverse = np.unique(scores, return_inverse=True)
    return inverse / max(1, len(values) - 1)
