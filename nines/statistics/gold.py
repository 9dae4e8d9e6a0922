"""Gold items, whose true class is known: how accurate each labeller is, and whose readings to leave out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nines.statistics.estimate import Estimate
from nines.statistics.intervals import clopper_pearson
from nines.statistics.readings import Readings

NOT_GOLD = -1
METHOD = "share right, Clopper-Pearson"


@dataclasses.dataclass(frozen=True)
class GoldResult:
    """One labeller on the gold items. None where the labeller read no gold item of that kind.

    Attributes:
        labeller: Number of the labeller.
        accuracy: Share of readings of gold items that are right; an unsure answer is not right.
        by_class: The same for each true class: of two classes, the second is the sensitivity to injury.
    """

    labeller: int
    accuracy: Estimate | None
    by_class: tuple[Estimate | None, ...]

    def verdict(self, required: float) -> str:
        """`below` when the whole interval lies below `required`, `above` when all of it reaches it, else `open`.

        Only `below` is a reason to leave a labeller out: `open` asks for more gold items, no gold item for a first.
        """
        if self.accuracy is None:
            return "open"
        if self.accuracy.upper < required:
            return "below"
        return "above" if self.accuracy.lower >= required else "open"


def gold_results(
    readings: Readings, gold: ArrayLike, *, confidence: float = 0.95, together: bool = True
) -> tuple[GoldResult, ...]:
    """Accuracy of each labeller on gold items, with the exact interval of Clopper and Pearson (1934).

    Assumes that gold items look like any other item to the labeller, and that readings of different items are
    independent. Several readings of one item by one labeller count apart.

    Args:
        readings: Of gold and other items.
        gold: True class of each item, -1 where it is not known, `(items,)`.
        confidence: Of each interval, or with `together` of all labellers' accuracies at once.
        together: Widen the intervals (Bonferroni) so that with `confidence` all of them hold: among many labellers
            some good one looks bad by chance.

    Raises:
        ValueError: `gold` has another length, or a class that does not exist.
    """
    truth = np.asarray(gold, dtype=np.int64)
    if truth.shape != (readings.item_count,):
        raise ValueError(f"gold must have shape ({readings.item_count},), got {truth.shape}")
    if len(truth) and not (truth.min() >= NOT_GOLD and truth.max() < readings.class_count):
        raise ValueError(f"gold must be -1 or a class below {readings.class_count}")
    level = 1 - (1 - confidence) / readings.labeller_count if together else confidence
    true_class = truth[readings.items]
    right = readings.responses == true_class

    def accuracy(chosen: NDArray[np.bool_]) -> Estimate | None:
        count, events = int(chosen.sum()), int(right[chosen].sum())
        if not count:
            return None
        lower, upper = clopper_pearson(events, count, confidence=level)
        return Estimate(events / count, lower, upper, level, METHOD, count, float(count))

    results = []
    for labeller in range(readings.labeller_count):
        own = readings.labellers == labeller
        by_class = tuple(accuracy(own & (true_class == number)) for number in range(readings.class_count))
        results.append(GoldResult(labeller, accuracy(own & (true_class != NOT_GOLD)), by_class))
    return tuple(results)


def labellers_to_leave_out(results: Sequence[GoldResult], *, required: float) -> list[int]:
    """Numbers of the labellers whose accuracy on gold items is below `required` beyond chance."""
    return [result.labeller for result in results if result.verdict(required) == "below"]
