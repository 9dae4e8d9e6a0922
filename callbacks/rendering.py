"""The frame of a matplotlib figure (title, legend, caption) and its output, without pyplot and its global state."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imsave
from numpy.typing import NDArray

from nines.files import replacing

_CAPTION_CHARACTERS_PER_INCH = 17


def new_figure(*, height: float, title: str, width: float = 8.0) -> Figure:
    """An empty figure with a title; sizes in inches, at 100 pixels each."""
    figure = Figure(figsize=(width, height), dpi=100, layout="constrained")
    figure.suptitle(title)
    return figure


def add_caption(figure: Figure, text: str) -> None:
    """Put `text` under the plots, wrapped to the figure's width."""
    wrapped = textwrap.fill(text, int(figure.get_figwidth() * _CAPTION_CHARACTERS_PER_INCH))
    figure.supxlabel(wrapped, fontsize=8, x=0.02, ha="left")


def add_legend(axes: Axes) -> None:
    """Put the legend right of the axes, where it hides no data; none when nothing was drawn."""
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0)


def as_image(figure: Figure) -> NDArray[np.uint8]:
    """Pixels of the figure, `(height, width, 3)`, 0 to 255."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]  # matplotlib leaves these two untyped
    return np.asarray(canvas.buffer_rgba(), dtype=np.uint8)[..., :3].copy()  # type: ignore[no-untyped-call]


def save_png(image: NDArray[np.uint8], path: Path) -> None:
    """Write pixels, `(height, width, 3)`, to `path` as a whole. Takes pixels since drawing is what costs time.

    Raises:
        StorageError: The disk refused the write.
    """
    with replacing(path) as temporary:
        imsave(temporary, image, format="png")
