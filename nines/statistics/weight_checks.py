"""What unequal weights do to an estimate: whether a few carry it, and what items that no draw could reach hide."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike

from nines.statistics.checks import binary_vector, finite_vector, weights_or_ones
from nines.statistics.estimate import Estimate, NoEstimateError
from nines.statistics.intervals import kish_effective_size

LARGE_SHARE = 0.25
FEW_EVENTS = 5.0


@dataclasses.dataclass(frozen=True)
class WeightReport:
    """How evenly the weights of an estimate are spread.

    Attributes:
        items: How many items have a weight.
        effective_items: Kish's number of their weights.
        events: How many of them are events.
        effective_events: Kish's number of the events' weights: on how many equal events the estimate rests.
        largest_share: Part of the estimate that its heaviest event is, in [0, 1]; 0 without an event.
    """

    items: int
    effective_items: float
    events: int
    effective_events: float
    largest_share: float

    def warnings(self) -> list[str]:
        """What a reader of the estimate should be told, a line each; empty where nothing stands out."""
        found = []
        if self.events and self.largest_share >= LARGE_SHARE and self.effective_events < 0.7 * self.events:
            found.append(
                f"a single event carries {100 * self.largest_share:.0f} % of the estimate: {self.events} events are "
                f"worth {self.effective_events:.1f} equal ones; label more items like it before trusting the figure"
            )
        elif self.events and self.effective_events < FEW_EVENTS:
            found.append(f"the estimate rests on {self.effective_events:.1f} effective events: read the interval only")
        if self.effective_items < 0.1 * self.items:
            found.append(
                f"the weights are very unequal: {self.items} items are worth {self.effective_items:.0f} equal ones"
            )
        return found


def weight_report(weights: ArrayLike, events: ArrayLike) -> WeightReport:
    """Look at the weights of an estimate, such as shares over probabilities of the drawn items.

    Args:
        weights: What each item stands for, `(n,)`, not negative.
        events: Whether each is an event, `(n,)`.

    Raises:
        NoEstimateError: No item has a weight.
        ValueError: Shapes differ or a weight is negative.
    """
    masses = weights_or_ones(weights, len(finite_vector(weights, "weights")))
    happened = binary_vector(events, "events", length=len(masses)) & (masses > 0)
    if not masses.any():
        raise NoEstimateError("no item has a weight: no effective sample")
    carried = masses[happened]
    return WeightReport(
        items=int((masses > 0).sum()),
        effective_items=kish_effective_size(masses),
        events=int(happened.sum()),
        effective_events=kish_effective_size(carried),
        largest_share=float(carried.max() / carried.sum()) if len(carried) else 0.0,
    )


@dataclasses.dataclass(frozen=True)
class PartlyKnownRate:
    """A rate over a whole of which some items could never be drawn.

    Attributes:
        lowest: The estimate if none of them is an event.
        highest: The estimate if as many of them are as can be.
        lower: Lower end of an interval for the rate, whatever they are.
        upper: Its upper end.
        mass: Their part of the whole.
        confidence: Nominal coverage of the interval.
    """

    lowest: float
    highest: float
    lower: float
    upper: float
    mass: float
    confidence: float


def with_unreachable(reached: Estimate, *, mass: float, most: float = 1.0) -> PartlyKnownRate:
    """Bounds on a rate where items that are `mass` of the whole had no chance of being drawn.

    The rate is `(1 - mass) * reached + mass * r` with an r in [0, most] of which the sample says nothing: worst-case
    bounds (Manski 1989), to which the interval of the reached part adds chance. Taking `reached` for the whole is
    biased by `mass * (reached - r)`, which no number of labels cures.

    Args:
        reached: Rate among the items that could be drawn.
        mass: Part of the whole in [0, 1] that could not.
        most: Largest rate that is thinkable there, in [0, 1], from knowledge outside the sample.

    Raises:
        ValueError: An argument lies outside [0, 1].
    """
    if not 0.0 <= mass <= 1.0 or not 0.0 <= most <= 1.0:
        raise ValueError(f"mass and most must lie in [0, 1], got {mass} and {most}")
    kept = 1.0 - mass
    return PartlyKnownRate(
        lowest=kept * reached.estimate,
        highest=kept * reached.estimate + mass * most,
        lower=kept * max(reached.lower, 0.0),
        upper=min(kept * reached.upper + mass * most, 1.0),
        mass=mass,
        confidence=reached.confidence,
    )


def unreachable_mass(probabilities: ArrayLike, *, shares: ArrayLike | None = None) -> float:
    """Part of the pool that had no chance of being drawn, in [0, 1].

    Args:
        probabilities: Selection probability of every item of the pool, `(N,)`.
        shares: What part of the pool each is, `(N,)`, up to a factor; None for equal ones.

    Raises:
        NoEstimateError: The pool is empty.
        ValueError: Shapes differ or values are negative.
    """
    chances = weights_or_ones(probabilities, len(finite_vector(probabilities, "probabilities")))
    parts = weights_or_ones(shares, len(chances))
    if parts.sum() == 0:
        raise NoEstimateError("the pool is empty")
    return float(parts[np.asarray(chances) == 0].sum() / parts.sum())
