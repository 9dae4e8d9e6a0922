"""The trials as CSV: one line for each row of the study, retried attempts included."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from sweeps.definition import SweepDefinition
from sweeps.report.results import keys
from sweeps.trial import TrialRecord

FIXED = ("trial", "state", "set", "seed", "attempt", "retry_of", "superseded")
TRAILING = ("seconds", "started", "completed", "last_step", "last_value", "reason", "host", "folder")


def trials_csv(records: Sequence[TrialRecord], definition: SweepDefinition) -> str:
    """CSV text (RFC 4180, UTF-8) with a header; numbers are written in full and a missing value is an empty cell.

    Columns: `trial`, `state`, …, one for each parameter, one for each objective, one for each further final figure,
    then duration in seconds, times, last reported step and value, reason, host and run folder.
    """
    parameters = keys(records, definition)
    objectives = [objective.metric for objective in definition.objectives]
    metrics = sorted({name for record in records for name in record.metrics} - set(objectives))
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([*FIXED, *parameters, *objectives, *metrics, *TRAILING])
    for record in sorted(records, key=lambda each: each.number):
        # The value of a pruned row is no result; it stands under last_value.
        values = record.values if record.state == "completed" and record.values else ()
        last_step = max(record.intermediate_values, default=None)
        writer.writerow(
            [
                *(record.number, record.state, record.group, record.seed, record.attempt, record.retry_of),
                record.superseded,
                *(record.params.get(name) for name in parameters),
                *(values[index] if index < len(values) else None for index in range(len(objectives))),
                *(record.metrics.get(name) for name in metrics),
                record.seconds,
                record.started.isoformat() if record.started else None,
                record.completed.isoformat() if record.completed else None,
                last_step,
                None if last_step is None else record.intermediate_values[last_step],
                record.reason,
                record.host,
                record.folder,
            ]
        )
    return buffer.getvalue()
