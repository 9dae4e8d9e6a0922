"""Checks of arrays that every statistic shares: one dimension, equal lengths, finite values, weights not negative."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def finite_vector(values: ArrayLike, name: str, *, length: int | None = None) -> NDArray[np.float64]:
    """`values` as float64 `(n,)`.

    Raises:
        ValueError: It has another number of dimensions, another length than `length`, or a value that is not finite.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or (length is not None and len(array) != length):
        wanted = "(n,)" if length is None else f"({length},)"
        raise ValueError(f"{name} must have shape {wanted}, got {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got {int((~np.isfinite(array)).sum())} values that are not")
    return array


def weights_or_ones(weights: ArrayLike | None, length: int) -> NDArray[np.float64]:
    """`weights` as float64 `(length,)`, ones for None.

    Raises:
        ValueError: The shape differs, or a weight is negative or not finite.
    """
    if weights is None:
        return np.ones(length, dtype=np.float64)
    array = finite_vector(weights, "weights", length=length)
    if (array < 0).any():
        raise ValueError("weights must not be negative")
    return array


def binary_vector(values: ArrayLike, name: str, *, length: int) -> NDArray[np.bool_]:
    """`values` as booleans `(length,)`.

    Raises:
        ValueError: The shape differs, or a value is neither 0 nor 1.
    """
    array = np.asarray(values)
    if array.shape != (length,):
        raise ValueError(f"{name} must have shape ({length},), got {array.shape}")
    if not np.isin(array, (0, 1)).all():
        raise ValueError(f"{name} must be 0 or 1")
    return array.astype(np.bool_)
