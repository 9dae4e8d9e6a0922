"""Which strategies differ by more than the noise over seeds: intervals, paired tests, correction for many comparisons.

The quantity compared is what a strategy reaches after its other parameters were tuned within the sweep. The mean of
the set that looks best is too good an estimate of it (the winner's curse), the more so the more sets a strategy tried.
So each seed is predicted by the others: the set is chosen by its mean over all other seeds, and counts with its value
at this one. Those values share their choices, as the folds of a cross-validation share their training data, so the
variance of their mean is corrected as in the corrected resampled t-test of Nadeau and Bengio 2003 (1/n + n2/n1, with
n2/n1 = 1/(n-1) for n seeds). The simulation in the tests shows the error rate of the whole procedure.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from optuna.distributions import CategoricalDistribution
from scipy import stats

from sweeps.definition import Objective, SweepDefinition
from sweeps.report.results import ParameterSet, best_set
from sweeps.trial import ParameterValue


@dataclasses.dataclass(frozen=True)
class MeanInterval:
    """A mean with its t-interval.

    Attributes:
        mean: Mean of the values.
        lower: Lower end; minus infinity with fewer than two values, which say nothing of the noise.
        upper: Upper end; infinity with fewer than two values.
        count: Number of values.
    """

    mean: float
    lower: float
    upper: float
    count: int


@dataclasses.dataclass(frozen=True)
class Strategy:
    """One choice of a parameter, with everything that was tried under it.

    Attributes:
        choice: Value of the parameter.
        sets: Sets of parameters with a result at every seed.
        best: The best of them by its mean, whose interval ignores that it was picked.
        tuned: Seed to the value at this seed of the set that the other seeds choose.
    """

    choice: ParameterValue
    sets: tuple[ParameterSet, ...]
    best: ParameterSet
    tuned: dict[int, float]


@dataclasses.dataclass(frozen=True)
class Difference:
    """Tuned strategy `first` minus tuned strategy `second`, over the seeds that both have.

    Attributes:
        parameter: The parameter whose choices are compared.
        first: The choice with the better mean.
        second: The other one.
        difference: Mean difference, in units of the objective.
        lower: Lower end of its 95 % interval.
        upper: Upper end of its 95 % interval.
        p_value: Two-sided, of no difference.
        adjusted_p: The same after Holm's correction over all comparisons of the report.
        seeds: Number of seeds.
    """

    parameter: str
    first: ParameterValue
    second: ParameterValue
    difference: float
    lower: float
    upper: float
    p_value: float
    adjusted_p: float
    seeds: int

    @property
    def larger_than_noise(self) -> bool:
        """Whether the difference stands after the correction for many comparisons, at 5 %."""
        return self.adjusted_p < 0.05


def mean_interval(
    values: Sequence[float], *, level: float = 0.95, variance_factor: float | None = None
) -> MeanInterval:
    """Student's t-interval of a mean.

    Args:
        values: The values, at least one.
        level: Coverage, in (0, 1).
        variance_factor: Variance of the mean over that of one value; 1/n, for independent values, by default.
    """
    count = len(values)
    mean = float(np.mean(values))
    if count < 2:
        return MeanInterval(mean, -math.inf, math.inf, count)
    factor = 1 / count if variance_factor is None else variance_factor
    half = float(stats.t.ppf((1 + level) / 2, count - 1)) * float(np.std(values, ddof=1)) * math.sqrt(factor)
    return MeanInterval(mean, mean - half, mean + half, count)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values that control the chance of any false statement (Holm 1979), in the order given."""
    order = np.argsort(p_values, kind="stable")
    adjusted = [0.0] * len(p_values)
    running = 0.0
    for rank, index in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * float(p_values[index])))
        adjusted[int(index)] = running
    return adjusted


def seed_noise(sets: Sequence[ParameterSet]) -> tuple[float, int] | None:
    """Standard deviation over seeds pooled over the sets, and its degrees of freedom; None without repeats."""
    repeated = [list(each.by_seed.values()) for each in sets if len(each.by_seed) > 1]
    degrees = sum(len(values) - 1 for values in repeated)
    if degrees == 0:
        return None
    squares = sum(float(np.var(values, ddof=1)) * (len(values) - 1) for values in repeated)
    return math.sqrt(squares / degrees), degrees


