"""Plots of a reward model's test: accuracy beside the readers, the reliability diagram, scores against length."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from callbacks.rendering import add_caption, new_figure
from nines.statistics.comparisons import JudgedPairs
from nines.statistics.preferences import PreferenceEvaluation
from nines.statistics.rates import RateEstimate

_BLUE, _ORANGE, _GREY = "#0072B2", "#D55E00", "#999999"


def draw_preferences(
    differences: NDArray[np.float64],
    pairs: JudgedPairs,
    *,
    evaluation: PreferenceEvaluation,
    baselines: Mapping[str, RateEstimate],
    split: str,
) -> dict[str, Figure]:
    """Every plot of one split by name.

    Args:
        differences: First minus second score of each pair, `(n,)`.
        pairs: The pairs.
        evaluation: Their evaluation.
        baselines: Accuracy of what the model must beat, by name.
        split: Name of the split for the titles.
    """
    return {
        "accuracy": draw_accuracy(evaluation, baselines, split=split),
        "calibration": draw_reliability_diagram(evaluation, split=split),
        "length": draw_length(differences, pairs, evaluation=evaluation, split=split),
    }


def draw_accuracy(evaluation: PreferenceEvaluation, baselines: Mapping[str, RateEstimate], *, split: str) -> Figure:
    """Accuracy with its interval, by clarity, of the baselines, and the readers' agreement."""
    entries: list[tuple[str, RateEstimate, str]] = [
        ("reward model", evaluation.accuracy, _BLUE),
        *((f"reward model, clarity {c}", rate, _BLUE) for c, rate in sorted(evaluation.by_clarity.items())),
        *((f"baseline: {name}", rate, _GREY) for name, rate in baselines.items()),
        ("reward model against one reader", evaluation.against_one_reader, _BLUE),
        ("another reader against one reader", evaluation.readers.decided, _ORANGE),
    ]
    entries = [entry for entry in entries if entry[1].items > 0][::-1]
    figure = new_figure(height=1.8 + 0.4 * len(entries), title=f"{split}: how often the preferred one scores higher")
    axes = figure.subplots()
    for place, (_, rate, colour) in enumerate(entries):
        axes.plot([rate.lower, rate.upper], [place, place], color=colour, linewidth=2, alpha=0.5)
        axes.plot([rate.estimate], [place], "o", color=colour, markersize=7)
        axes.annotate(f" n = {rate.items}", (1.0, place), xycoords=("axes fraction", "data"), va="center", fontsize=8)
    axes.axvline(0.5, color=_GREY, linestyle=":", linewidth=1)
    axes.set_yticks(range(len(entries)), [name for name, _, _ in entries])
    axes.set(xlabel="share of pairs with a preference", xlim=(0.0, 1.0), ylim=(-0.6, len(entries) - 0.4))
    axes.grid(visible=True, axis="x", alpha=0.3)
    add_caption(
        figure,
        "Dots: estimates; bars: 95 % intervals, clustered by prompt; dotted: a coin. The lowest two rows are over the "
        "pairs that were read twice, and compare like with like: a model that agrees with a reader as often as another "
        "reader does has nothing left to gain. Look for: a gap to the baselines that the intervals do not swallow.",
    )
    return figure


def draw_reliability_diagram(evaluation: PreferenceEvaluation, *, split: str) -> Figure:
    """How often the favourite won against how often it was predicted to, with intervals."""
    calibration = evaluation.calibration
    figure = new_figure(height=5.0, width=6.0, title=f"{split}: calibration of the predicted preference")
    axes = figure.subplots()
    axes.plot([0.5, 1], [0.5, 1], color=_GREY, linestyle=":", linewidth=1)
    for one in calibration.bins:
        if one.observed.items == 0:
            continue
        axes.plot([one.predicted] * 2, [one.observed.lower, one.observed.upper], color=_BLUE, alpha=0.6)
        axes.plot([one.predicted], [one.observed.estimate], "o", color=_BLUE, markersize=6)
        axes.annotate(
            str(one.observed.items), (one.predicted, one.observed.upper), fontsize=7, ha="center", va="bottom"
        )
    axes.set(xlabel="predicted probability that the favourite wins", ylabel="how often it won", xlim=(0.49, 1.01))
    axes.set_ylim(-0.02, 1.08)
    add_caption(
        figure,
        "Each dot is a bin of pairs with a preference, with its 95 % interval and number of pairs. Below the diagonal "
        "the model is too sure. "
        f"Expected calibration error {calibration.error:.3f}; right predictions would show "
        f"{calibration.error_by_chance:.3f} on average and 5 % of the time more than "
        f"{calibration.error_by_chance_upper:.3f}, since bins are small.",
    )
    return figure


def draw_length(
    differences: NDArray[np.float64], pairs: JudgedPairs, *, evaluation: PreferenceEvaluation, split: str
) -> Figure:
    """Difference in score against difference in length, by judgement."""
    figure = new_figure(height=5.0, width=6.5, title=f"{split}: does the score measure length?")
    axes = figure.subplots()
    gaps = pairs.lengths[:, 0] - pairs.lengths[:, 1]
    for outcome, name, colour in ((1, "first preferred", _BLUE), (0, "tie", _GREY), (-1, "second preferred", _ORANGE)):
        rows = pairs.outcomes == outcome
        axes.plot(gaps[rows], differences[rows], "o", color=colour, markersize=4, alpha=0.7, label=name)
    axes.axhline(0, color=_GREY, linewidth=0.8)
    axes.axvline(0, color=_GREY, linewidth=0.8)
    axes.set(xlabel="first minus second length (characters)", ylabel="first minus second score (log-odds)")
    axes.legend(fontsize=8)
    add_caption(
        figure,
        f"Spearman's correlation {evaluation.length_correlation:.2f}. The preferred one scores higher in "
        f"{evaluation.shorter_preferred} of the pairs where it is the shorter, and in "
        f"{evaluation.longer_preferred} where it is the longer. Look for: both above 50; one near 100 and the other "
        "near 0 would be a ruler.",
    )
    return figure
