"""What counts as a result of a sweep: completed rows, gathered by set of parameters and by seed."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from sweeps.definition import Objective, SweepDefinition
from sweeps.trial import ParameterValue, TrialRecord


@dataclasses.dataclass(frozen=True)
class ParameterSet:
    """One set of parameters with its results.

    Attributes:
        group: Number of the set.
        params: Config key or group to value.
        by_seed: Seed to the value of one objective.
    """

    group: int
    params: dict[str, ParameterValue]
    by_seed: dict[int, float]

    @property
    def mean(self) -> float:
        """Mean over the seeds that completed."""
        return math.fsum(self.by_seed.values()) / len(self.by_seed)


def current(records: Sequence[TrialRecord]) -> list[TrialRecord]:
    """The rows that no later attempt replaces, in order of their number."""
    return sorted((record for record in records if not record.superseded), key=lambda record: record.number)


def completed(records: Sequence[TrialRecord], *, objective: int = 0) -> list[TrialRecord]:
    """Current rows that ended with a finite value of the objective at position `objective`.

    The values of pruned rows are left out: they were measured at an earlier step.
    """
    return [
        record
        for record in current(records)
        if record.state == "completed"
        and record.values is not None
        and len(record.values) > objective
        and math.isfinite(record.values[objective])
    ]


def parameter_sets(records: Sequence[TrialRecord], *, objective: int = 0) -> list[ParameterSet]:
    """Completed rows gathered by set of parameters, in order of the set's number; rows that belong to none left out."""
    sets: dict[int, ParameterSet] = {}
    for record in completed(records, objective=objective):
        if record.group < 0:
            continue
        assert record.values is not None
        found = sets.setdefault(record.group, ParameterSet(record.group, record.params, {}))
        found.by_seed[record.seed] = record.values[objective]
    return [sets[group] for group in sorted(sets)]


def best_set(sets: Sequence[ParameterSet], objective: Objective) -> ParameterSet | None:
    """The set with the best mean among those with the most seeds, the lower number in a tie; None when there is none.

    A set that lost a seed is left out because the seeds that were pruned or failed are the bad ones.
    """
    best: ParameterSet | None = None
    most = max((len(each.by_seed) for each in sets), default=0)
    for candidate in (each for each in sets if len(each.by_seed) == most):
        if best is None or objective.better(candidate.mean, best.mean):
            best = candidate
    return best


def best_so_far(records: Sequence[TrialRecord], objective: Objective) -> list[float]:
    """The best first objective up to and including each of `records`, which must be completed ones."""
    best: list[float] = []
    for record in records:
        value = record.value
        assert value is not None
        best.append(value if not best or objective.better(value, best[-1]) else best[-1])
    return best


def keys(records: Sequence[TrialRecord], definition: SweepDefinition) -> list[str]:
    """Every parameter that a row has, those of the space first and in its order."""
    present = {key for record in records for key in record.params}
    ordered = [parameter.key for parameter in definition.space.parameters if parameter.key in present]
    return list(dict.fromkeys([*ordered, *sorted(present)]))


def varying_keys(records: Sequence[TrialRecord], definition: SweepDefinition) -> list[str]:
    """The parameters with more than one value among `records`; one that is absent in some rows counts as varying."""
    return [key for key in keys(records, definition) if len({repr(record.params.get(key)) for record in records}) > 1]


def format_value(value: object) -> str:
    """A parameter or figure as a person writes it: four significant digits, no trailing zeros."""
    if isinstance(value, bool) or value is None:
        return str(value).lower() if isinstance(value, bool) else "none"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


def format_params(params: dict[str, ParameterValue]) -> str:
    """Parameters on one line, as overrides."""
    return " ".join(f"{key}={format_value(value)}" for key, value in params.items()) or "(no parameters)"


def format_seconds(seconds: float | None) -> str:
    """A duration such as `42 s`, `3 min 05 s` or `2 h 07 min`; a dash while unknown."""
    if seconds is None:
        return "–"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds) // 60
    if minutes < 60:
        return f"{minutes} min {round(seconds) % 60:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