def tuned_by_seed(sets: Sequence[ParameterSet], objective: Objective) -> dict[int, float]:
    """For each seed the value, at this seed, of the set that is best over the other seeds.

    Args:
        sets: Sets that share their seeds, two at least, else nothing can be predicted and the result is empty.
        objective: Says which way is better.
    """
    tuned: dict[int, float] = {}
    for seed in sorted({seed for each in sets for seed in each.by_seed}):
        others = [
            dataclasses.replace(each, by_seed={other: value for other, value in each.by_seed.items() if other != seed})
            for each in sets
            if seed in each.by_seed and len(each.by_seed) > 1
        ]
        chosen = best_set(others, objective)
        if chosen is not None:
            tuned[seed] = next(each.by_seed[seed] for each in sets if each.group == chosen.group)
    return tuned


def strategies(sets: Sequence[ParameterSet], parameter: str, *, objective: Objective, seeds: int) -> list[Strategy]:
    """The choices of a parameter, the best first.

    Args:
        sets: All sets of the sweep.
        parameter: Config key or group; sets without it are left out.
        objective: Says which way is better.
        seeds: Repeats of each set; sets with fewer results are left out, because the seeds that were pruned or failed
            are the bad ones, and the mean over the others would flatter the set.
    """
    by_choice: dict[ParameterValue, list[ParameterSet]] = {}
    for each in sets:
        if parameter in each.params and len(each.by_seed) >= seeds:
            by_choice.setdefault(each.params[parameter], []).append(each)
    found: list[Strategy] = []
    for choice, members in by_choice.items():
        best = best_set(members, objective)
        assert best is not None, "a choice is listed only with a set"
        found.append(Strategy(choice, tuple(members), best, tuned_by_seed(members, objective)))
    sign = -1 if objective.direction == "maximize" else 1
    return sorted(found, key=lambda strategy: sign * strategy.best.mean)


def differences(parameter: str, compared: Sequence[Strategy], *, objective: Objective) -> list[Difference]:
    """Every pair of strategies that share at least two seeds, the better one first; not corrected yet."""
    found: list[Difference] = []
    for position, one in enumerate(compared):
        for other in compared[position + 1 :]:
            shared = sorted(one.tuned.keys() & other.tuned.keys())
            if len(shared) < 2:
                continue
            first, second = one, other
            if objective.better(*(math.fsum(each.tuned[seed] for seed in shared) for each in (other, one))):
                first, second = other, one
            found.append(_difference(parameter, first, second, shared))
    return found


def corrected(found: Sequence[Difference]) -> list[Difference]:
    """The same differences with p-values adjusted for the number of comparisons, the clearest first."""
    adjusted = holm([each.p_value for each in found])
    replaced = [dataclasses.replace(each, adjusted_p=p) for each, p in zip(found, adjusted, strict=True)]
    return sorted(replaced, key=lambda each: (each.adjusted_p, each.p_value))


def _difference(parameter: str, first: Strategy, second: Strategy, shared: Sequence[int]) -> Difference:
    values = [first.tuned[seed] - second.tuned[seed] for seed in shared]
    count = len(values)
    chosen = len(first.sets) > 1 or len(second.sets) > 1
    factor = 1 / count + (1 / (count - 1) if chosen else 0)
    interval = mean_interval(values, variance_factor=factor)
    error = float(np.std(values, ddof=1)) * math.sqrt(factor)
    if error > 0:
        p_value = float(2 * stats.t.sf(abs(interval.mean) / error, count - 1))
    else:  # seeds without any effect: every difference is exact
        p_value = 1.0 if interval.mean == 0 else 0.0
    return Difference(
        parameter=parameter,
        first=first.choice,
        second=second.choice,
        difference=interval.mean,
        lower=interval.lower,
        upper=interval.upper,
        p_value=p_value,
        adjusted_p=p_value,
        seeds=count,
    )


def compared_keys(definition: SweepDefinition) -> list[str]:
    """The parameters whose choices are strategies: categorical, and with one domain in the whole space."""
    every = [parameter.key for parameter in definition.space.parameters]
    return [
        parameter.key
        for parameter in definition.space.parameters
        if isinstance(parameter.domain.distribution, CategoricalDistribution) and every.count(parameter.key) == 1
    ]


def compare(
    sets: Sequence[ParameterSet], definition: SweepDefinition
) -> tuple[dict[str, list[Strategy]], list[Difference]]:
    """Every strategy of every compared parameter, and all differences corrected together.

    Returns:
        Parameter to its strategies, only where at least two have results; and the differences, the clearest first.
    """
    objective = definition.objectives[0]
    found: dict[str, list[Strategy]] = {}
    for key in compared_keys(definition):
        ranked = strategies(sets, key, objective=objective, seeds=definition.seeds)
        if len(ranked) > 1:
            found[key] = ranked
    pairs = [each for key, ranked in found.items() for each in differences(key, ranked, objective=objective)]
    return found, corrected(pairs)
