"""The search space: parameters over any config key or group, conditions between them, and the overrides of one trial.

The grammar of one parameter is in `sweeps.grammar`; this module knows which parameters exist together.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import optuna
from optuna.distributions import CategoricalDistribution

from nines.errors import SweepError, nearest
from sweeps.grammar import Domain, parse_domain
from sweeps.trial import ParameterValue

Values: TypeAlias = dict[str, ParameterValue]


@dataclasses.dataclass(frozen=True)
class Condition:
    """A parameter exists only where config key `key` has one of `values`."""

    key: str
    values: tuple[ParameterValue, ...]

    def __str__(self) -> str:
        return f"{self.key}={','.join(str(value) for value in self.values)}"

    def excludes(self, other: Condition) -> bool:
        """Whether the two can never hold together."""
        return self.key == other.key and not set(self.values) & set(other.values)


@dataclasses.dataclass(frozen=True)
class Parameter:
    """One parameter of the space.

    Attributes:
        key: Config key or group that it sets.
        name: Name in the study: the key, and its conditions too where the key appears more than once.
        domain: The values that it may take.
        when: All of these must hold for it to exist.
    """

    key: str
    name: str
    domain: Domain
    when: tuple[Condition, ...] = ()

    def exists(self, values: Mapping[str, ParameterValue]) -> bool:
        """Whether it exists beside the `values` of earlier parameters."""
        return all(condition.key in values and values[condition.key] in condition.values for condition in self.when)


@dataclasses.dataclass(frozen=True)
class Space:
    """Parameters in an order in which every condition refers to an earlier one, and the YAML that they came from."""

    parameters: tuple[Parameter, ...]
    parameters_source: Mapping[str, Any]
    conditions_source: Mapping[str, Any]

    def suggest(self, trial: optuna.trial.BaseTrial) -> Values:
        """Let the sampler choose a value for every parameter that exists; keys in the order of the space."""
        values: Values = {}
        for parameter in self.parameters:
            if not parameter.exists(values):
                continue
            if parameter.domain.fixed is not None:
                values[parameter.key] = parameter.domain.distribution.to_external_repr(0)
            else:
                values[parameter.key] = _suggest(trial, parameter)
        return values

    def values(self, names: Mapping[str, Any]) -> Values:
        """The parameters of a stored trial, by config key instead of by name in the study."""
        keys = {parameter.name: parameter.key for parameter in self.parameters}
        return {keys.get(name, name): value for name, value in names.items()}

    def names(self, values: Mapping[str, ParameterValue]) -> dict[str, ParameterValue]:
        """The opposite of `values`: what to store in the study to fix these values."""
        return {
            parameter.name: values[parameter.key]
            for parameter in self.parameters
            if parameter.domain.fixed is None and parameter.key in values and parameter.exists(values)
        }

    def overrides(self, values: Mapping[str, ParameterValue]) -> list[str]:
        """`values` as Hydra overrides, in the order of the space, so that equal values give equal text."""
        lines: list[str] = []
        for parameter in self.parameters:
            if not parameter.exists(values):
                continue
            if parameter.domain.fixed is not None:
                lines.append(f"{parameter.key}={parameter.domain.fixed}")
            elif parameter.key in values:
                lines.append(f"{parameter.key}={parameter.domain.text(values[parameter.key])}")
        return lines

    def grid(self, *, points: int = 3) -> list[Values]:
        """Every combination, parameters that do not exist left out; `points` values for each continuous interval."""
        return list(self._extend({}, 0, points))

    def examples(self) -> list[Values]:
        """Few combinations that show every choice of every parameter at least once, to validate them cheaply.

        Of an interval the two ends are shown.
        """
        unseen = {parameter.name: parameter.domain.grid(2) for parameter in self.parameters}
        chosen: list[Values] = []
        for parameter in self.parameters:
            while unseen[parameter.name]:
                chosen.append(self._example(parameter, unseen))
        return chosen

    def _example(self, wanted: Parameter, unseen: dict[str, list[ParameterValue]]) -> Values:
        """A combination with a value of `wanted` that was not shown yet, and of the others too where there is one."""
        required = self._required(wanted)
        values: Values = {}
        for parameter in self.parameters:
            if not parameter.exists(values):
                continue
            new = unseen[parameter.name]
            if parameter is not wanted and parameter.key in required:
                values[parameter.key] = required[parameter.key]
            else:
                values[parameter.key] = new[0] if new else parameter.domain.grid(2)[0]
            if values[parameter.key] in new:
                new.remove(values[parameter.key])
        return values

    def _required(self, wanted: Parameter) -> Values:
        """What other parameters must be for `wanted` to exist, and what those in turn require."""
        required: Values = {}
        for condition in wanted.when:
            for provider in self.parameters:
                fitting = [value for value in provider.domain.grid(2) if value in condition.values]
                if provider.key == condition.key and fitting:
                    required |= {**self._required(provider), condition.key: fitting[0]}
                    break
        return required

    def _extend(self, values: Values, position: int, points: int) -> Iterator[Values]:
        if position == len(self.parameters):
            yield values
            return
        parameter = self.parameters[position]
        if not parameter.exists(values):
            yield from self._extend(values, position + 1, points)
            return
        for value in parameter.domain.grid(points):
            yield from self._extend({**values, parameter.key: value}, position + 1, points)


def parse_space(parameters: Mapping[str, Any], conditions: Mapping[str, Any] | None = None) -> Space:
    """Read a space from YAML.

    Args:
        parameters: Config key or group to a text in Hydra's override grammar.
        conditions: `key=value` or `key=value,value` to parameters that exist only then. An entry whose value is a
            mapping is a nested condition, which holds together with the one around it.

    Raises:
        SweepError: A key, form, bound or condition is wrong; the message names it and what would be valid.
    """
    found: list[Parameter] = []
    for key, source in parameters.items():
        found.append(Parameter(str(key), str(key), parse_domain(str(key), source, where=f"space.{key}")))
    for text, body in (conditions or {}).items():
        _read_condition(str(text), body, outer=(), found=found, where="conditions")
    if not found:
        raise SweepError("space: no parameter to sweep over; add one, such as `imbalance: choice(none, focal)`")
    return Space(_named(found), dict(parameters), dict(conditions or {}))


def _read_condition(text: str, body: Any, *, outer: tuple[Condition, ...], found: list[Parameter], where: str) -> None:
    where = f"{where}.{text}"
    if not isinstance(body, Mapping):
        raise SweepError(f"{where}: expected parameters under the condition, found {body!r}")
    when = (*outer, _parse_condition(text, found=found, where=where))
    for key, source in body.items():
        if isinstance(source, Mapping):
            _read_condition(str(key), source, outer=when, found=found, where=where)
        else:
            domain = parse_domain(str(key), source, where=f"{where}.{key}", constant=True)
            found.append(Parameter(str(key), str(key), domain, when))


def _parse_condition(text: str, *, found: list[Parameter], where: str) -> Condition:
    if "=" not in text:
        raise SweepError(f"{where}: a condition reads key=value or key=value,value, such as clipping=norm")
    key, _, right = text.partition("=")
    known = [parameter for parameter in found if parameter.key == key]
    if not known:
        raise SweepError(f"{where}: no parameter {key!r} comes before it; {nearest(key, [p.key for p in found])}")
    domain = parse_domain(key, right, where=where, constant=True)
    assert isinstance(domain.distribution, CategoricalDistribution)
    for value in domain.distribution.choices:
        # Numbers can be conditions only where they are choices: nothing hits one value of an interval.
        choices = [choice for parameter in known for choice in parameter.domain.grid(2)]
        if not all(isinstance(parameter.domain.distribution, CategoricalDistribution) for parameter in known):
            raise SweepError(f"{where}: {key} is no choice, so no condition can hold; write it as choice(...)")
        if value not in choices:
            raise SweepError(f"{where}: {key} is never {value!r}; {nearest(str(value), [str(c) for c in choices])}")
    return Condition(key, tuple(domain.distribution.choices))


def _named(found: list[Parameter]) -> tuple[Parameter, ...]:
    """Give each parameter a name of its own, and refuse two that would set the same key in the same trial."""
    named: list[Parameter] = []
    for index, parameter in enumerate(found):
        twins = [other for position, other in enumerate(found) if other.key == parameter.key and position != index]
        for twin in twins:
            if not any(mine.excludes(theirs) for mine in parameter.when for theirs in twin.when):
                raise SweepError(f"space: {parameter.key} could be set twice in one trial; its conditions overlap")
        if twins:
            conditions = " and ".join(str(condition) for condition in parameter.when)
            named.append(dataclasses.replace(parameter, name=f"{parameter.key} when {conditions}"))
        else:
            named.append(parameter)
    return tuple(named)


def _suggest(trial: optuna.trial.BaseTrial, parameter: Parameter) -> ParameterValue:
    distribution = parameter.domain.distribution
    if isinstance(distribution, CategoricalDistribution):
        value: ParameterValue = trial.suggest_categorical(parameter.name, distribution.choices)
        return value
    if isinstance(distribution, optuna.distributions.IntDistribution):
        return trial.suggest_int(
            parameter.name, distribution.low, distribution.high, step=distribution.step, log=distribution.log
        )
    assert isinstance(distribution, optuna.distributions.FloatDistribution)
    return trial.suggest_float(
        parameter.name, distribution.low, distribution.high, step=distribution.step, log=distribution.log
    )
