"""One line of what `nines doctor` prints."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Level(enum.Enum):
    """How much a finding matters."""

    OK = "ok"
    NOTE = "note"
    MISSING = "missing"


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        name: What was looked at.
        value: What was found.
        level: MISSING only for what nines cannot do without.
        remedy: How to get what is missing, or what to do about a note; "" where nothing is to be done.
    """

    name: str
    value: str
    level: Level = Level.OK
    remedy: str = ""
