"""Figures of what the parameters do: importance, slices, learning rate × clipping."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from optuna.distributions import FloatDistribution, IntDistribution

from sweeps.definition import SweepDefinition
from sweeps.report.drawing import ACCENT, INK, PALETTE, new_figure
from sweeps.report.importance import Importance
from sweeps.report.results import ParameterSet, best_set, format_value

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LEARNING_RATE_BINS = 6
SLICE_COLUMNS = 3


def importance_figure(found: Sequence[Importance]) -> Figure | None:
    """Bars of the shares with the range over resampled sets; None without any."""
    if not found:
        return None
    figure, axes = new_figure(7.6, 0.9 + 0.34 * len(found))
    ordered = list(reversed(found))
    labels = [f"{each.key} (where {each.when})" if each.when else each.key for each in ordered]
    positions = range(len(ordered))
    axes.barh(positions, [each.share for each in ordered], color=ACCENT, height=0.55, alpha=0.75)
    axes.hlines(positions, [each.lower for each in ordered], [each.upper for each in ordered], color=INK, linewidth=1.3)
    axes.set_yticks(list(positions), labels)
    axes.set(xlabel="share of the explained variation, with its 90 % range over resampled sets", xlim=(0, 1))
    return figure


def slices(sets: Sequence[ParameterSet], keys: Sequence[str], definition: SweepDefinition) -> Figure | None:
    """For each parameter the objective of every set against its value; None without sets or varying parameters.

    Points are means over the seeds; a bar spans the lowest and highest seed.
    """
    if not sets or not keys:
        return None
    columns = min(SLICE_COLUMNS, len(keys))
    rows = math.ceil(len(keys) / columns)
    figure, grid = new_figure(
        max(2.75 * columns, 3.6), 2.5 * rows + 0.2, nrows=rows, ncols=columns, squeeze=False, sharey=True
    )
    best = best_set(sets, definition.objectives[0])
    for axes, key in zip(grid.flat, keys, strict=False):
        members = [each for each in sets if key in each.params]
        positions = _positions(axes, key, members, definition)
        for each, position in zip(members, positions, strict=True):
            values = list(each.by_seed.values())
            colour = PALETTE[1] if best is not None and each.group == best.group else ACCENT
            axes.vlines(position, min(values), max(values), color=colour, linewidth=1, alpha=0.6)
            axes.scatter([position], [each.mean], s=20, color=colour, zorder=3)
        axes.set_xlabel(key if len(key) < 32 else f"…{key[-30:]}")
    for axes in list(grid.flat)[len(keys) :]:
        axes.set_visible(False)
    for row in grid:
        row[0].set_ylabel(definition.objectives[0].metric)
    return figure


def learning_rate_key(sets: Sequence[ParameterSet]) -> str | None:
    """The parameter that is a learning rate, by the last part of its name."""
    return _key_ending(sets, ("lr", "learning_rate"))


def clipping_key(sets: Sequence[ParameterSet]) -> str | None:
    """The parameter that chooses the clipping strategy."""
    return _key_ending(sets, ("clipping",))


def learning_rate_by_clipping(sets: Sequence[ParameterSet], definition: SweepDefinition) -> Figure | None:
    """The best objective for each clipping strategy and bin of the learning rate; None unless the sweep has both."""
    rate_key, clip_key = learning_rate_key(sets), clipping_key(sets)
    members = [each for each in sets if rate_key in each.params and clip_key in each.params]
    if rate_key is None or clip_key is None or not members:
        return None
    rates = np.array([float(each.params[rate_key] or 0) for each in members])
    strategies = sorted({str(each.params[clip_key]) for each in members})
    if rates.min() <= 0 or len(set(rates)) < 2 or len(strategies) < 2:
        return None
    edges = _rate_edges(rates)
    count = len(edges) - 1
    columns = np.clip(np.searchsorted(edges, rates, side="right") - 1, 0, count - 1)
    figure, axes = new_figure(2.6 + 0.95 * count, 1.3 + 0.52 * len(strategies))
    cells = np.full((len(strategies), count), np.nan)
    numbers = np.zeros((len(strategies), count), dtype=int)
    for row, strategy in enumerate(strategies):
        for column in range(count):
            inside = [
                each
                for each, at in zip(members, columns, strict=True)
                if at == column and str(each.params[clip_key]) == strategy
            ]
            found = best_set(inside, definition.objectives[0])
            numbers[row, column] = len(inside)
            cells[row, column] = math.nan if found is None else found.mean
    image = axes.imshow(cells, aspect="auto", cmap="viridis", origin="lower")
    middle = (np.nanmin(cells) + np.nanmax(cells)) / 2
    for (row, column), value in np.ndenumerate(cells):
        if math.isnan(value):
            axes.text(column, row, "–", ha="center", va="center", color=INK, fontsize=8.5)
            continue
        text = f"{value:.3f}\n{numbers[row, column]} set{'s' if numbers[row, column] > 1 else ''}"
        axes.text(column, row, text, ha="center", va="center", color="black" if value > middle else "white", fontsize=8)
    axes.set_xticks(np.arange(count + 1) - 0.5, [f"{edge:.1e}" for edge in edges])
    axes.set_yticks(range(len(strategies)), strategies)
    axes.grid(visible=False)
    axes.set(xlabel=f"{rate_key} (bins of equal width in the logarithm)", ylabel=clip_key)
    bar = figure.colorbar(image, ax=axes, label=f"best {definition.objectives[0].metric}")
    bar.ax.yaxis.label.set_color(INK)
    bar.ax.tick_params(colors=INK, labelsize=8.5)
    bar.outline.set_visible(False)
    return figure


def _positions(axes: Axes, key: str, members: Sequence[ParameterSet], definition: SweepDefinition) -> list[float]:
    """Where the sets lie on the axis of `key`, which is set up for it: numbers on a scale, choices side by side."""
    values = [each.params[key] for each in members]
    declared = [parameter.domain.distribution for parameter in definition.space.parameters if parameter.key == key]
    numeric = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    ranges = [each for each in declared if isinstance(each, FloatDistribution | IntDistribution)]
    if len(numeric) == len(values) and len(ranges) == len(declared):
        if ranges and all(each.log for each in ranges) and min(numeric) > 0:
            axes.set_xscale("log")
        return [float(value) for value in numeric]
    choices = sorted({format_value(value) for value in values})
    longest = max((len(choice) for choice in choices), default=0)
    slanted = longest * len(choices) > 28
    axes.set_xticks(range(len(choices)), choices, rotation=35 if slanted else 0, ha="right" if slanted else "center")
    axes.set_xlim(-0.6, len(choices) - 0.4)
    seen: dict[str, int] = {}
    positions: list[float] = []
    for value in map(format_value, values):
        seen[value] = seen.get(value, 0) + 1
        # Spread by the golden ratio: even, the same in every report, and blind to the objective.
        positions.append(choices.index(value) + 0.5 * ((seen[value] * 0.618034) % 1 - 0.5))
    return positions


def _key_ending(sets: Sequence[ParameterSet], endings: Sequence[str]) -> str | None:
    present = {key for each in sets for key in each.params}
    matching = sorted(key for key in present if key.replace("/", ".").rsplit(".", 1)[-1] in endings)
    return matching[0] if matching else None


def _rate_edges(rates: np.ndarray[tuple[int], np.dtype[np.float64]]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Edges of the bins: one bin a value when there are few values, else bins of equal width in the logarithm."""
    distinct = np.unique(rates)
    if len(distinct) <= LEARNING_RATE_BINS:
        between = np.sqrt(distinct[1:] * distinct[:-1])
        return np.concatenate([[distinct[0] ** 2 / between[0]], between, [distinct[-1] ** 2 / between[-1]]])
    return np.geomspace(distinct[0], distinct[-1], LEARNING_RATE_BINS + 1)
