"""The affine map that gives a reward model's scores mean 0 and variance 1 on the base policy (Ziegler et al. 2019)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nines.errors import DataError
from nines.statistics.checks import finite_vector


@dataclasses.dataclass(frozen=True)
class ScoreNormalisation:
    """`(score - mean) / standard_deviation`, and on how much it rests.

    Comparisons fix scores up to a constant, so that the sign and scale of a raw score mean nothing. In this unit 0 is
    the base policy's average completion and 1 its standard deviation.

    Attributes:
        mean: Of raw scores.
        standard_deviation: Of raw scores, above 0.
        completions: How many completions were scored; 0 for the identity.
        prompts: Of how many prompts.
    """

    mean: float = 0.0
    standard_deviation: float = 1.0
    completions: int = 0
    prompts: int = 0

    @classmethod
    def fit(cls, scores: ArrayLike, prompts: Sequence[Any]) -> ScoreNormalisation:
        """The map under which `scores` have mean 0 and variance 1, every prompt weighing the same.

        Args:
            scores: Raw scores of completions that the base policy wrote, `(n,)`.
            prompts: The prompt of each, `(n,)`, any comparable values.

        Raises:
            DataError: Fewer than two completions, or all scores are equal.
        """
        values = finite_vector(scores, "scores", length=len(prompts))
        if len(values) < 2:
            raise DataError(f"scores are normalised on at least two completions, got {len(values)}")
        _, group, counts = np.unique(np.asarray(prompts), return_inverse=True, return_counts=True)
        weights = 1.0 / counts[group]
        mean = float(np.average(values, weights=weights))
        deviation = math.sqrt(float(np.average(np.square(values - mean), weights=weights)))
        if deviation <= 1e-12 * max(1.0, abs(mean)):
            raise DataError("all completions have the same score, which no scale can turn into variance 1")
        return cls(mean=mean, standard_deviation=deviation, completions=len(values), prompts=len(counts))

    def apply(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Raw scores to normalised ones, of the same shape."""
        return (np.asarray(scores, dtype=np.float64) - self.mean) / self.standard_deviation

    def as_json(self) -> dict[str, float | int]:
        """The fields as JSON values, as a checkpoint holds them."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> ScoreNormalisation:
        """What `as_json` gave."""
        return cls(
            mean=float(content["mean"]),
            standard_deviation=float(content["standard_deviation"]),
            completions=int(content["completions"]),
            prompts=int(content["prompts"]),
        )
