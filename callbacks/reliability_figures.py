"""Plots that show how reliable a score is; each has units on its axes and a caption that says what to look for."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from numpy.typing import NDArray

from callbacks.rendering import add_caption, add_legend, new_figure
from nines.statistics.curves import precision_recall_curve, probability_bins, roc_curve
from nines.statistics.evaluation import Evaluation
from nines.statistics.labelled import ALL, INJURIOUS, NATURAL, SAFE, UNSURE, LabelledRows
from nines.statistics.rates import estimate_rate

# Okabe and Ito's palette: its colours differ for colour-blind readers, too.
_PALETTE = ("#D55E00", "#000000", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_CLASSES = ((SAFE, "safe", "#0072B2"), (UNSURE, "unsure", "#999999"), (INJURIOUS, "injurious", "#D55E00"))
_SMALLEST = 1e-6
_SCORE_TICKS = (1e-6, 1e-4, 1e-2, 0.1, 0.5, 0.9, 0.99, 1 - 1e-4, 1 - 1e-6)


def draw_all(
    scores: NDArray[np.float64],
    rows: LabelledRows,
    *,
    evaluation: Evaluation,
    split: str,
    false_positive_rate: float,
) -> dict[str, Figure]:
    """Every plot of one split by name.

    Args:
        scores: P(injurious) of each row, `(n,)`.
        rows: The rows.
        evaluation: Their evaluation.
        split: Name of the split for the titles.
        false_positive_rate: The rate that the threshold was fixed for on validation data.
    """
    return {
        "misses": draw_misses(evaluation, split=split),
        "precision_recall": draw_precision_recall(scores, rows, evaluation=evaluation, split=split),
        "roc": draw_roc(scores, rows, evaluation=evaluation, split=split, false_positive_rate=false_positive_rate),
        "scores": draw_scores(scores, rows, threshold=evaluation.threshold, split=split),
        "calibration": draw_calibration(scores, rows, split=split),
    }


def draw_misses(evaluation: Evaluation, *, split: str) -> Figure:
    """False negative rate of each population on a log axis, with intervals; zero misses as the upper bound."""
    entries = [entry for entry in evaluation.populations if entry.fnr.items > 0][::-1]
    figure = new_figure(height=1.8 + 0.42 * len(entries), title=f"{split}: injurious completions that are accepted")
    axes = figure.subplots()
    floor = min([entry.fnr.plotted for entry in entries], default=0.01) / 4
    floor = min(floor, min([entry.fnr.lower for entry in entries if entry.fnr.lower > 0], default=floor))
    for place, entry in enumerate(entries):
        rate, colour = entry.fnr, "#D55E00" if entry.unsure == "dropped" else "#666666"
        axes.plot([max(rate.lower, floor), rate.upper], [place, place], color=colour, linewidth=2, alpha=0.5)
        if rate.events:
            axes.plot([rate.estimate], [place], "o", color=colour, markersize=7)
        else:
            axes.plot([rate.upper], [place], "<", color=colour, markersize=9, markerfacecolor="white")
        note = f" missed {rate.events} of {rate.items}, effective n {rate.effective_items:.1f}"
        axes.annotate(note, (1.0, place), xycoords=("axes fraction", "data"), va="center", fontsize=8)
    names = [_population_label(entry.population, entry.unsure) for entry in entries]
    axes.set_yticks(range(len(entries)), names)
    axes.set(xscale="log", xlabel="false negative rate (share of injurious completions, log10)", xlim=(floor, 1.05))
    axes.set_ylim(-0.6, len(entries) - 0.4)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
    axes.grid(visible=True, axis="x", alpha=0.3)
    add_caption(
        figure,
        "Dots: estimates; bars: 95 % intervals, clustered by prompt. Open triangles: no miss at all, drawn at the "
        "interval's upper bound, for zero cannot be shown to be zero. Grey: unsure rows counted as injurious. "
        "Look for: an upper bound that is low enough to trust, not a dot.",
    )
    return figure


def draw_precision_recall(
    scores: NDArray[np.float64], rows: LabelledRows, *, evaluation: Evaluation, split: str
) -> Figure:
    """Precision against recall of each population, with the working point at the threshold."""
    figure = new_figure(height=5.2, title=f"{split}: precision and recall")
    axes = figure.subplots()
    for colour, population in _coloured(rows):
        certain, positive, weights = _certain(rows, population)
        curve = precision_recall_curve(scores[certain], positive, weights=weights)
        if curve is None:
            continue
        precision, recall = curve
        entry = evaluation.of(population)
        axes.step(
            np.concatenate([[0.0], recall]),
            np.concatenate([precision[:1], precision]),
            where="pre",
            color=colour,
            label=f"{population}\naverage precision {entry.average_precision:.2f}\nchance {entry.prevalence:.3f}",
        )
        flagged = scores[certain] >= evaluation.threshold
        if weights[flagged].sum() > 0:
            hit = weights[flagged & positive].sum()
            axes.plot([hit / weights[positive].sum()], [hit / weights[flagged].sum()], "o", color=colour)
        axes.axhline(entry.prevalence, color=colour, linestyle=":", linewidth=1)
    axes.set(xlabel="recall (share of injurious completions rejected)", ylabel="precision (share of rejected)")
    axes.set(xlim=(0, 1.01), ylim=(0, 1.02))
    add_legend(axes)
    add_caption(
        figure,
        "Dots: the working point at the threshold from validation. Dotted: precision of chance, which is the share "
        "of injurious completions. Look for: precision that stays up as recall approaches 1. Unsure rows are left out.",
    )
    return figure


def draw_roc(
    scores: NDArray[np.float64],
    rows: LabelledRows,
    *,
    evaluation: Evaluation,
    split: str,
    false_positive_rate: float,
) -> Figure:
    """The ROC curve of each population, whole and with a log axis for low false positive rates."""
    figure = new_figure(height=5.0, width=11.0, title=f"{split}: receiver operating characteristic")
    whole, low = figure.subplots(1, 2)
    smallest = 1.0
    for colour, population in _coloured(rows):
        certain, positive, weights = _certain(rows, population)
        curve = roc_curve(scores[certain], positive, weights=weights)
        if curve is None:
            continue
        false_positive, true_positive = curve
        entry = evaluation.of(population)
        smallest = min(smallest, float(false_positive[false_positive > 0].min()))
        whole.plot(false_positive, true_positive, color=colour)
        low.plot(
            false_positive,
            true_positive,
            color=colour,
            label=f"{population}\nAUROC {entry.auroc:.3f}\npartial AUC {entry.partial_auc:.3f}",
        )
        for axes in (whole, low):
            axes.plot([entry.fpr.estimate], [1 - entry.fnr.estimate], "o", color=colour)
    diagonal = np.geomspace(1e-6, 1.0, 100)
    for axes in (whole, low):
        axes.plot(diagonal, diagonal, color="#999999", linestyle=":", linewidth=1)
        axes.axvline(false_positive_rate, color="#999999", linestyle="--", linewidth=1)
        axes.set(xlabel="false positive rate (share of safe rejected)", ylim=(0, 1.02))
    whole.set(ylabel="true positive rate (share of injurious rejected)", xlim=(-0.01, 1.0))
    low.set(xscale="log", xlim=(max(smallest / 2, 1e-5), 1.0))
    add_legend(low)
    low.set_xlabel("false positive rate (share of safe rejected, log10)")
    add_caption(
        figure,
        f"Dashed: the false positive rate of {100 * false_positive_rate:g} % that the threshold was fixed for on "
        "validation data; dots: what it gives here. Dotted: chance. Look for: curves that are high left of the dashed "
        "line, and dots that lie on it.",
    )
    return figure


def draw_scores(scores: NDArray[np.float64], rows: LabelledRows, *, threshold: float, split: str) -> Figure:
    """Histograms of the scores by class, one panel for each source, counts on a log axis."""
    sources = [str(source) for source in np.unique(rows.sources)]
    figure = new_figure(height=1.6 + 1.7 * len(sources), title=f"{split}: scores by class")
    panels = figure.subplots(len(sources), 1, sharex=True, squeeze=False)[:, 0]
    edges = 1 / (1 + np.exp(-np.linspace(np.log(_SMALLEST), -np.log(_SMALLEST), 41)))
    shown = np.clip(scores, edges[0], edges[-1])
    for axes, source in zip(panels, sources, strict=True):
        for label, name, colour in _CLASSES:
            chosen = shown[(rows.labels == label) & (rows.sources == source)]
            if len(chosen):
                counts, _ = np.histogram(chosen, bins=edges)
                label_text = f"{name} ({len(chosen)})"
                axes.stairs(counts, edges, fill=True, baseline=0.1, alpha=0.35, color=colour)
                axes.stairs(counts, edges, baseline=0.1, color=colour, label=label_text)
        axes.axvline(float(np.clip(threshold, edges[0], edges[-1])), color="black", linestyle="--", linewidth=1)
        axes.set(xscale="logit", yscale="log", ylabel=f"{source}\nrows (log10)")
        axes.set_ylim(bottom=0.7)
        add_legend(axes)
    panels[-1].xaxis.set_major_locator(FixedLocator(_SCORE_TICKS))
    panels[-1].xaxis.set_minor_locator(NullLocator())
    panels[-1].xaxis.set_major_formatter(FuncFormatter(_score_tick))
    panels[-1].set_xlabel("score, P(injurious), on a log-odds axis")
    add_caption(
        figure,
        "Dashed: the threshold; what lies left of it is accepted. Scores beyond the ends are drawn at the ends. "
        "Look for: the orange tail left of the line, which are the misses, and how far it reaches.",
    )
    return figure


def draw_calibration(scores: NDArray[np.float64], rows: LabelledRows, *, split: str, bins: int = 10) -> Figure:
    """Observed against predicted share of injurious completions in bins of the score, with intervals."""
    populations = [name for name in (NATURAL, ALL) if name in rows.populations()]
    figure = new_figure(height=5.0, width=5.0 * len(populations), title=f"{split}: calibration")
    panels = figure.subplots(1, len(populations), squeeze=False)[0]
    for axes, population in zip(panels, populations, strict=True):
        certain, positive, weights = _certain(rows, population)
        predicted, prompts = scores[certain], rows.prompts[certain]
        group = probability_bins(predicted, bins=bins)
        axes.plot([0, 1], [0, 1], color="#999999", linestyle=":", linewidth=1)
        for index in range(bins):
            inside = (group == index) & (weights > 0)
            if not inside.any():
                continue
            rate = estimate_rate(positive[inside], prompts[inside], weights=weights[inside])
            centre = float(np.average(predicted[inside], weights=weights[inside]))
            axes.plot([centre, centre], [rate.lower, rate.upper], color="#0072B2", alpha=0.6)
            axes.plot([centre], [rate.estimate], "o", color="#0072B2", markersize=6)
            axes.annotate(str(rate.items), (centre, rate.upper), fontsize=7, ha="center", va="bottom")
        axes.set(xlabel="mean score in the bin, P(injurious)", ylabel="observed share of injurious", title=population)
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.08))
    add_caption(
        figure,
        "Each dot is a bin of the score with its 95 % interval and its number of rows. Below the diagonal the score "
        "cries wolf; above it, injuries happen more often than the score says. Look for: dots above the diagonal at "
        "the left.",
    )
    return figure


def _coloured(rows: LabelledRows) -> list[tuple[str, str]]:
    populations = rows.populations()
    return [(_PALETTE[index % len(_PALETTE)], population) for index, population in enumerate(populations)]


def _certain(rows: LabelledRows, population: str) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.float64]]:
    """Mask of the rows with a certain label; for those, whether each is injurious, and its weight."""
    certain = np.asarray(rows.labels != UNSURE)
    return certain, np.asarray(rows.labels[certain] == INJURIOUS), rows.weights_of(population)[certain]


def _population_label(population: str, unsure: str) -> str:
    return population if unsure == "dropped" else f"{population}, unsure as injurious"


def _score_tick(value: float, _: int | None) -> str:
    return f"{value:g}" if value <= 0.99 else f"1-{1 - value:.0e}".replace("e-0", "e-")
