"""The figures of the report: failures and quality by both verdicts, cost, learning curves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from apps.pipeline.curves import Curve
from sweeps.report.drawing import INK, PALETTE, legend, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

VERDICTS = {"judge": ("by the judge", PALETTE[0], "o"), "own": ("by its own models", PALETTE[1], "D")}
SIDE = 0.09
"""Distance of the two verdicts on one policy from its place on the axis."""


def outcome_figure(policies: Mapping[str, Any]) -> Figure:
    """Failure rate and quality of each policy by both verdicts, with intervals."""
    figure, (failures, quality) = new_figure(8.6, 3.3, ncols=2)
    for axes, key, label in (
        (failures, "failure_rate", "failures, %"),
        (quality, "quality", "quality against base, %"),
    ):
        _verdicts(axes, policies, key)
        axes.set_ylabel(label)
    failures.set_ylim(bottom=0)
    quality.axhline(50, color=INK, linewidth=0.8, alpha=0.6)
    legend(failures)
    return figure


def _verdicts(axes: Axes, policies: Mapping[str, Any], key: str) -> None:
    for number, (who, (label, colour, marker)) in enumerate(VERDICTS.items()):
        shown = [policies[name][key][who] for name in policies]
        middle = [100 * one["estimate"] for one in shown]
        # An interval of Student's need not hold the estimate to the last digit when all values are one.
        below = [max(0.0, 100 * (one["estimate"] - one["lower"])) for one in shown]
        above = [max(0.0, 100 * (one["upper"] - one["estimate"])) for one in shown]
        places = [place + (2 * number - 1) * SIDE for place in range(len(shown))]
        axes.errorbar(
            places, middle, yerr=[below, above], fmt=marker, color=colour, markersize=5, capsize=3, label=label
        )
    axes.set_xticks(range(len(policies)), list(policies))
    axes.set_xlim(-0.5, len(policies) - 0.5)


def cost_figure(policies: Mapping[str, Any]) -> Figure:
    """Tokens and seconds for each delivered completion."""
    figure, axes = new_figure(8.6, 2.4, ncols=2)
    for each, key, label in zip(axes, ("drawn_tokens", "seconds"), ("tokens drawn", "seconds"), strict=True):
        values = [policies[name]["per_delivered"][key] for name in policies]
        bars = each.barh(list(policies), values, color=PALETTE[0], height=0.55)
        each.bar_label(bars, fmt="%.3g", padding=3, color=INK, fontsize=8.5)
        each.invert_yaxis()
        each.set_xlabel(f"{label} per delivered completion")
        each.margins(x=0.18)
    return figure


def curves_figure(curves: Mapping[str, Curve]) -> Figure:
    """Score, divergence, and failures on held-out prompts over the iterations."""
    figure, (score, divergence, failures) = new_figure(9.6, 3.0, ncols=3)
    _lines(score, curves, {"train/score": "training", "valid/score": "validation"})
    score.set_ylabel("score")
    _lines(divergence, curves, {"train/kl": "training"})
    divergence.set_ylabel("KL from base, nats a completion")
    _failures(failures, curves)
    failures.set_ylabel("failures on validation prompts, %")
    failures.set_ylim(bottom=0)
    for axes in (score, divergence, failures):
        axes.set_xlabel("iteration")
    legend(score)
    legend(failures)
    return figure


def _lines(axes: Axes, curves: Mapping[str, Curve], labels: Mapping[str, str]) -> None:
    for number, (name, label) in enumerate(labels.items()):
        if curve := curves.get(name):
            steps, values = zip(*curve, strict=True)
            axes.plot(steps, values, color=PALETTE[number], label=label, marker="." if len(steps) < 30 else "")


def _failures(axes: Axes, curves: Mapping[str, Curve]) -> None:
    names = {"judge": "valid/failure_rate/judge", "own": "valid/failure_rate/log_safe"}
    for who, name in names.items():
        label, colour, marker = VERDICTS[who]
        if not (curve := curves.get(name)):
            continue
        steps, values = zip(*curve, strict=True)
        axes.plot(steps, [100 * value for value in values], color=colour, marker=marker, markersize=4, label=label)
        if base := curves.get(f"{name}_base"):  # the same at every validation: base and prompts never change
            axes.axhline(100 * base[-1][1], color=colour, linewidth=1, linestyle="--", alpha=0.8)
        lower, upper = curves.get(f"{name}_lower", []), curves.get(f"{name}_upper", [])
        if len(lower) == len(upper) == len(curve):
            low, high = ([100 * value for _, value in end] for end in (lower, upper))
            axes.fill_between(steps, low, high, color=colour, alpha=0.15, linewidth=0)
