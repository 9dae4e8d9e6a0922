"""Tables of the page: the trials, the strategies with their intervals, and the differences between them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from sweeps.definition import SweepDefinition
from sweeps.records import best_record
from sweeps.report.comparisons import Difference, Strategy
from sweeps.report.figures import last_value
from sweeps.report.intervals import MeanInterval, mean_interval
from sweeps.report.results import current, format_seconds, format_value, keys
from sweeps.report.summary import ranked
from sweeps.trial import TrialRecord


def cell(text: str, *, value: float | None = None, classes: str = "") -> str:
    """A table cell; `value` is what it is sorted by and aligns it as a number."""
    names = " ".join(name for name in (classes, "number" if value is not None else "") if name)
    attributes = (f' class="{names}"' if names else "") + (f' data-value="{value!r}"' if value is not None else "")
    return f"<td{attributes}>{escape(text)}</td>"


def table(heads: Sequence[str], rows: Sequence[str], *, caption: str = "") -> str:
    """A table whose columns are sorted by a click; `rows` are `<tr>` elements."""
    head = "".join(f'<th><button title="sort by this column">{escape(name)}</button></th>' for name in heads)
    note = f'<p class="quiet">{escape(caption)}</p>' if caption else ""
    body = "".join(rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{note}'


def trials_table(records: Sequence[TrialRecord], definition: SweepDefinition) -> str:
    """Every current row, the best first."""
    rows = ranked(records, definition)
    names = keys(rows, definition)
    seeds = definition.seeds > 1
    heads = ["trial", *(["set", "seed"] if seeds else []), "state"]
    heads += [
        f"{objective.metric} {'↑' if objective.direction == 'maximize' else '↓'}" for objective in definition.objectives
    ]
    heads += [*names, "time", "steps", "note"]
    lines: list[str] = []
    chosen = best_record(records, objective=definition.objectives[0])
    for record in rows:
        cells = [cell(str(record.number), value=record.number)]
        if seeds:
            cells += [cell(str(record.group), value=record.group), cell(str(record.seed), value=record.seed)]
        cells.append(cell(record.state, classes="failed" if record.state == "failed" else ""))
        cells += [_objective_cell(record, index) for index in range(len(definition.objectives))]
        for name in names:
            value = record.params.get(name, "")
            numeric = isinstance(value, int | float) and not isinstance(value, bool)
            cells.append(cell(format_value(value), value=float(value) if numeric else None))  # type: ignore[arg-type]
        cells.append(cell(format_seconds(record.seconds), value=record.seconds))
        step = max(record.intermediate_values, default=None)
        cells.append(cell("" if step is None else str(step), value=step))
        cells.append(cell(record.reason, classes="note"))
        best = ' class="best"' if chosen is not None and record.number == chosen.number else ""
        lines.append(f"<tr{best}>{''.join(cells)}</tr>")
    retried = len(records) - len(current(records))
    note = "A value in parentheses is the last one reported, not a result. Click a column to sort by it."
    if retried:
        note += f" Rows that a retry replaces ({retried}) are left out here and listed in the CSV file."
    return table(heads, lines, caption=note)


def strategies_table(compared: Sequence[Strategy], *, name: str) -> str:
    """The choices of one parameter: sets, best mean with its interval, and the mean of the tuned values."""
    lines: list[str] = []
    for strategy in compared:
        best = mean_interval(list(strategy.best.by_seed.values()))
        average = math.fsum(each.mean for each in strategy.sets) / len(strategy.sets)
        lines.append(
            "<tr>"
            + cell(format_value(strategy.choice))
            + cell(str(len(strategy.sets)), value=len(strategy.sets))
            + cell(str(best.count), value=best.count)
            + cell(_with_interval(best), value=best.mean)
            + (cell("–") if strategy.tuned is None else cell(f"{strategy.tuned:.4f}", value=strategy.tuned))
            + cell(f"{average:.4f}", value=average)
            + "</tr>"
        )
    heads = [name, "sets", "seeds", "best set: mean (95 % over seeds)", "tuned, unbiased", "mean of all sets"]
    return table(heads, lines)


def differences_table(found: Sequence[Difference]) -> str:
    """Every comparison with its interval and its corrected p-value."""
    lines = [
        "<tr>"
        + cell(each.parameter)
        + cell(f"{format_value(each.first)} − {format_value(each.second)}")
        + cell(f"{each.difference:+.4f}", value=each.difference)
        + cell(f"{each.lower:+.4f} to {each.upper:+.4f}")
        + cell(each.noise)
        + cell("< 0.001" if each.adjusted_p < 0.001 else f"{each.adjusted_p:.3f}", value=each.adjusted_p)
        + cell("yes" if each.larger_than_noise else "no")
        + "</tr>"
        for each in found
    ]
    heads = ["parameter", "choices", "difference", "95 % interval", "noise over", "p (Holm)", "larger than the noise"]
    return table(heads, lines)


def strategies_tables(found: Mapping[str, Sequence[Strategy]]) -> str:
    """One table for each compared parameter."""
    return "".join(
        f"<h3>{escape(key)}</h3>{strategies_table(compared, name='choice')}" for key, compared in found.items()
    )


def _with_interval(interval: MeanInterval) -> str:
    if interval.count < 2:
        return f"{interval.mean:.4f} (one seed, no interval)"
    return f"{interval.mean:.4f} ({interval.lower:.4f} to {interval.upper:.4f})"


def _objective_cell(record: TrialRecord, index: int) -> str:
    if record.state == "completed" and record.values is not None and index < len(record.values):
        return cell(f"{record.values[index]:.4f}", value=record.values[index])
    reported = last_value(record) if index == 0 else None
    return cell("") if reported is None else cell(f"({reported:.4f})", value=reported)
