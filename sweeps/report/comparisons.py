"""Which choices of a parameter differ by more than the noise, over a whole sweep; the arithmetic is in `tuning`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import CategoricalDistribution

from sweeps.definition import Objective, SweepDefinition
from sweeps.report.intervals import holm
from sweeps.report.results import ParameterSet, best_set
from sweeps.report.tuning import FEWEST_SETS, tuned, tuned_difference
from sweeps.trial import ParameterValue


@dataclasses.dataclass(frozen=True)
class Strategy:
    """One choice of a parameter, with everything that was tried under it.

    Attributes:
        choice: Value of the parameter.
        sets: Sets of parameters with a result at every seed.
        best: The best of them by its mean, whose interval ignores that it was picked.
        tuned: Mean over the seeds of what the set that the other seeds choose reaches; None with one seed.
    """

    choice: ParameterValue
    sets: tuple[ParameterSet, ...]
    best: ParameterSet
    tuned: float | None


@dataclasses.dataclass(frozen=True)
class Difference:
    """Tuned strategy `first` minus tuned strategy `second`.

    Attributes:
        parameter: The parameter whose choices are compared.
        first: The choice that reaches the better value.
        second: The other one.
        difference: Mean difference, in units of the objective.
        lower: Lower end of its 95 % interval.
        upper: Upper end of its 95 % interval.
        adjusted_p: Two-sided p-value of no difference, after Holm's correction over all comparisons of the report.
        seeds: Number of seeds.
        same_settings: Both were tried with the same values of all other parameters, so the seeds are the only noise.
    """

    parameter: str
    first: ParameterValue
    second: ParameterValue
    difference: float
    lower: float
    upper: float
    adjusted_p: float
    seeds: int
    same_settings: bool

    @property
    def larger_than_noise(self) -> bool:
        """Whether the difference stands after the correction for many comparisons, at 5 %."""
        return self.adjusted_p < 0.05

    @property
    def noise(self) -> str:
        """What the difference was held against, in words."""
        return f"{self.seeds} seeds" if self.same_settings else f"{self.seeds} seeds and over the settings tried"


@dataclasses.dataclass(frozen=True)
class Comparisons:
    """Every strategy of every compared parameter.

    Attributes:
        strategies: Parameter to its choices, the best first; only where at least two have results.
        differences: The clearest first.
        skipped: Pairs `parameter: one and other` with too few sets to be told from the luck of the search.
    """

    strategies: dict[str, list[Strategy]]
    differences: list[Difference]
    skipped: list[str]


def compared_keys(definition: SweepDefinition) -> list[str]:
    """The parameters whose choices are strategies: categorical, and with one domain in the whole space."""
    every = [parameter.key for parameter in definition.space.parameters]
    return [
        parameter.key
        for parameter in definition.space.parameters
        if isinstance(parameter.domain.distribution, CategoricalDistribution)
        and every.count(parameter.key) == 1
        and len(parameter.domain.distribution.choices) > 1
    ]


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
    sign = _sign(objective)
    found: list[Strategy] = []
    for choice, members in by_choice.items():
        best = best_set(members, objective)
        assert best is not None, "a choice is listed only with a set"
        reached = sign * float(tuned(_values(members, sign)).mean()) if seeds > 1 else None
        found.append(Strategy(choice, tuple(members), best, reached))
    return sorted(found, key=lambda strategy: -sign * strategy.best.mean)


def compare(sets: Sequence[ParameterSet], definition: SweepDefinition) -> Comparisons:
    """Every strategy of every compared parameter, and all differences corrected together."""
    objective = definition.objectives[0]
    found: dict[str, list[Strategy]] = {}
    differences: list[Difference] = []
    skipped: list[str] = []
    for key in compared_keys(definition):
        ranked = strategies(sets, key, objective=objective, seeds=definition.seeds)
        if len(ranked) < 2:
            continue
        found[key] = ranked
        own = _depending(key, definition)
        for position, one in enumerate(ranked if definition.seeds > 1 else []):
            for other in ranked[position + 1 :]:
                same = _settings(one, without=own) == _settings(other, without=own)
                if same or min(len(one.sets), len(other.sets)) >= FEWEST_SETS:
                    differences.append(_difference(key, one, other, same=same, sign=_sign(objective)))
                else:
                    skipped.append(f"{key}: {one.choice} and {other.choice}")
    adjusted = holm([each.adjusted_p for each in differences])
    corrected = [dataclasses.replace(each, adjusted_p=p) for each, p in zip(differences, adjusted, strict=True)]
    return Comparisons(found, sorted(corrected, key=lambda each: each.adjusted_p), skipped)


def _difference(parameter: str, one: Strategy, other: Strategy, *, same: bool, sign: int) -> Difference:
    found = tuned_difference(_values(one.sets, sign), _values(other.sets, sign), same_settings=same)
    # Values were turned so that greater is better: a negative difference means that the other one leads.
    flip = found.difference < 0
    ends = sorted((sign * (-1 if flip else 1) * found.lower, sign * (-1 if flip else 1) * found.upper))
    return Difference(
        parameter=parameter,
        first=other.choice if flip else one.choice,
        second=one.choice if flip else other.choice,
        difference=sign * abs(found.difference),
        lower=ends[0],
        upper=ends[1],
        adjusted_p=found.p_value,
        seeds=len(one.sets[0].by_seed),
        same_settings=same,
    )


def _sign(objective: Objective) -> int:
    return 1 if objective.direction == "maximize" else -1


def _values(sets: Sequence[ParameterSet], sign: int) -> NDArray[np.float64]:
    """`(sets, seeds)`, greater is better, seeds in order."""
    return sign * np.array([[each.by_seed[seed] for seed in sorted(each.by_seed)] for each in sets])


def _depending(key: str, definition: SweepDefinition) -> set[str]:
    """`key` and the parameters that exist only under one of its choices."""
    conditional = {
        parameter.key
        for parameter in definition.space.parameters
        if any(condition.key == key for condition in parameter.when)
    }
    return {key, *conditional}


def _settings(strategy: Strategy, *, without: set[str]) -> set[frozenset[tuple[str, str]]]:
    return {
        frozenset((key, repr(value)) for key, value in each.params.items() if key not in without)
        for each in strategy.sets
    }
