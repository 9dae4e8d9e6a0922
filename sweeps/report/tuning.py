"""What a strategy reaches after its other parameters were tuned, and how uncertain that is: pure functions of arrays.

Values come as arrays `(sets, seeds)`, greater is better. The mean of the set that looks best is too good an estimate
(the winner's curse), the more so the more sets were tried. So each seed is predicted by the others: the set is chosen
by its mean over all other seeds, and counts with its value at this one.

Two strategies are compared at equal budgets, the number of sets of the one that tried fewer, as Dodge et al. 2019
("Show your work", section 3) compare models. A difference is uncertain for two reasons, whose variances add:

- the seeds: the paired differences share their choices, as the folds of a cross-validation share their training data,
  so their variance carries the correction of Nadeau and Bengio 2003 (1/n + n2/n1, with n2/n1 = 1/(n-1) for n seeds);
- the search: other sets would have been tried with another sampler seed. A bootstrap over the sets estimates it. It is
  left out where both strategies were tried with the same values of everything else, as in a grid.

The degrees of freedom of the sum are those of Satterthwaite 1946. A simulation in the tests shows the rate of false
differences of the whole procedure.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray
from scipy import stats

DRAWS = 400
# A bootstrap over fewer sets says nothing of what other sets would have reached.
FEWEST_SETS = 3


@dataclasses.dataclass(frozen=True)
class TunedDifference:
    """First strategy minus second.

    Attributes:
        difference: Mean over the seeds, in units of the objective.
        seed_error: Standard error that the seeds cause.
        search_error: Standard error that the search causes; 0 where it plays no part.
        degrees: Degrees of freedom.
        lower: Lower end of the 95 % interval.
        upper: Upper end of the 95 % interval.
        p_value: Two-sided, of no difference.
    """

    difference: float
    seed_error: float
    search_error: float
    degrees: float
    lower: float
    upper: float
    p_value: float


def tuned(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each seed the value, at this seed, of the set that is best over the other seeds.

    Args:
        values: `(..., sets, seeds)`, at least two seeds.

    Returns:
        `(..., seeds)`. In a tie the first set is chosen.
    """
    others = (values.sum(axis=-1, keepdims=True) - values) / (values.shape[-1] - 1)
    chosen = others.argmax(axis=-2)[..., None, :]
    return np.take_along_axis(values, chosen, axis=-2)[..., 0, :]


def tuned_difference(
    first: NDArray[np.float64], second: NDArray[np.float64], *, same_settings: bool, seed: int = 0
) -> TunedDifference:
    """Compare two strategies by what each reaches when tuned.

    Args:
        first: `(sets, seeds)`, greater is better; the columns are the same training seeds in both.
        second: `(sets, seeds)`.
        same_settings: Both were tried with the same values of all other parameters, so the search is no noise.
        seed: Of the bootstrap.

    Raises:
        ValueError: Fewer than two seeds, or, unless `same_settings`, fewer than `FEWEST_SETS` sets.
    """
    seeds, budget = first.shape[1], min(len(first), len(second))
    if seeds < 2 or seeds != second.shape[1]:
        raise ValueError(f"at least two shared seeds are needed, found {seeds} and {second.shape[1]}")
    if not same_settings and budget < FEWEST_SETS:
        raise ValueError(f"at least {FEWEST_SETS} sets of each are needed, found {budget}")
    generator = np.random.default_rng(seed)
    if same_settings:
        differences = tuned(first) - tuned(second)
        search_variance = 0.0
    else:
        differences = _at_budget(first, budget, generator) - _at_budget(second, budget, generator)
        search_variance = sum(_search_variance(values, budget, generator) for values in (first, second))
    picked = max(len(first), len(second)) > 1
    seed_variance = float(np.var(differences, ddof=1)) * (1 / seeds + (1 / (seeds - 1) if picked else 0))
    difference, error = float(np.mean(differences)), math.sqrt(seed_variance + search_variance)
    parts = ((seed_variance, seeds - 1), (search_variance, budget - 1))
    weight = sum(variance**2 / count for variance, count in parts if variance > 0)
    degrees = error**4 / weight if weight > 0 else float(seeds - 1)
    half = float(stats.t.ppf(0.975, degrees)) * error
    # Where nothing varies every difference is exact.
    statistic = abs(difference) / error if error > 0 else (math.inf if difference else 0.0)
    return TunedDifference(
        difference=difference,
        seed_error=math.sqrt(seed_variance),
        search_error=math.sqrt(search_variance),
        degrees=degrees,
        lower=difference - half,
        upper=difference + half,
        p_value=float(2 * stats.t.sf(statistic, degrees)),
    )


def _at_budget(values: NDArray[np.float64], budget: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """The tuned values `(seeds,)` that `budget` of the sets reach, averaged over which of them."""
    if budget == len(values):
        return tuned(values)
    subsets = generator.random((DRAWS, len(values))).argsort(axis=1)[:, :budget]
    return np.asarray(tuned(values[subsets]).mean(axis=0))


def _search_variance(values: NDArray[np.float64], budget: int, generator: np.random.Generator) -> float:
    """Variance of the tuned mean over bootstrap draws of `budget` sets, corrected for the bootstrap's small samples."""
    draws = generator.integers(len(values), size=(DRAWS, budget))
    return float(tuned(values[draws]).mean(axis=1).var()) * budget / (budget - 1)
