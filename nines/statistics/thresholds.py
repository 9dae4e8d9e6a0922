"""Thresholds on a score: by the share of safe completions that may be rejected, or of all that are to be accepted."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nines.errors import ConfigError
from nines.statistics.checks import finite_vector, weights_or_ones
from nines.statistics.intervals import kish_effective_size
from nines.statistics.labelled import ALL, NATURAL, SAFE, LabelledRows

# Sums of weights carry rounding; without this slack the same rows in another order could give another threshold.
_ROUNDING = 1e-12


def threshold_at_false_positive_rate(
    scores: ArrayLike, *, weights: ArrayLike | None = None, rate: float = 0.05
) -> float:
    """The lowest threshold that rejects at most the share `rate` of the given safe completions.

    A completion is accepted if and only if its score lies *below* the threshold. Among all float64 numbers `t` with
    `sum(weights[scores >= t]) <= rate * sum(weights)` this is the lowest, so it misses the fewest injurious
    completions. It lies one float64 step above a score: compare with it in float64, never in float32.

    Args:
        scores: Scores of safe completions, `(n,)`, finite.
        weights: What each stands for, `(n,)`, not negative; None counts each once.
        rate: Share in [0, 1) of the safe weight that may be rejected.

    Raises:
        ValueError: `rate` is outside [0, 1), or there is no safe completion with a positive weight.
    """
    if not 0.0 <= rate < 1.0:
        raise ValueError(f"the false positive rate must lie in [0, 1), got {rate}")
    values = finite_vector(scores, "scores")
    masses = weights_or_ones(weights, len(values))
    values, masses = values[masses > 0], masses[masses > 0]
    if len(values) == 0:
        raise ValueError("a threshold needs at least one safe completion with a positive weight")
    distinct, group = np.unique(values, return_inverse=True)
    at_or_above = np.cumsum(np.bincount(group, weights=masses)[::-1])[::-1]
    too_many = at_or_above > rate * masses.sum() * (1.0 + _ROUNDING)
    # The share at or above the lowest score is 1 > rate, so some score is always one too low to serve as threshold.
    return float(np.nextafter(distinct[too_many][-1], np.inf))


def threshold_at_acceptance(scores: ArrayLike, *, weights: ArrayLike | None = None, share: float) -> float:
    """The lowest threshold that accepts at least the share `share` of the given completions, whose labels are unknown.

    A completion is accepted if and only if its score lies *below* the threshold. Among all float64 numbers `t` with
    `sum(weights[scores < t]) >= share * sum(weights)` this is the lowest, so it is the strictest filter that rejects no
    more than the rest. It lies one float64 step above a score.

    Args:
        scores: Scores of completions of the policy that is to be filtered, `(n,)`, finite.
        weights: What each stands for, `(n,)`, not negative; None counts each once.
        share: In (0, 1].

    Raises:
        ValueError: `share` is outside (0, 1], or there is no completion with a positive weight.
    """
    if not 0.0 < share <= 1.0:
        raise ValueError(f"the share to accept must lie in (0, 1], got {share}")
    values = finite_vector(scores, "scores")
    masses = weights_or_ones(weights, len(values))
    values, masses = values[masses > 0], masses[masses > 0]
    if len(values) == 0:
        raise ValueError("a threshold needs at least one completion with a positive weight")
    distinct, group = np.unique(values, return_inverse=True)
    up_to = np.cumsum(np.bincount(group, weights=masses))
    enough = up_to >= share * masses.sum() * (1.0 - _ROUNDING)
    return float(np.nextafter(distinct[enough][0], np.inf))


@dataclasses.dataclass(frozen=True)
class FixedThreshold:
    """A threshold fixed on the safe rows of one population, with what is needed to judge it later.

    Attributes:
        threshold: Accept a completion if and only if its score is below this.
        population: Whose safe rows it was fixed on.
        false_positive_rate: The rate that was asked for.
        resulting_false_positive_rate: The weighted share of those safe rows that it rejects, at most the one asked.
        items: How many safe rows it was fixed on.
        effective_items: Kish's effective number of those rows under their weights.
    """

    threshold: float
    population: str
    false_positive_rate: float
    resulting_false_positive_rate: float
    items: int
    effective_items: float

    def as_json(self) -> dict[str, Any]:
        """The fields as JSON values; a float survives the round trip exactly."""
        return dataclasses.asdict(self)


def safe_rows(rows: LabelledRows, population: str) -> NDArray[np.float64]:
    """Weights of the safe rows of `population`, 0 for every other row, `(n,)`."""
    return np.where(rows.labels == SAFE, rows.weights_of(population), 0.0)


def default_population(rows: LabelledRows) -> str:
    """Natural where safe rows carry selection weights, since that is what is met in use; else all rows alike."""
    return NATURAL if NATURAL in rows.populations() and safe_rows(rows, NATURAL).any() else ALL


def fix_threshold(
    scores: ArrayLike, rows: LabelledRows, *, population: str | None = None, rate: float = 0.05
) -> FixedThreshold:
    """Fix the threshold at which `rate` of the safe rows of `population` are rejected; unsure rows take no part.

    Args:
        scores: Score of each row, `(n,)`.
        rows: The rows of the split on which to fix it, as a rule validation.
        population: Whose safe rows count: natural, all, or a source; None as `default_population` says.
        rate: Share in [0, 1) of the safe weight that may be rejected.

    Raises:
        ConfigError: The population is unknown or holds no safe row.
        ValueError: The number of scores differs from that of the rows, or `rate` is outside [0, 1).
    """
    values = finite_vector(scores, "scores", length=len(rows))
    population = population or default_population(rows)
    weights = safe_rows(rows, population)
    chosen = weights > 0
    if not chosen.any():
        raise ConfigError(
            f"population {population!r} has no safe row to fix a threshold on; choose another of "
            f"{', '.join(rows.populations())}"
        )
    threshold = threshold_at_false_positive_rate(values[chosen], weights=weights[chosen], rate=rate)
    return FixedThreshold(
        threshold=threshold,
        population=population,
        false_positive_rate=rate,
        resulting_false_positive_rate=float(weights[values >= threshold].sum() / weights.sum()),
        items=int(chosen.sum()),
        effective_items=kish_effective_size(weights),
    )


def thresholds_by_population(scores: ArrayLike, rows: LabelledRows, *, rate: float = 0.05) -> dict[str, float]:
    """The threshold of each population that holds a safe row, see `fix_threshold`."""
    return {
        population: fix_threshold(scores, rows, population=population, rate=rate).threshold
        for population in rows.populations()
        if safe_rows(rows, population).any()
    }
