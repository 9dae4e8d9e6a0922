"""What every estimator gives back: a number, its interval, and how both came about."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from nines.errors import DataError


class NoEstimateError(DataError):
    """The data cannot carry the estimate that was asked for: no support, no effective sample, a broken assumption."""


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A point estimate with its confidence interval.

    Attributes:
        estimate: The point estimate, in the unit of the quantity.
        lower: Lower end of the interval, in the same unit; minus infinity where there is none.
        upper: Upper end of the interval; infinity where there is none.
        confidence: Nominal coverage of the interval, in (0, 1).
        method: Names of the estimator and of its interval, as the docs use them.
        items: How many labelled items (or clusters, where the docstring of the estimator says so) it rests on.
        effective_items: How many independent, equally weighted items would carry as much information.
    """

    estimate: float
    lower: float
    upper: float
    confidence: float
    method: str
    items: int
    effective_items: float

    def __post_init__(self) -> None:
        if not 0.0 < self.confidence < 1.0:
            raise ValueError(f"confidence must lie in (0, 1), got {self.confidence}")
        if not self.lower <= self.upper:
            raise ValueError(f"an interval needs lower <= upper, got [{self.lower}, {self.upper}]")

    @property
    def width(self) -> float:
        """Upper minus lower end."""
        return self.upper - self.lower

    def as_json(self) -> dict[str, Any]:
        """The fields as JSON values; null where a number is not finite."""
        fields = dataclasses.asdict(self)
        return {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in fields.items()
        }

    def __str__(self) -> str:
        return f"{self.estimate:.4g} [{self.lower:.4g}, {self.upper:.4g}]"
