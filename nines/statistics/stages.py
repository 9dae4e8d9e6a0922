"""How many prompts, and how many completions of each: variance by stage and the cheapest division."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import ArrayLike

from nines.errors import ConfigError
from nines.statistics.checks import finite_vector
from nines.statistics.estimate import NoEstimateError


@dataclasses.dataclass(frozen=True)
class VarianceByStage:
    """Where the variance of a mean over prompts comes from.

    Attributes:
        between: Variance of the true figure from prompt to prompt, at least 0.
        within: Variance of the figure of one prompt times the number of completions that it is made of.
        completions: That number.
        prompts: From how many prompts both are estimated.
    """

    between: float
    within: float
    completions: float
    prompts: int

    def variance(self, *, prompts: float, completions: float) -> float:
        """Variance of the mean over so many prompts with so many completions each (Cochran 1977, eq. 10.9)."""
        return (self.between + self.within / completions) / prompts

    @property
    def correlation(self) -> float:
        """Intra-class correlation of completions of one prompt, in [0, 1]; 0 where nothing varies."""
        whole = self.between + self.within
        return self.between / whole if whole > 0 else 0.0


def variance_by_stage(first_half: ArrayLike, second_half: ArrayLike, *, completions: float) -> VarianceByStage:
    """Variance between and within prompts, from two estimates of each prompt on disjoint halves of its completions.

    The covariance of the halves over prompts is the variance between them, half the mean squared difference that
    within: unbiased for any figure that each half estimates without bias, U-statistics of `delivery_shares` included.
    Negative estimates of the variance between are set to 0.

    Args:
        first_half: Figure of each prompt on one half, `(prompts,)`, at least two prompts.
        second_half: On the other, `(prompts,)`.
        completions: Completions in a half.

    Raises:
        NoEstimateError: There are fewer than two prompts.
        ValueError: Shapes differ, a value is not finite, or `completions` is not positive.
    """
    first = finite_vector(first_half, "first_half")
    second = finite_vector(second_half, "second_half", length=len(first))
    if len(first) < 2:
        raise NoEstimateError("variance between prompts needs at least two prompts")
    if not completions > 0:
        raise ValueError(f"completions must be positive, got {completions}")
    between = float(np.cov(first, second)[0, 1])
    within = float(np.square(first - second).mean()) / 2.0 * completions
    return VarianceByStage(between=max(between, 0.0), within=within, completions=completions, prompts=len(first))


def optimal_completions(
    stages: VarianceByStage, *, prompt_cost: float, completion_cost: float, least: int = 1, most: int = 1000
) -> int:
    """Completions of each prompt with which a given sum buys the smallest variance (Cochran 1977, eq. 10.27).

    `sqrt(prompt_cost / completion_cost * within / between)`, rounded to the better of its neighbours.

    Args:
        stages: Variance by stage.
        prompt_cost: Cost of one more prompt, at least 0, in any unit.
        completion_cost: Cost of one more completion, labelled as far as it has to be, in the same unit, positive.
        least: At least so many, such as the tries of a policy whose U-statistic is wanted.
        most: At most so many; the answer where prompts do not differ.

    Raises:
        ConfigError: A cost or a bound is out of range.
    """
    if not (prompt_cost >= 0 and completion_cost > 0 and 1 <= least <= most):
        raise ConfigError("costs must not be negative, a completion must cost something, and 1 <= least <= most")
    if stages.within == 0:
        return least
    if stages.between == 0:
        return most
    ideal = math.sqrt(prompt_cost / completion_cost * stages.within / stages.between)
    choices = {min(max(count, least), most) for count in (math.floor(ideal), math.ceil(ideal))}

    def cost_times_variance(count: int) -> float:
        return (prompt_cost + count * completion_cost) * stages.variance(prompts=1.0, completions=count)

    return min(sorted(choices), key=cost_times_variance)
