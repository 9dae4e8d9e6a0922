"""The learning curves of active learning as one figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

COLOURS = ("#000000", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00")
PANELS = {"fnr": "false negative rate, all test rows", "partial_auc": "partial AUC, all test rows"}

Curves = Mapping[str, Sequence[Sequence[Mapping[str, float]]]]
"""By strategy, of each seed: the figures at each budget."""


def draw(curves: Curves, path: Path, *, caption: str) -> None:
    """One panel for each figure: the mean over seeds, in a band from the lowest to the highest seed.

    Args:
        curves: Of all strategies, with the same budgets.
        path: A PNG.
        caption: What the figure shows, below it.
    """
    figure = Figure(figsize=(9, 4), layout="constrained")
    for panel, (key, label) in zip(figure.subplots(1, 2), PANELS.items(), strict=True):
        for colour, (strategy, seeds) in zip(COLOURS, curves.items(), strict=False):
            labels = [point["labels"] for point in seeds[0]]
            values = np.array([[point[key] for point in seed] for seed in seeds])
            panel.plot(labels, values.mean(axis=0), color=colour, label=strategy)
            panel.fill_between(labels, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.1, linewidth=0)
        panel.set_xlabel("labels bought")
        panel.set_ylabel(label)
        panel.grid(alpha=0.3)
    figure.axes[0].legend(fontsize=8)
    figure.supxlabel(caption, fontsize=8)
    FigureCanvasAgg(figure).print_png(str(path))  # type: ignore[no-untyped-call]
