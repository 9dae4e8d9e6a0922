"""The table that ends a sweep in the terminal: every trial on one line, the best first."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from sweeps.definition import SweepDefinition
from sweeps.records import best_record, trial_name
from sweeps.report.results import completed, current, format_seconds, format_value, varying_keys
from sweeps.trial import TrialRecord

STATE_STYLES = {
    "completed": "green",
    "running": "cyan",
    "waiting": "dim",
    "interrupted": "yellow",
    "pruned": "dim",
    "failed": "red",
}


def ranked(records: Sequence[TrialRecord], definition: SweepDefinition) -> list[TrialRecord]:
    """Current rows: completed ones from best to worst by the first objective, then the others by number."""
    objective = definition.objectives[0]
    done = sorted(
        completed(records),
        key=lambda record: -_value(record) if objective.direction == "maximize" else _value(record),
    )
    numbers = {record.number for record in done}
    return [*done, *(record for record in current(records) if record.number not in numbers)]


def summary_table(records: Sequence[TrialRecord], definition: SweepDefinition, *, limit: int | None = None) -> Table:
    """The trials as a table for the terminal.

    Args:
        records: All rows of the study; those that a retry replaces are left out.
        definition: Names the objectives and orders the parameters.
        limit: Most rows to show, the best ones; the caption says how many there are. None shows all.
    """
    rows = ranked(records, definition)
    shown = rows if limit is None else rows[:limit]
    names = varying_keys(rows, definition) if len(rows) > 1 else [key for record in rows for key in record.params]
    notes = {record.number: record.reason for record in shown if record.state in {"failed", "interrupted"}}
    table = Table(caption=_caption(rows, len(shown)), box=SIMPLE_HEAD)
    table.add_column("trial", justify="right")
    if definition.seeds > 1:
        table.add_column("set/seed", justify="right")
    table.add_column("state", no_wrap=True)
    for objective in definition.objectives:
        arrow = "↑" if objective.direction == "maximize" else "↓"
        table.add_column(f"{objective.metric.rpartition('/')[2]} {arrow}", justify="right", min_width=8)
    table.add_column("time", justify="right", no_wrap=True)
    # One column for all: a column each would leave five characters to a value on eighty columns.
    table.add_column("parameters", overflow="fold")
    short = dict(zip(names, shortest_names(names), strict=True))
    if any(notes.values()):
        table.add_column("note", overflow="fold")
    chosen = best_record(records, objective=definition.objectives[0])
    for record in shown:
        best = chosen is not None and record.number == chosen.number
        cells = [trial_name(record)]
        if definition.seeds > 1:
            cells.append(f"{record.group}/{record.seed}")
        cells.append(record.state)
        cells += [_objective(record, index) for index in range(len(definition.objectives))]
        cells.append(format_seconds(record.seconds))
        cells.append(
            " ".join(f"{short[name]}={format_value(record.params[name])}" for name in names if name in record.params)
        )
        if any(notes.values()):
            cells.append(notes.get(record.number, ""))
        style = "bold" if best else ""
        # Text and not markup: a reason or a value may hold square brackets.
        texts = [Text(cell, style=style) for cell in cells]
        texts[2 if definition.seeds > 1 else 1].stylize(STATE_STYLES[record.state])
        table.add_row(*texts)
    return table


def shortest_names(keys: Sequence[str]) -> list[str]:
    """The last parts of dotted keys, as few as tell them apart: eighty columns hold few of the full ones.

    >>> shortest_names(["module.optimizer.lr", "clipping", "module.clipping.max_norm"])
    ['lr', 'clipping', 'max_norm']
    """

    def last(key: str, parts: int) -> str:
        return ".".join(key.split(".")[-parts:])

    return [
        next(
            last(key, parts)
            for parts in range(1, key.count(".") + 2)
            if parts > key.count(".") or [last(other, parts) for other in keys].count(last(key, parts)) == 1
        )
        for key in keys
    ]


def _value(record: TrialRecord) -> float:
    value = record.value
    assert value is not None, "only completed rows are ranked"
    return value


def _objective(record: TrialRecord, index: int) -> str:
    if record.values is not None and index < len(record.values):
        return f"{record.values[index]:.4f}"
    if index == 0 and record.intermediate_values:
        return f"({record.intermediate_values[max(record.intermediate_values)]:.4f})"
    return ""


def _caption(rows: Sequence[TrialRecord], shown: int) -> str:
    counts: dict[str, int] = {}
    for record in rows:
        counts[record.state] = counts.get(record.state, 0) + 1
    parts = ", ".join(f"{count} {state}" for state, count in sorted(counts.items())) or "no trial yet"
    hidden = f"; the best {shown} of {len(rows)} are shown" if shown < len(rows) else ""
    return f"{parts}{hidden}. A value in parentheses is not final."
