"""Figures as SVG text that sits in a page: colours that follow the page's, names that do not collide.

Matplotlib is imported when the first figure is drawn, and used through its object interface only: no global state.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Stands for the text colour of the page and is replaced in the SVG text, so that a figure suits light and dark.
INK = "#010203"

# Okabe and Ito 2008: distinguishable with any colour vision, readable on white and on near-black.
PALETTE = ("#3b8ecb", "#e08a1e", "#2ba884", "#c9629b", "#d1603d", "#7f8a96", "#b0a32c", "#8a6fd1")
ACCENT = PALETTE[0]
STATE_COLOURS = {
    "completed": PALETTE[0],
    "running": PALETTE[2],
    "interrupted": PALETTE[6],
    "waiting": PALETTE[5],
    "pruned": PALETTE[5],
    "failed": PALETTE[4],
}


def new_figure(width: float, height: float, **subplots: Any) -> tuple[Figure, Any]:
    """A figure of `width` × `height` inches with the axes that `Figure.subplots` makes of the other arguments."""
    from matplotlib.figure import Figure as MatplotlibFigure

    figure = MatplotlibFigure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(**subplots)
    for each in figure.axes:
        style_axes(each)
    return figure, axes


def style_axes(axes: Axes) -> None:
    """Quiet axes: no frame at the top and right, a faint grid, all ink in the colour of the page."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(INK)
    axes.tick_params(colors=INK, which="both", labelsize=8.5)
    axes.tick_params(which="minor", length=2)
    axes.xaxis.label.set_color(INK)
    axes.yaxis.label.set_color(INK)
    axes.title.set_color(INK)
    axes.xaxis.label.set_fontsize(9)
    axes.yaxis.label.set_fontsize(9)
    axes.title.set_fontsize(9.5)
    axes.grid(visible=True, color=INK, linewidth=0.5, alpha=0.25)
    axes.set_axisbelow(True)


def legend(axes: Axes, **options: Any) -> None:
    """A legend without a frame, when something in the axes has a label."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        axes.legend(handles, labels, frameon=False, fontsize=8.5, labelcolor=INK, **options)


def as_svg(figure: Figure, *, name: str, description: str) -> str:
    """The figure as an `<svg>` element.

    Args:
        figure: What to draw.
        name: Unique in the page; every identifier in the SVG starts with it.
        description: What the figure shows, for those who cannot see it.
    """
    import matplotlib as mpl

    buffer = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name, "font.family": "sans-serif"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', text)
    text = re.sub(r'(xlink:href="|url\()#', rf"\1#{name}-", text)
    text = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font: \1px system-ui, sans-serif", text)
    text = text.replace(INK, "currentColor")
    return text.replace("<svg ", f'<svg role="img" aria-label="{_attribute(description)}" ', 1)


def _attribute(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
