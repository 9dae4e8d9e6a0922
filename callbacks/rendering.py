"""Turns a matplotlib figure into pixels or a file, without pyplot and its global state."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from nines.files import replacing


def as_image(figure: Figure) -> NDArray[np.uint8]:
    """Pixels of the figure, `(height, width, 3)`, 0 to 255."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]  # matplotlib leaves these two untyped
    return np.asarray(canvas.buffer_rgba(), dtype=np.uint8)[..., :3].copy()  # type: ignore[no-untyped-call]


def save_png(figure: Figure, path: Path) -> None:
    """Write the figure to `path` as a whole.

    Raises:
        StorageError: The disk refused the write.
    """
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")
