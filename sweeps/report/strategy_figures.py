"""Figures that compare the choices of a parameter: what each reached, and the differences with their intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from sweeps.definition import SweepDefinition
from sweeps.report.comparisons import Difference, Strategy
from sweeps.report.drawing import ACCENT, INK, PALETTE, new_figure
from sweeps.report.figures import objective_label
from sweeps.report.intervals import mean_interval
from sweeps.report.results import format_value

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def strategies_figure(found: Mapping[str, Sequence[Strategy]], definition: SweepDefinition) -> Figure | None:
    """For each compared parameter every set of each choice, and the best set's 95 % interval over seeds."""
    if not found:
        return None
    heights = [0.34 * len(compared) + 0.75 for compared in found.values()]
    figure, grid = new_figure(
        7.6, sum(heights), nrows=len(found), ncols=1, squeeze=False, height_ratios=heights, sharex=True
    )
    every = [each.mean for compared in found.values() for one in compared for each in one.sets]
    for axes, (key, compared) in zip(grid.flat, found.items(), strict=True):
        for position, strategy in enumerate(reversed(compared)):
            means = [each.mean for each in strategy.sets]
            axes.scatter(means, [position] * len(means), s=14, color="none", edgecolor=INK, alpha=0.55, linewidth=0.8)
            interval = mean_interval(list(strategy.best.by_seed.values()))
            axes.scatter([interval.mean], [position], s=34, color=ACCENT, zorder=4)
            if math.isfinite(interval.lower):
                axes.hlines(position, interval.lower, interval.upper, color=ACCENT, linewidth=2, zorder=3)
        axes.set_yticks(range(len(compared)), [format_value(one.choice) for one in reversed(compared)])
        axes.set_ylim(-0.6, len(compared) - 0.4)
        axes.set_title(key, loc="left", color=INK, fontsize=9.5)
    # Two seeds give intervals of a hundred standard deviations, which would squeeze every point into one column.
    spread = max(max(every) - min(every), 1e-9)
    low, high = grid.flat[0].get_xlim()
    grid.flat[0].set_xlim(max(low, min(every) - spread), min(high, max(every) + spread))
    grid.flat[-1].set_xlabel(objective_label(definition.objectives[0]))
    return figure


def differences_figure(found: Sequence[Difference], definition: SweepDefinition) -> Figure | None:
    """The differences between tuned strategies with their intervals; those beyond the noise in colour."""
    if not found:
        return None
    figure, axes = new_figure(7.6, 0.9 + 0.3 * len(found))
    for position, each in enumerate(reversed(found)):
        colour = PALETTE[1] if each.larger_than_noise else INK
        axes.hlines(position, each.lower, each.upper, color=colour, linewidth=2)
        axes.scatter([each.difference], [position], s=24, color=colour, zorder=3)
    axes.axvline(0, color=INK, linewidth=0.8, linestyle=":")
    labels = [f"{each.parameter}: {format_value(each.first)} − {format_value(each.second)}" for each in reversed(found)]
    axes.set_yticks(range(len(found)), labels)
    axes.set_xlabel(f"difference in {definition.objectives[0].metric} with its 95 % interval")
    return figure
