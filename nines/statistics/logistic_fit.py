"""Logistic regression with a few columns, soft targets, weights, and slopes that must not be negative."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special

_STEPS = 100
_HALVINGS = 40


def fit_logistic(
    features: NDArray[np.float64],
    targets: NDArray[np.float64],
    *,
    weights: NDArray[np.float64],
    nonnegative: int = 0,
) -> NDArray[np.float64]:
    """The coefficients with the least weighted log loss, by projected Newton steps (Bertsekas 1982).

    Args:
        features: One column for each coefficient, `(n, k)`.
        targets: Wanted probability of each row, strictly inside (0, 1) for a finite optimum, `(n,)`.
        weights: What each row stands for, `(n,)`, some above 0.
        nonnegative: The first so many coefficients must be at least 0.

    Returns:
        Coefficients of the log odds, `(k,)`.
    """
    masses = weights / weights.sum()
    bound = np.arange(features.shape[1]) < nonnegative
    found = np.where(bound, 1.0, 0.0)
    loss = _loss(features @ found, targets, masses)
    for _ in range(_STEPS):
        predicted = special.expit(features @ found)
        gradient = features.T @ (masses * (predicted - targets))
        curvature = features.T @ (features * (masses * predicted * (1.0 - predicted))[:, None])
        # A coefficient that lies at 0 and would fall further is held there.
        free = ~(bound & (found <= 0.0) & (gradient > 0.0))
        ridge = 1e-12 * max(float(np.trace(curvature)), 1e-12)
        inner = curvature[np.ix_(free, free)] + ridge * np.eye(int(free.sum()))
        step = np.zeros_like(found)
        step[free] = -np.linalg.solve(inner, gradient[free])
        size, moved, better = 1.0, found, loss
        for _ in range(_HALVINGS):
            moved = np.where(bound, np.maximum(found + size * step, 0.0), found + size * step)
            better = _loss(features @ moved, targets, masses)
            if better <= loss:
                break
            size /= 2.0
        else:
            return found
        settled = loss - better <= 1e-15 * abs(loss) and np.abs(moved - found).max() <= 1e-9
        found, loss = moved, better
        if settled:
            return found
    return found


def _loss(log_odds: NDArray[np.float64], targets: NDArray[np.float64], masses: NDArray[np.float64]) -> float:
    """Mean of `log(1 + exp(z)) - target z`, the log loss of log odds z."""
    return float(masses @ (np.logaddexp(0.0, log_odds) - targets * log_odds))
