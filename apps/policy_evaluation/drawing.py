"""The plots of an evaluation: failure rates on a log axis, quality around one half, tries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from apps.policy_evaluation.figures import EVERYTHING, FailureRate, Quality
from sweeps.report.drawing import INK, PALETTE, legend, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from apps.policy_evaluation.completions import PolicyRun

FAILURES = (
    "Share of the delivered completions that are failures, with 95 % intervals; each step to the left is a nine. An "
    "open triangle is the upper end where no failure was seen. Rows of one judge compare policies; where the filter's "
    "own classifier sees far fewer failures than an independent one, the policy has learnt to please it."
)
QUALITY = (
    "P(better) + ½ P(tie) with 95 % intervals. At one half a reader would not know which policy wrote what; an "
    "interval to the left of it says that quality was lost."
)
TRIES = (
    "How many attempts a completion took. Geometric (a straight fall) where all prompts are alike; a long tail comes "
    "from prompts at which most attempts are rejected, and there an acceptance is more likely to be a mistake."
)


def failures_figure(rates: Sequence[FailureRate]) -> Figure | None:
    """One row for each policy, judge and stratum that delivered something."""
    shown = [one for one in rates if one.delivered]
    if not shown:
        return None
    figure, axes = new_figure(8, 0.8 + 0.34 * len(shown))
    judges = list(dict.fromkeys(one.judge for one in shown))
    lowest = min(max(one.rate.lower, one.rate.upper / 100) for one in shown)
    for row, one in enumerate(reversed(shown)):
        colour = PALETTE[judges.index(one.judge) % len(PALETTE)]
        axes.plot([max(one.rate.lower, lowest / 2), one.rate.upper], [row, row], color=colour, linewidth=2)
        if one.failures:
            axes.plot(one.rate.estimate, row, "o", color=colour, markersize=6)
        else:
            axes.plot(one.rate.upper, row, "<", markerfacecolor="none", markeredgecolor=colour, markersize=7)
    for judge in judges:
        axes.plot([], [], color=PALETTE[judges.index(judge) % len(PALETTE)], linewidth=2, label=judge)
    axes.set_xscale("log")
    axes.set_xlim(lowest / 2, 1)
    axes.set_yticks(range(len(shown)), [_row_name(one.policy, one.stratum) for one in reversed(shown)])
    axes.set_xlabel("failure rate (share of delivered completions, log axis)")
    legend(axes, title="judge", loc="upper left", bbox_to_anchor=(1.01, 1.0))
    return figure


def quality_figure(found: Sequence[Quality], *, policy: str, against: str) -> Figure | None:
    """One row for each judge and stratum."""
    if not found:
        return None
    figure, axes = new_figure(8, 0.8 + 0.34 * len(found))
    judges = list(dict.fromkeys(one.judge for one in found))
    for row, one in enumerate(reversed(found)):
        colour = PALETTE[judges.index(one.judge) % len(PALETTE)]
        axes.plot([one.share.lower, one.share.upper], [row, row], color=colour, linewidth=2)
        axes.plot(one.share.estimate, row, "o", color=colour, markersize=6)
    axes.axvline(0.5, color=INK, linewidth=1, linestyle="--")
    axes.set_xlim(0, 1)
    axes.set_yticks(range(len(found)), [_row_name(one.judge, one.stratum) for one in reversed(found)])
    axes.set_xlabel(f"quality of {policy} against {against}: P(better) + ½ P(tie)")
    return figure


def tries_figure(runs: Sequence[PolicyRun]) -> Figure | None:
    """Share of prompts by number of attempts; nothing where every policy takes one."""
    shown = [run for run in runs if any(one.tries > 1 for one in run.generations)]
    if not shown:
        return None
    figure, axes = new_figure(6, 3)
    for place, run in enumerate(shown):
        tries = np.array([one.tries for one in run.generations])
        counts = np.bincount(tries)[1:] / len(tries)
        axes.plot(np.arange(1, len(counts) + 1), counts, "o-", color=PALETTE[place], markersize=4, label=run.name)
    axes.set_yscale("log")
    axes.set_xlabel("attempts until a completion was delivered")
    axes.set_ylabel("share of prompts (log axis)")
    legend(axes)
    return figure


def _row_name(name: str, stratum: str) -> str:
    return name if stratum == EVERYTHING else f"{name}, {stratum}"
