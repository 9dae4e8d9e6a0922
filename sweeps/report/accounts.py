"""What did not complete: which trials were pruned, against what, and which failed, with their last words."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence

from sweeps.definition import Objective
from sweeps.report.results import current
from sweeps.trial import TrialRecord


@dataclasses.dataclass(frozen=True)
class Pruned:
    """A pruned trial beside the others at the step where it stopped.

    Attributes:
        record: The trial.
        step: Last step at which it reported, None when it never did.
        value: What it reported there.
        others: Number of other trials that reported at that step.
        best: The best of their values there, None without any.
        median: The median of their values there, None without any.
    """

    record: TrialRecord
    step: int | None
    value: float | None
    others: int
    best: float | None
    median: float | None

    def sentence(self, objective: Objective) -> str:
        """What happened, in one sentence."""
        if self.step is None or self.value is None:
            return "It reported no value before it was pruned."
        here = f"At step {self.step} it had {self.value:.4f}"
        if self.best is None or self.median is None:
            return f"{here}; no other trial reported at that step."
        rank = "below" if objective.better(self.median, self.value) else "not below"
        word = rank if objective.direction == "maximize" else rank.replace("below", "above")
        return (
            f"{here}, {word} the median {self.median:.4f} of the {self.others} other trial"
            f"{'s' if self.others > 1 else ''} at that step, of which the best had {self.best:.4f}."
        )


def pruned(records: Sequence[TrialRecord], objective: Objective) -> list[Pruned]:
    """Every pruned trial in order of its number."""
    rows = current(records)
    found: list[Pruned] = []
    for record in rows:
        if record.state != "pruned":
            continue
        step = max(record.intermediate_values) if record.intermediate_values else None
        value = None if step is None else record.intermediate_values[step]
        others = [
            other.intermediate_values[step]
            for other in rows
            if other.number != record.number and step is not None and step in other.intermediate_values
        ]
        best = (max(others) if objective.direction == "maximize" else min(others)) if others else None
        found.append(Pruned(record, step, value, len(others), best, statistics.median(others) if others else None))
    return found


def failed(records: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Every row that failed, those that were tried again too, in order of number."""
    return sorted((record for record in records if record.state == "failed"), key=lambda record: record.number)
