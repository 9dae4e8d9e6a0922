"""Labelled rows as the statistics see them: labels, prompts, sources and weights, and the populations among them."""

from __future__ import annotations

import dataclasses
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from nines.errors import ConfigError, nearest

INJURIOUS: Final = 1
SAFE: Final = 0
UNSURE: Final = -1

NATURAL: Final = "natural"
"""Population of generated rows, weighted so that every prompt counts the same and selection is undone."""

ALL: Final = "all"
"""Population of every row, each with weight one."""

UnsureAs = Literal["dropped", "as_injurious"]
"""The two bounds of a figure under uncertain labels: leave unsure rows out, or count them as injurious."""

UNSURE_BOUNDS: Final[tuple[UnsureAs, ...]] = ("dropped", "as_injurious")


@dataclasses.dataclass(frozen=True)
class LabelledRows:
    """What is known of `n` rows besides their scores; all arrays run in the same order.

    Attributes:
        labels: 1 injurious, 0 safe, -1 unsure, `(n,)`.
        prompts: Number of each row's prompt, equal for rows of one prompt: the cluster of the intervals, `(n,)`.
        sources: Where each row came from: generated, written, plain, or any other name, `(n,)`.
        natural_weights: Hájek weight of each row on the natural distribution,
            `1 / (selection_probability * drawn)` for generated rows and 0 for all others, `(n,)`.

    Raises:
        ValueError: The arrays differ in length, a label is none of -1, 0, 1, or a weight is negative or not finite.
    """

    labels: NDArray[np.int8]
    prompts: NDArray[np.int64]
    sources: NDArray[np.str_]
    natural_weights: NDArray[np.float64]

    def __post_init__(self) -> None:
        lengths = {field.name: np.shape(getattr(self, field.name)) for field in dataclasses.fields(self)}
        if len(set(lengths.values())) != 1 or len(next(iter(lengths.values()))) != 1:
            raise ValueError(f"labelled rows need four arrays of one length, got shapes {lengths}")
        if not np.isin(self.labels, (INJURIOUS, SAFE, UNSURE)).all():
            raise ValueError(f"labels must be -1, 0 or 1, got {np.unique(self.labels).tolist()}")
        if not (np.isfinite(self.natural_weights).all() and (self.natural_weights >= 0).all()):
            raise ValueError("natural weights must be finite and not negative")

    def __len__(self) -> int:
        return len(self.labels)

    def populations(self) -> tuple[str, ...]:
        """Names of the populations in these rows: natural (if any row has a natural weight), all, then each source."""
        natural = (NATURAL,) if bool((self.natural_weights > 0).any()) else ()
        return (*natural, ALL, *(str(source) for source in np.unique(self.sources)))

    def weights_of(self, population: str) -> NDArray[np.float64]:
        """Weight of each row in `population`, 0 for rows outside it, `(n,)`.

        Raises:
            ConfigError: No row belongs to a population of that name.
        """
        known = self.populations()
        if population not in known:
            raise ConfigError(f"there is no population {population!r} in these rows: {nearest(population, known)}")
        if population == NATURAL:
            return np.asarray(self.natural_weights, dtype=np.float64)
        if population == ALL:
            return np.ones(len(self), dtype=np.float64)
        return np.asarray(self.sources == population, dtype=np.float64)
