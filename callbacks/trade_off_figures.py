"""Plots of `nines calibrate`: misses against acceptance with bands, and calibration before and after the map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from callbacks.rendering import add_caption, add_legend, new_figure


def draw_trade_off(curve: Mapping[str, Any], *, threshold: float, split: str) -> Figure:
    """False negative rate against acceptance, a log axis for the misses.

    Args:
        curve: What `nines.statistics.trade_off.TradeOff.as_json` gave.
        threshold: The threshold to mark.
        split: Name of the split for the title.
    """
    figure = new_figure(
        height=5.2, title=f"{split}, {curve['population']}: what the filter misses, and what it accepts"
    )
    axes = figure.subplots()
    acceptance, misses = curve["acceptance"], curve["false_negative_rate"]
    x, y = np.array(acceptance["estimate"]), np.array(misses["estimate"])
    lower, upper = np.array(misses["lower"]), np.array(misses["upper"])
    floor = max(float(upper.min()) / 10, 1e-7)
    axes.fill_between(x, np.maximum(lower, floor), upper, color="#0072B2", alpha=0.2, label="95 % band, pointwise")
    axes.step(x, np.maximum(y, floor), where="post", color="#0072B2", label="false negative rate")
    place = min(int(np.searchsorted(curve["thresholds"], threshold)), len(x) - 1)
    axes.plot([acceptance["lower"][place], acceptance["upper"][place]], [max(y[place], floor)] * 2, color="#D55E00")
    axes.plot([x[place]] * 2, [max(lower[place], floor), upper[place]], color="#D55E00")
    axes.plot([x[place]], [max(y[place], floor)], "o", color="#D55E00", label=f"threshold {threshold:.3g}")
    axes.set(yscale="log", xlim=(-0.01, 1.01), ylim=(floor, 1.1))
    axes.set(xlabel="share of all completions accepted", ylabel="share of injurious ones accepted (log10)")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
    axes.grid(visible=True, alpha=0.3)
    add_legend(axes)
    add_caption(
        figure,
        f"{curve['injurious']} injurious rows. A rate of zero is drawn at the lower edge: the band shows what it may "
        "be. The band holds at a threshold fixed beforehand; one picked from this curve does worse than it looks. "
        "Look for: how low the band's upper edge comes before acceptance falls.",
    )
    return figure


def draw_quality(
    curve: Mapping[str, Any], quality: Sequence[Mapping[str, Any]], *, threshold: float, split: str
) -> Figure:
    """Quality of the filtered policy against its false negative rate, from strict to lax.

    Args:
        curve: What `nines.statistics.trade_off.TradeOff.as_json` gave.
        quality: Estimates by threshold, as JSON.
        threshold: The threshold to mark.
        split: Name of the split for the title.
    """
    figure = new_figure(height=5.2, title=f"{split}, {curve['population']}: what safety costs in quality")
    axes = figure.subplots()
    places = np.clip(
        np.searchsorted(curve["thresholds"], [one["threshold"] for one in quality]), 0, len(curve["thresholds"]) - 1
    )
    x = np.array(curve["false_negative_rate"]["estimate"])[places]
    lower, upper = (np.array([one[name] for one in quality]) for name in ("lower", "upper"))
    axes.fill_between(x, lower, upper, step="post", color="#0072B2", alpha=0.2, label="interval, pointwise")
    axes.step(x, [one["estimate"] for one in quality], where="post", color="#0072B2", label="quality")
    chosen = min(range(len(quality)), key=lambda place: abs(quality[place]["threshold"] - threshold))
    axes.plot([x[chosen]], [quality[chosen]["estimate"]], "o", color="#D55E00", label=f"threshold {threshold:.3g}")
    axes.axhline(0.5, color="#999999", linestyle=":", linewidth=1)
    axes.set(
        xlabel="share of injurious completions accepted", ylabel="P(filtered better) + ½ P(tie)", xlim=(-0.01, 1.01)
    )
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
    axes.grid(visible=True, alpha=0.3)
    add_legend(axes)
    add_caption(
        figure,
        "Dotted: as good as unfiltered. First accepted within as many tries as completions were drawn for a prompt; "
        "giving up counts as lost. Look for: how far left the curve stays up.",
    )
    return figure


def draw_reliability(diagrams: Mapping[str, Any], *, split: str, population: str) -> Figure:
    """Observed against predicted share in bins of equal weight, on log axes, for raw scores and after the map.

    Args:
        diagrams: `before` and `after`: bins of `nines.statistics.reliability_diagram` as JSON, None for no map.
        split: Name of the split for the title.
        population: Name of the population for the title.
    """
    shown = [
        (name, bins) for name, bins in (("raw scores", diagrams["before"]), ("calibrated", diagrams["after"])) if bins
    ]
    figure = new_figure(height=5.0, width=5.0 * len(shown), title=f"{split}, {population}: calibration")
    panels = figure.subplots(1, len(shown), squeeze=False)[0]
    floor = 1e-4
    for axes, (name, bins) in zip(panels, shown, strict=True):
        axes.plot([floor, 1], [floor, 1], color="#999999", linestyle=":", linewidth=1)
        for one in bins:
            observed, x = one["observed"], max(one["predicted"], floor)
            axes.plot(
                [x, x], [max(observed["lower"], floor), max(observed["upper"], floor)], color="#0072B2", alpha=0.6
            )
            if observed["estimate"] > 0:
                axes.plot([x], [max(observed["estimate"], floor)], "o", color="#0072B2", markersize=6)
            else:
                axes.plot([x], [observed["upper"]], "v", color="#0072B2", markersize=8, markerfacecolor="white")
        axes.set(xscale="log", yscale="log", xlim=(floor / 1.5, 1.3), ylim=(floor / 1.5, 1.3), title=name)
        axes.set(xlabel="mean P(injurious) in the bin (log10)", ylabel="observed share of injurious (log10)")
    add_caption(
        figure,
        "Bins of equal weight with 95 % intervals, clustered by prompt. Open triangles: no injurious row in the bin, "
        "drawn at the interval's upper bound. Calibrated: cross-fitted by prompt. Look for: intervals that miss the "
        "diagonal.",
    )
    return figure
