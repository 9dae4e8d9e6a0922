"""The table at the end of `nines demo`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

HEADS = (
    "policy",
    "failures by the judge",
    "by its own classifier",
    "quality by the judge",
    "by its own model",
    "tries",
    "gave up",
    "tokens",
    "seconds",
)
CAPTION = (
    "Failures: share of delivered completions, uncorrected for the judge's own errors. Quality: P(better) + ½ P(tie) "
    "against a base completion. Tokens drawn and seconds are for each delivered completion. Intervals in brackets."
)


def comparison_rows(policies: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """A row for each policy, in the order of `HEADS`."""
    return [
        (
            name,
            percent(found["failure_rate"]["judge"]),
            percent(found["failure_rate"]["own"]),
            percent(found["quality"]["judge"]),
            percent(found["quality"]["own"]),
            f"{found['tries']['estimate']:.2f}",
            f"{found['gave_up']} of {found['prompts']}",
            f"{found['per_delivered']['drawn_tokens']:.0f}",
            f"{found['per_delivered']['seconds']:.3f}",
        )
        for name, found in policies.items()
    ]


def comparison_table(policies: Mapping[str, Any]) -> Table:
    """The same for a terminal."""
    from rich.box import SIMPLE
    from rich.table import Table

    table = Table(box=SIMPLE, caption=CAPTION)
    for number, head in enumerate(HEADS):
        table.add_column(head, justify="right" if number else "left", overflow="fold")
    for row in comparison_rows(policies):
        table.add_row(*row)
    return table


def percent(found: Mapping[str, Any]) -> str:
    """A share with its interval: `12.3 % [4.5, 20.1]`."""
    return f"{100 * found['estimate']:.1f} % [{100 * found['lower']:.1f}, {100 * found['upper']:.1f}]"
