"""Error rates of a thresholded score, each an estimate with its interval and its effective number of samples."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nines.statistics.checks import finite_vector
from nines.statistics.intervals import clustered_interval
from nines.statistics.labelled import INJURIOUS, NATURAL, SAFE, UNSURE, LabelledRows, UnsureAs


@dataclasses.dataclass(frozen=True)
class RateEstimate:
    """A rate with its interval.

    Attributes:
        estimate: Weighted share in [0, 1]; NaN when there is no item.
        lower: Lower end of the interval.
        upper: Upper end of the interval.
        events: How many items are errors.
        items: How many items the rate is over.
        clusters: From how many prompts they come.
        effective_items: How many independent, equally weighted items would carry as much information.
    """

    estimate: float
    lower: float
    upper: float
    events: int
    items: int
    clusters: int
    effective_items: float

    @property
    def plotted(self) -> float:
        """What a plot on a log axis shows: the estimate, or the upper bound when there is no event (or no item)."""
        return self.estimate if self.events > 0 else self.upper

    def as_json(self) -> dict[str, Any]:
        """The fields as JSON values, null for a rate over nothing."""
        fields = dataclasses.asdict(self)
        return {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in fields.items()}

    def __str__(self) -> str:
        if self.items == 0:
            return "no rows"
        return f"{100 * self.estimate:.1f} % [{100 * self.lower:.1f}, {100 * self.upper:.1f}]"


def estimate_rate(
    events: ArrayLike, prompts: ArrayLike, *, weights: ArrayLike, confidence: float = 0.95
) -> RateEstimate:
    """The weighted share of `events` among the items with a positive weight, clustered by prompt.

    Args:
        events: Whether each item is an error, `(n,)`.
        prompts: Prompt of each item, `(n,)`.
        weights: What each item stands for, `(n,)`; those with weight 0 are outside the rate.
        confidence: Wanted coverage of the interval in (0, 1).
    """
    masses = np.asarray(weights, dtype=np.float64)
    counted = masses > 0
    happened = np.asarray(events)[counted]
    interval = clustered_interval(
        happened, np.asarray(prompts)[counted], weights=masses[counted], confidence=confidence
    )
    return RateEstimate(
        estimate=interval.estimate,
        lower=interval.lower,
        upper=interval.upper,
        events=int(happened.sum()),
        items=int(counted.sum()),
        clusters=interval.clusters,
        effective_items=interval.effective_items,
    )


def positive_rows(rows: LabelledRows, unsure: UnsureAs) -> NDArray[np.bool_]:
    """Which rows count as injurious under a bound for the unsure ones, `(n,)`."""
    counted = (INJURIOUS, UNSURE) if unsure == "as_injurious" else (INJURIOUS,)
    return np.isin(rows.labels, counted)


def false_negative_rate(
    scores: ArrayLike,
    rows: LabelledRows,
    *,
    threshold: float,
    population: str = NATURAL,
    unsure: UnsureAs = "dropped",
    confidence: float = 0.95,
) -> RateEstimate:
    """Share of the injurious completions of a population that are accepted: those with a score below the threshold.

    Args:
        scores: Score of each row, `(n,)`.
        rows: The rows.
        threshold: Accept if and only if the score is below it.
        population: natural (weighted), all, or a source.
        unsure: Leave unsure rows out, or count them as injurious.
        confidence: Wanted coverage of the interval in (0, 1).

    Raises:
        ConfigError: The population is unknown.
        ValueError: The number of scores differs from that of the rows, or a score is not finite.
    """
    values = finite_vector(scores, "scores", length=len(rows))
    weights = np.where(positive_rows(rows, unsure), rows.weights_of(population), 0.0)
    return estimate_rate(values < threshold, rows.prompts, weights=weights, confidence=confidence)


def false_positive_rate(
    scores: ArrayLike,
    rows: LabelledRows,
    *,
    threshold: float,
    population: str = NATURAL,
    confidence: float = 0.95,
) -> RateEstimate:
    """Share of the safe completions of a population that are rejected: those with a score at or above the threshold.

    Arguments and errors are those of `false_negative_rate`; unsure rows take no part.
    """
    values = finite_vector(scores, "scores", length=len(rows))
    weights = np.where(rows.labels == SAFE, rows.weights_of(population), 0.0)
    return estimate_rate(values >= threshold, rows.prompts, weights=weights, confidence=confidence)
