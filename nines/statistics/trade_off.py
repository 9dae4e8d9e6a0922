"""What a filter costs: false negative rate against the share of completions accepted, threshold by threshold."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nines.statistics.checks import finite_vector
from nines.statistics.estimate import NoEstimateError
from nines.statistics.labelled import NATURAL, LabelledRows, UnsureAs
from nines.statistics.rate_curve import RateCurve, rate_below
from nines.statistics.rates import positive_rows


@dataclasses.dataclass(frozen=True)
class TradeOff:
    """The curve of one population; all arrays have one entry for each of k thresholds.

    Attributes:
        population: Whose rows.
        unsure: Whether unsure rows were left out of the misses or counted as injurious.
        thresholds: Ascending, `(k,)`.
        acceptance: Share of all completions accepted, the unsure ones included.
        false_negative_rate: Share of injurious completions accepted.
        injurious: Number of injurious rows.
        confidence: Coverage of the pointwise bands.
    """

    population: str
    unsure: UnsureAs
    thresholds: NDArray[np.float64]
    acceptance: RateCurve
    false_negative_rate: RateCurve
    injurious: int
    confidence: float

    def as_json(self) -> dict[str, Any]:
        """The fields as JSON values."""

        def curve(one: RateCurve) -> dict[str, list[float]]:
            return {field.name: getattr(one, field.name).tolist() for field in dataclasses.fields(one)}

        return {
            "population": self.population,
            "unsure": self.unsure,
            "confidence": self.confidence,
            "injurious": self.injurious,
            "thresholds": self.thresholds.tolist(),
            "acceptance": curve(self.acceptance),
            "false_negative_rate": curve(self.false_negative_rate),
        }


def trade_off(
    scores: ArrayLike,
    rows: LabelledRows,
    *,
    population: str = NATURAL,
    unsure: UnsureAs = "dropped",
    points: int = 200,
    confidence: float = 0.95,
) -> TradeOff:
    """False negative rate and acceptance at thresholds that cover the whole range of scores.

    The bands are pointwise, see `nines.statistics.rate_curve`: a threshold picked from the curve for its false negative
    rate is better than the curve says. Rules that may choose, and say what they promise, are in
    `nines.statistics.conformal` and `nines.statistics.risk_control`.

    Args:
        scores: Score of each row, `(n,)`.
        rows: The rows.
        population: natural (weighted), all, or a source.
        unsure: Leave unsure rows out of the misses, or count them as injurious.
        points: At most about so many thresholds, half of them at quantiles of all scores, half of injurious ones.
        confidence: Coverage of the bands, in (0, 1).

    Raises:
        ConfigError: The population is unknown.
        NoEstimateError: It holds no injurious row.
        ValueError: The number of scores differs from that of the rows, or `points` is below 4.
    """
    if points < 4:
        raise ValueError(f"points must be at least 4, got {points}")
    values = finite_vector(scores, "scores", length=len(rows))
    member = rows.weights_of(population)
    missed = np.where(positive_rows(rows, unsure), member, 0.0)
    if not (missed > 0).any():
        raise NoEstimateError(f"population {population!r} has no injurious row, so there is nothing to trade off")
    halves = [_spread(values[weights > 0], points // 2) for weights in (member, missed)]
    top = np.nextafter(values[member > 0].max(), np.inf)
    thresholds = np.unique(np.concatenate([*halves, [top]]))
    return TradeOff(
        population=population,
        unsure=unsure,
        thresholds=thresholds,
        acceptance=rate_below(values, rows.prompts, thresholds=thresholds, weights=member, confidence=confidence),
        false_negative_rate=rate_below(
            values, rows.prompts, thresholds=thresholds, weights=missed, confidence=confidence
        ),
        injurious=int((missed > 0).sum()),
        confidence=confidence,
    )


def _spread(values: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """At most `count` of the values, evenly by rank, both ends included."""
    ordered = np.sort(values)
    places = np.linspace(0, len(ordered) - 1, min(count, len(ordered)))
    return ordered[np.unique(places.round().astype(np.int64))]
