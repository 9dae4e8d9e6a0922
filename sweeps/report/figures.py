"""Figures of the sweep's course: objective over trials and over time, learning curves, Pareto fronts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING

from sweeps.definition import Objective, SweepDefinition
from sweeps.report.drawing import ACCENT, INK, PALETTE, STATE_COLOURS, legend, new_figure
from sweeps.report.results import best_so_far, completed, current
from sweeps.trial import TrialRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Beyond this many curves only the best are coloured and named; the others stay as a background.
NAMED_CURVES = 5
TIME_UNITS = (("seconds", 1.0), ("minutes", 60.0), ("hours", 3600.0), ("days", 86400.0))


def objective_label(objective: Objective) -> str:
    """The metric and which way is better, for an axis."""
    return f"{objective.metric} ({'higher' if objective.direction == 'maximize' else 'lower'} is better)"


def last_value(record: TrialRecord) -> float | None:
    """The newest value of the first objective: the final one, or the last that was reported; None before the first."""
    value = record.value
    if value is None and record.intermediate_values:
        value = record.intermediate_values[max(record.intermediate_values)]
    return value if value is not None and math.isfinite(value) else None


def objective_over_trials(records: Sequence[TrialRecord], definition: SweepDefinition) -> Figure | None:
    """One point for each trial by state, and the best completed value so far; None without any value."""
    rows = [(record, value) for record in current(records) if (value := last_value(record)) is not None]
    if not rows:
        return None
    figure, axes = new_figure(7.6, 3.1)
    for state in STATE_COLOURS:
        points = [(record.number, value) for record, value in rows if record.state == state]
        if points:
            final = state == "completed"
            axes.scatter(
                *zip(*points, strict=True),
                s=26,
                label=state if final else f"{state} (last reported value)",
                color=STATE_COLOURS[state] if final else "none",
                edgecolor=STATE_COLOURS[state],
                marker="o" if final else {"pruned": "v", "failed": "X"}.get(state, "D"),
                zorder=3,
            )
    done = completed(records)
    if done:
        axes.step(
            [record.number for record in done],
            best_so_far(done, definition.objectives[0]),
            where="post",
            color=INK,
            linewidth=1.2,
            label="best so far",
        )
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlim(-0.7, max(record.number for record, _ in rows) + 0.7)
    axes.set(xlabel="trial", ylabel=objective_label(definition.objectives[0]))
    _outside_legend(axes)
    return figure


def objective_over_time(records: Sequence[TrialRecord], definition: SweepDefinition) -> Figure | None:
    """Completed trials by the time of their end, with the best so far; None with fewer than two of them."""
    timed = [(record.completed, record) for record in completed(records) if record.completed is not None]
    begun = [record.started for record in records if record.started is not None]
    if len(timed) < 2 or not begun:
        return None
    timed.sort(key=lambda pair: pair[0])
    done = [record for _, record in timed]
    seconds = [(end - min(begun)).total_seconds() for end, _ in timed]
    unit, length = next((pair for pair in TIME_UNITS if seconds[-1] <= 120 * pair[1]), TIME_UNITS[-1])
    moments = [each / length for each in seconds]
    figure, axes = new_figure(7.6, 2.8)
    axes.scatter(moments, [record.value for record in done], s=26, color=ACCENT, label="completed", zorder=3)
    best = best_so_far(done, definition.objectives[0])
    axes.step(moments, best, where="post", color=INK, linewidth=1.2, label="best so far")
    axes.set(xlabel=f"{unit} since the first trial started", ylabel=definition.objectives[0].metric, xlim=(0, None))
    _outside_legend(axes)
    return figure


def learning_curves(records: Sequence[TrialRecord], definition: SweepDefinition) -> Figure | None:
    """The first objective over steps, one line for each trial; None when no trial has reported."""
    rows = [record for record in current(records) if record.intermediate_values]
    if not rows:
        return None
    objective = definition.objectives[0]
    sign = -1 if objective.direction == "maximize" else 1
    ordered = sorted(rows, key=lambda record: _sort_key(last_value(record), sign))
    figure, axes = new_figure(7.6, 3.4)
    for rank, record in reversed(list(enumerate(ordered))):
        steps = sorted(record.intermediate_values)
        values = [record.intermediate_values[step] for step in steps]
        named = rank < NAMED_CURVES
        axes.plot(
            steps,
            values,
            color=PALETTE[rank] if named else INK,
            linewidth=1.6 if named else 0.8,
            alpha=1.0 if named else 0.3,
            marker="o" if len(steps) == 1 else None,
            markersize=3,
            linestyle="-" if record.state in ("completed", "running") else "--",
            label=f"trial {record.number}, {record.state}" if named else None,
        )
        if record.state in ("pruned", "failed"):
            axes.plot(steps[-1:], values[-1:], marker="v" if record.state == "pruned" else "X", markersize=5,
                      color=PALETTE[rank] if named else INK, alpha=1.0 if named else 0.45)  # fmt: skip
    axes.set(xlabel="step", ylabel=objective_label(objective))
    _outside_legend(axes, reverse=True)
    return figure


def pareto_front(points: Sequence[Sequence[float]], objectives: Sequence[Objective]) -> list[int]:
    """Positions of the points that no other point beats in one objective without losing in another."""
    signs = [1 if objective.direction == "maximize" else -1 for objective in objectives]
    oriented = [tuple(sign * value for sign, value in zip(signs, point, strict=True)) for point in points]

    def beats(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
        return one != other and all(mine >= theirs for mine, theirs in zip(one, other, strict=True))

    return [index for index, point in enumerate(oriented) if not any(beats(other, point) for other in oriented)]


def pareto_rows(records: Sequence[TrialRecord], definition: SweepDefinition) -> list[TrialRecord]:
    """The completed trials on the Pareto front of all objectives."""
    done = [record for record in completed(records) if record.values and all(map(math.isfinite, record.values))]
    front = pareto_front([record.values or () for record in done], definition.objectives)
    return [done[index] for index in front]


def pareto_figure(records: Sequence[TrialRecord], definition: SweepDefinition) -> Figure | None:
    """Every pair of objectives, the front drawn out; None with one objective or no completed trial."""
    objectives = definition.objectives
    done = [record for record in completed(records) if record.values and all(map(math.isfinite, record.values))]
    if len(objectives) < 2 or not done:
        return None
    front = {record.number for record in pareto_rows(records, definition)}
    pairs = list(combinations(range(len(objectives)), 2))
    figure, grid = new_figure(max(4.6 * len(pairs), 5.6), 3.4, nrows=1, ncols=len(pairs), squeeze=False)
    for axes, (first, second) in zip(grid[0], pairs, strict=True):
        for on_front in (False, True):
            points = [
                (record.values[first], record.values[second])
                for record in done
                if record.values and (record.number in front) == on_front
            ]
            if points:
                colour, label = (PALETTE[1], "on the front") if on_front else (ACCENT, "beaten")
                axes.scatter(*zip(*points, strict=True), s=34 if on_front else 20, color=colour, label=label, zorder=3)
        for record in done:
            if record.number in front and record.values:
                axes.annotate(str(record.number), (record.values[first], record.values[second]), color=INK, fontsize=8,
                              xytext=(4, 4), textcoords="offset points")  # fmt: skip
        axes.set(xlabel=objective_label(objectives[first]), ylabel=objective_label(objectives[second]))
        legend(axes)
    return figure


def _sort_key(value: float | None, sign: int) -> float:
    return math.inf if value is None else sign * value


def _outside_legend(axes: Axes, *, reverse: bool = False) -> None:
    legend(axes, loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0, reverse=reverse)
