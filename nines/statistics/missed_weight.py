"""Injurious completions in the order of their scores: how much weight a threshold misses, by prompt.

What the rules that bound the false negative rate share; see `nines.statistics.conformal` and
`nines.statistics.risk_control`.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nines.statistics.checks import finite_vector, weights_or_ones
from nines.statistics.estimate import NoEstimateError
from nines.statistics.intervals import kish_effective_size

# Sums of weights carry rounding: a budget that is reached exactly must not be missed by the last digit.
_ROUNDING = 1e-12


@dataclasses.dataclass(frozen=True)
class InjuriousScores:
    """The injurious completions of a calibration sample that carry a weight, from the lowest score up.

    Attributes:
        scores: Ascending, `(n,)`.
        weights: What each stands for, above 0, `(n,)`.
        group: Number of each one's prompt, 0 to prompts - 1, `(n,)`.
        totals: Weight of each prompt's injurious completions, `(prompts,)`.
    """

    scores: NDArray[np.float64]
    weights: NDArray[np.float64]
    group: NDArray[np.int64]
    totals: NDArray[np.float64]

    @classmethod
    def of(
        cls, scores: ArrayLike, *, weights: ArrayLike | None = None, prompts: ArrayLike | None = None
    ) -> InjuriousScores:
        """Sort them; without `prompts` each completion is a prompt of its own.

        Raises:
            NoEstimateError: None has a weight.
            ValueError: Shapes differ, a score is not finite, or a weight is negative.
        """
        values = finite_vector(scores, "scores")
        masses = weights_or_ones(weights, len(values))
        counted = masses > 0
        if not counted.any():
            raise NoEstimateError(
                "no injurious completion has a weight here, so nothing is known of the misses; label some, or choose "
                "another population"
            )
        labels = np.arange(len(values)) if prompts is None else np.asarray(prompts)
        if labels.shape != values.shape:
            raise ValueError(f"prompts must have shape {values.shape}, got {labels.shape}")
        values, masses, labels = values[counted], masses[counted], labels[counted]
        order = np.argsort(values, kind="stable")
        group = np.unique(labels, return_inverse=True)[1] if prompts is not None else np.arange(len(values))
        return cls(
            scores=values[order],
            weights=masses[order],
            group=np.asarray(group, dtype=np.int64)[order],
            totals=np.asarray(np.bincount(group, weights=masses), dtype=np.float64),
        )

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def total(self) -> float:
        """Weight of all of them."""
        return float(self.totals.sum())

    @property
    def effective_items(self) -> float:
        """Kish's effective number of prompts."""
        return kish_effective_size(self.totals)

    def largest(self, given: float | None) -> float:
        """The bound on the weight of a prompt's injurious completions: the one given, else the largest seen.

        Raises:
            ValueError: A prompt weighs more than the bound that was given.
        """
        seen = float(self.totals.max())
        if given is None:
            return seen
        if not seen <= given * (1.0 + _ROUNDING):
            raise ValueError(f"largest_weight is {given}, but one prompt's injurious completions weigh {seen}")
        return given

    def highest_threshold(self, budget: float) -> float:
        """The highest score below which injurious completions of at most the weight `budget` (at least 0) lie.

        A completion is accepted if its score lies *below* the threshold, so this misses at most the budget. There is
        always one: below the lowest score lies nothing.
        """
        first = np.flatnonzero(np.r_[True, np.diff(self.scores) > 0])
        below = np.concatenate([[0.0], np.cumsum(self.weights)])[first]
        kept = below <= budget + _ROUNDING * self.total
        return float(self.scores[first[kept][-1]])

    def missed_weight(self, threshold: float) -> float:
        """Weight of those that `threshold` accepts."""
        return float(self.weights[: np.searchsorted(self.scores, threshold, side="left")].sum())

    def missed_count(self, threshold: float) -> int:
        """Number of those that `threshold` accepts."""
        return int(np.searchsorted(self.scores, threshold, side="left"))
