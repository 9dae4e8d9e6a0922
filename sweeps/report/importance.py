"""How much of the objective's variation each parameter explains, with the range over resampled sets.

Functional ANOVA (Hutter, Hoos and Leyton-Brown 2014) as Optuna implements it, on the means over seeds. A parameter that
exists only under a condition is judged among the sets that have it, beside those that every one of these has.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from sweeps.definition import SweepDefinition
from sweeps.report.results import ParameterSet
from sweeps.trial import ParameterValue

# Below these a forest of regression trees describes the noise.
FEWEST_SETS = 10
SETS_PER_PARAMETER = 3
TREES = 24
RESAMPLES = 24


@dataclasses.dataclass(frozen=True)
class Importance:
    """The importance of one parameter.

    Attributes:
        key: Config key or group.
        share: Share of the explained variation, in [0, 1].
        lower: 5 % quantile of the share over resampled sets.
        upper: 95 % quantile.
        first: Share of the resamples in which no other parameter of its family is more important, in [0, 1].
        sets: Number of sets of parameters that it is based on.
        when: The condition under which the parameter exists, empty when always.
    """

    key: str
    share: float
    lower: float
    upper: float
    first: float
    sets: int
    when: str = ""


@dataclasses.dataclass(frozen=True)
class Importances:
    """Importances of the parameters that always exist, of those that do not, and one sentence for each refusal."""

    always: tuple[Importance, ...]
    conditional: tuple[Importance, ...]
    refusals: tuple[str, ...]


def importances(sets: Sequence[ParameterSet], definition: SweepDefinition, *, seed: int = 0) -> Importances:
    """The importance of every parameter of the space for the first objective.

    Args:
        sets: Sets with their results; a set counts once, with its mean over seeds.
        definition: Names the parameters, their domains and their conditions.
        seed: Of the forests and of the resampling.
    """
    keys = list(dict.fromkeys(parameter.key for parameter in definition.space.parameters))
    always = [key for key in keys if sets and all(key in each.params for each in sets)]
    shares, refusal = _judge(always, sets, definition, seed=seed)
    refusals = [refusal] if refusal else []
    conditional: list[Importance] = []
    for key in keys:
        members = [each for each in sets if key in each.params]
        if key in always or not members:
            continue
        beside = [other for other in keys if all(other in each.params for each in members)]
        found, refusal = _judge(beside, members, definition, seed=seed)
        when = " or ".join(_conditions(key, definition))
        conditional += [dataclasses.replace(each, when=when) for each in found if each.key == key]
        if refusal:
            refusals.append(f"{key}: {refusal}")
    return Importances(tuple(shares), tuple(conditional), tuple(refusals))


def _conditions(key: str, definition: SweepDefinition) -> list[str]:
    return [
        " and ".join(str(condition) for condition in parameter.when)
        for parameter in definition.space.parameters
        if parameter.key == key
    ]


def _judge(
    keys: Sequence[str], sets: Sequence[ParameterSet], definition: SweepDefinition, *, seed: int
) -> tuple[list[Importance], str]:
    """Importances of `keys` among `sets`, the greatest first; or none and a sentence that says why."""
    varying = [key for key in keys if len({repr(each.params[key]) for each in sets}) > 1]
    needed = max(FEWEST_SETS, SETS_PER_PARAMETER * len(varying))
    if len(sets) < needed:
        return [], f"{len(sets)} completed sets of parameters are too few to judge importance; {needed} are needed."
    if len(varying) < 2:
        return [], "There is nothing to weigh: fewer than two parameters take more than one value."
    if len({each.mean for each in sets}) == 1:
        return [], "Every set reached the same value, so there is no variation to explain."
    domains = {key: _distribution(key, sets, definition) for key in varying}
    shares = _functional_anova(sets, domains, seed=seed)
    generator = np.random.default_rng(seed)
    resampled = [
        _functional_anova([sets[index] for index in generator.integers(len(sets), size=len(sets))], domains, seed=seed)
        for _ in range(RESAMPLES)
    ]
    found: list[Importance] = []
    for key, share in shares.items():
        drawn = [each[key] for each in resampled]
        first = sum(each[key] >= max(each.values()) for each in resampled) / RESAMPLES
        lower, upper = (float(bound) for bound in np.quantile(drawn, (0.05, 0.95)))
        found.append(Importance(key, share, lower, upper, first, len(sets)))
    return sorted(found, key=lambda each: -each.share), ""


def _functional_anova(
    sets: Sequence[ParameterSet], domains: dict[str, BaseDistribution], *, seed: int
) -> dict[str, float]:
    """Shares that sum to 1; all zero when the resampled sets do not vary."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    for each in sets:
        params = {key: _inside(each.params[key], domain) for key, domain in domains.items()}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=domains, value=each.mean))
    evaluator = optuna.importance.FanovaImportanceEvaluator(n_trees=TREES, seed=seed)
    if len({each.mean for each in sets}) == 1:
        return dict.fromkeys(domains, 0.0)
    raw = evaluator.evaluate(study, params=list(domains))
    total = math.fsum(raw.values())
    return {key: float(raw[key]) / total if total > 0 else 0.0 for key in domains}


def _inside(value: ParameterValue, domain: BaseDistribution) -> ParameterValue:
    return float(value) if isinstance(domain, FloatDistribution) and isinstance(value, int) else value


def _distribution(key: str, sets: Sequence[ParameterSet], definition: SweepDefinition) -> BaseDistribution:
    """The domain of `key`, widened to what the sets hold: one key may have a domain under each of two conditions."""
    declared = [parameter.domain.distribution for parameter in definition.space.parameters if parameter.key == key]
    values = [each.params[key] for each in sets]
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    ranges = [each for each in declared if isinstance(each, FloatDistribution | IntDistribution)]
    if len(ranges) < len(declared) or len(numbers) < len(values):
        return CategoricalDistribution(tuple(dict.fromkeys(values)))
    low = min([*numbers, *(each.low for each in ranges)])
    high = max([*numbers, *(each.high for each in ranges)])
    log = low > 0 and all(each.log for each in ranges)
    if all(isinstance(each, IntDistribution) for each in ranges) and all(isinstance(each, int) for each in numbers):
        return IntDistribution(int(low), int(high), log=log)
    return FloatDistribution(float(low), float(high), log=log)
