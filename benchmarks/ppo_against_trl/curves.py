"""Learning curves of both sides on one toy task, over seeds: mean reward and divergence from the reference."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

COLOURS = {"nines": "#0072b2", "TRL 1.12": "#d55e00"}
AXES = {"score": "mean reward of a completion", "kl": "KL to the reference (nats a completion)"}

Curves = Mapping[str, Sequence[Mapping[str, Any]]]
"""By side, of each seed: the lists `score` and `kl`, one value an iteration."""


def draw(curves: Curves, path: Path, *, batch: int, caption: str) -> None:
    """One panel for reward and one for divergence: the mean over seeds in a band from the lowest to the highest seed.

    Args:
        curves: Of all sides, with as many iterations each.
        path: A PNG.
        batch: Completions of an iteration.
        caption: What the figure shows, below it.
    """
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    panels = figure.subplots(1, 2)
    for panel, (key, label) in zip(panels, AXES.items(), strict=True):
        for side, seeds in curves.items():
            values = np.array([seed[key] for seed in seeds], dtype=float)
            completions = batch * np.arange(values.shape[1])
            panel.plot(completions, values.mean(axis=0), color=COLOURS.get(side), label=side)
            panel.fill_between(
                completions, values.min(axis=0), values.max(axis=0), color=COLOURS.get(side), alpha=0.2, linewidth=0
            )
        panel.set_xlabel("completions learned from")
        panel.set_ylabel(label)
        panel.grid(alpha=0.3)
    panels[0].legend(loc="lower right")
    figure.supxlabel(caption, fontsize=8)
    canvas = FigureCanvasAgg(figure)
    canvas.print_png(str(path))  # type: ignore[no-untyped-call]


def summary(curves: Curves, *, last: int = 5) -> str:
    """A line for each side: reward and KL of the first iteration and of the last few, mean and range over seeds."""
    lines = []
    for side, seeds in curves.items():
        parts = []
        for key, name in (("score", "reward"), ("kl", "KL")):
            first = float(np.mean([seed[key][0] for seed in seeds]))
            ends = [float(np.mean(seed[key][-last:])) for seed in seeds]
            low, high = min(ends, default=math.nan), max(ends, default=math.nan)
            parts.append(f"{name} {first:.3f} -> {np.mean(ends):.3f} ({low:.3f} to {high:.3f})")
        lines.append(f"  {side:<9} {',  '.join(parts)}")
    return "\n".join(lines)
