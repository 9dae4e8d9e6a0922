"""Who said what of which item: the readings of several labellers, as flat arrays."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nines.statistics.estimate import NoEstimateError

NO_READING = -1
"""Stands in a table where a labeller did not read an item."""

UNSURE_RESPONSE = 2
"""The response of a reader who cannot tell, beside 0 (safe) and 1 (injurious): an answer, but not a true class."""


@dataclasses.dataclass(frozen=True)
class Readings:
    """One entry for each reading, in the order in which they were made; an item need not be read by everybody.

    Attributes:
        items: Number of the item, in [0, item_count), `(readings,)`.
        labellers: Number of the labeller, in [0, labeller_count), `(readings,)`.
        responses: What was answered, in [0, response_count), `(readings,)`. Responses from `class_count` on, such as
            unsure, are answers that are no true class.
        item_count: Items, those without a reading included.
        labeller_count: Labellers.
        class_count: True classes; 2 for safe and injurious.
        response_count: Possible answers, at least `class_count`.

    Raises:
        ValueError: The arrays differ in length, or a number is outside its range.
    """

    items: NDArray[np.int64]
    labellers: NDArray[np.int64]
    responses: NDArray[np.int64]
    item_count: int
    labeller_count: int
    class_count: int = 2
    response_count: int = 2

    def __post_init__(self) -> None:
        if not len(self.items) == len(self.labellers) == len(self.responses):
            raise ValueError("items, labellers and responses need one length")
        if not 2 <= self.class_count <= self.response_count:
            raise ValueError(f"2 <= class_count <= response_count, got {self.class_count} and {self.response_count}")
        limits = {"items": self.item_count, "labellers": self.labeller_count, "responses": self.response_count}
        for name, limit in limits.items():
            values = getattr(self, name)
            if len(values) and not (values.min() >= 0 and values.max() < limit):
                raise ValueError(f"{name} must lie in [0, {limit}), got {values.min()} to {values.max()}")

    def __len__(self) -> int:
        return len(self.items)

    @classmethod
    def of_table(cls, table: ArrayLike, *, class_count: int = 2, response_count: int | None = None) -> Readings:
        """Readings from a table `(items, labellers)` with -1 where there is none, item by item.

        Args:
            table: Responses.
            class_count: True classes.
            response_count: Possible answers; by default as many as occur, at least `class_count`.
        """
        values = np.asarray(table, dtype=np.int64)
        if values.ndim != 2:
            raise ValueError(f"a table has shape (items, labellers), got {values.shape}")
        items, labellers = np.nonzero(values != NO_READING)
        return cls(
            items=items,
            labellers=labellers,
            responses=values[items, labellers],
            item_count=values.shape[0],
            labeller_count=values.shape[1],
            class_count=class_count,
            response_count=response_count or max(class_count, int(values.max(initial=0)) + 1),
        )

    def table(self) -> NDArray[np.int64]:
        """Responses `(items, labellers)`, -1 where there is none.

        Raises:
            NoEstimateError: A labeller read one item twice, which has no place in a table.
        """
        place = self.items * self.labeller_count + self.labellers
        if len(np.unique(place)) < len(place):
            raise NoEstimateError("a labeller read an item twice; keep one reading of each item for each labeller")
        table = np.full(self.item_count * self.labeller_count, NO_READING, dtype=np.int64)
        table[place] = self.responses
        return table.reshape(self.item_count, self.labeller_count)

    def of_labeller(self, labeller: int) -> NDArray[np.int64]:
        """Places of the labeller's readings, in order."""
        return np.flatnonzero(self.labellers == labeller)

    def without(self, labellers: ArrayLike) -> Readings:
        """The readings of all but the given labellers; numbers stay as they are."""
        kept = ~np.isin(self.labellers, labellers)
        return dataclasses.replace(
            self, items=self.items[kept], labellers=self.labellers[kept], responses=self.responses[kept]
        )
