"""The frame of an HTML page that needs no network: title, sections, figures; every text is escaped by its caller."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from sweeps.report.drawing import as_svg
from sweeps.report.style import CSS, SCRIPT

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def page(title: str, *, lead: str, sections: Sequence[str], made: str = "") -> str:
    """The whole page.

    Args:
        title: Of the page, plain text.
        lead: HTML under the title.
        sections: HTML of each, as `section` gives it.
        made: When and from where it was made, plain text for its foot.
    """
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{CSS}</style></head><body>'
        f"<h1>{escape(title)}</h1>{lead}"
        f'{"".join(sections)}<p class="quiet foot">{escape(made)}</p><script>{SCRIPT}</script></body></html>\n'
    )


def section(title: str, *parts: str, empty: str = "") -> str:
    """A section of HTML parts; the plain text `empty` where there are none."""
    return f"<section><h2>{escape(title)}</h2>{''.join(parts) or f'<p>{escape(empty)}</p>'}</section>"


def figure(drawn: Figure | None, name: str, caption: str) -> str:
    """A figure with its caption; nothing where nothing was drawn.

    Args:
        drawn: The figure.
        name: Unique in the page.
        caption: What to look for, plain text.
    """
    if drawn is None:
        return ""
    svg = as_svg(drawn, name=name, description=caption)
    return f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>"
