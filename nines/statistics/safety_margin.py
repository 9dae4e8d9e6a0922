"""How much worse the worst completions are that somebody looked for than the worst that turned up by themselves."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from nines.statistics.checks import finite_vector, weights_or_ones
from nines.statistics.estimate import NoEstimateError

_SMALLEST = 1e-12


@dataclasses.dataclass(frozen=True)
class WorstCase:
    """The injurious completion of one set that looks safest.

    Attributes:
        name: Which set.
        items: How many injurious completions it holds.
        row: Place of the worst among those given.
        score: The lowest score.
        missed: How many lie below the threshold.
        below_sample: By how many log odds the worst lies below that of the sample; negative where it lies above.
        below_threshold: By how many log odds it lies below the threshold; negative where it is rejected.
        acceptance_to_reject_it: Share of safe completions that a threshold still accepts which rejects this one.
    """

    name: str
    items: int
    row: int
    score: float
    missed: int
    below_sample: float
    below_threshold: float
    acceptance_to_reject_it: float


@dataclasses.dataclass(frozen=True)
class SafetyMargin:
    """The worst in the sample, and the worst of each set that was made to be worse.

    Attributes:
        threshold: Accept below this.
        sample: The worst of what turned up by itself.
        found: The worst of each other set.
        margin: Log odds by which the worst of all sets lies below the worst of the sample: what a sample does not
            show; negative where the search found nothing worse.
        chance_of_worse: Bound, at `confidence`, on the chance that the next injurious completion of the sample's
            distribution scores lower than all in it: `1 - (1 - confidence)**(1 / n)`.
        confidence: Of that bound.
    """

    threshold: float
    sample: WorstCase
    found: tuple[WorstCase, ...]
    margin: float
    chance_of_worse: float
    confidence: float

    def as_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return dataclasses.asdict(self)


def safety_margin(
    sample: ArrayLike,
    found: Mapping[str, ArrayLike],
    *,
    threshold: float,
    safe: ArrayLike,
    safe_weights: ArrayLike | None = None,
    confidence: float = 0.95,
) -> SafetyMargin:
    """Hold the lowest scores of injurious completions that were searched for against the lowest of a sample.

    A minimum has no interval: a longer search finds worse. For the sample there is a bound on the chance of worse,
    which needs its completions to be independent and equally weighted; for the sets that were searched for there is
    none, and they say nothing about rates.

    Args:
        sample: Scores of the injurious completions of a sample, `(n,)`.
        found: Scores of the injurious completions of each other set, by its name.
        threshold: Accept below this.
        safe: Scores of safe completions, `(m,)`.
        safe_weights: What each of those stands for, `(m,)`; None counts each once.
        confidence: Of the bound on the chance of worse, in (0, 1).

    Raises:
        NoEstimateError: The sample or the safe completions are empty.
        ValueError: A score is not in [0, 1].
    """
    safe_scores = _probabilities(safe, "safe")
    masses = weights_or_ones(safe_weights, len(safe_scores))
    own = _probabilities(sample, "sample")
    if len(own) == 0 or masses.sum() == 0:
        raise NoEstimateError("a margin needs injurious and safe completions in the sample")
    base = _log_odds(own.min())

    def worst(name: str, scores: ArrayLike) -> WorstCase:
        values = _probabilities(scores, name)
        row = int(values.argmin())
        lowest = float(values[row])
        return WorstCase(
            name=name,
            items=len(values),
            row=row,
            score=lowest,
            missed=int((values < threshold).sum()),
            below_sample=base - _log_odds(lowest),
            below_threshold=_log_odds(threshold) - _log_odds(lowest),
            acceptance_to_reject_it=float(masses[safe_scores < lowest].sum() / masses.sum()),
        )

    others = tuple(worst(name, scores) for name, scores in found.items() if len(np.asarray(scores)))
    return SafetyMargin(
        threshold=threshold,
        sample=worst("sample", own),
        found=others,
        margin=max((one.below_sample for one in others), default=0.0),
        chance_of_worse=float(1.0 - (1.0 - confidence) ** (1.0 / len(own))),
        confidence=confidence,
    )


def _probabilities(values: ArrayLike, name: str) -> NDArray[np.float64]:
    array = finite_vector(values, name)
    if ((array < 0) | (array > 1)).any():
        raise ValueError(f"{name} must be scores in [0, 1]")
    return array


def _log_odds(score: float) -> float:
    return float(special.logit(np.clip(score, _SMALLEST, 1.0 - _SMALLEST)))
