"""What several readings say together: shares of votes as soft labels, the majority, and the vote of the others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nines.statistics.readings import Readings

TIE = -1
"""The majority of an item whose votes are tied, or that nobody read: the number of an unsure label."""


def votes(readings: Readings) -> NDArray[np.float64]:
    """Votes of each item for each class, `(items, classes)`; a response that is no class, such as unsure, is split."""
    classes = readings.class_count
    counted = np.zeros((readings.item_count, classes))
    for number in range(classes):
        weights = np.where(readings.responses == number, 1.0, 0.0)
        weights[readings.responses >= classes] = 1.0 / classes
        counted[:, number] = np.bincount(readings.items, weights=weights, minlength=readings.item_count)
    return counted


def soft_labels(readings: Readings) -> NDArray[np.float64]:
    """Share of the votes for each class, `(items, classes)`; NaN where nobody read the item."""
    counted = votes(readings)
    total = counted.sum(axis=1, keepdims=True)
    shares: NDArray[np.float64] = np.divide(counted, total, out=np.full_like(counted, np.nan), where=total > 0)
    return shares


def majority(readings: Readings) -> NDArray[np.int64]:
    """The class with most votes, `(items,)`; -1 (unsure) where two have as many, or nobody read the item."""
    return _unique_largest(votes(readings))


def majority_of_others(readings: Readings) -> NDArray[np.int64]:
    """For each reading, the majority of the *other* readings of its item, `(readings,)`; -1 for a tie or no other.

    A labeller's agreement with a majority that holds its own vote is too high by construction; with this it is not.
    """
    classes = readings.class_count
    own = np.full((len(readings), classes), 1.0 / classes)
    certain = readings.responses < classes
    own[certain] = np.eye(classes)[readings.responses[certain]]
    return _unique_largest(votes(readings)[readings.items] - own)


def _unique_largest(counted: NDArray[np.float64]) -> NDArray[np.int64]:
    # Halves and thirds of votes carry rounding, which must not break a tie.
    largest = counted.max(axis=1, keepdims=True)
    first = np.isclose(counted, largest, rtol=0.0, atol=1e-9)
    return np.where(first.sum(axis=1) == 1, counted.argmax(axis=1), TIE).astype(np.int64)
