"""SLURM's way to write spans of time, to seconds."""

from __future__ import annotations

import math
import re

from nines.errors import ConfigError

UNLIMITED = frozenset({"UNLIMITED", "INFINITE"})
FORMS = "minutes, minutes:seconds, hours:minutes:seconds, days-hours, days-hours:minutes or days-hours:minutes:seconds"
SPAN = re.compile(r"(?:(?P<days>\d+)-)?(?P<clock>\d+(?::\d+){0,2})")


def seconds_of(text: str) -> float:
    """The seconds that `text` stands for; infinity for UNLIMITED.

    >>> seconds_of("1-12"), seconds_of("90"), seconds_of("02:30")
    (129600.0, 5400.0, 150.0)

    Raises:
        ConfigError: It has none of SLURM's forms.
    """
    if text.upper() in UNLIMITED:
        return math.inf
    match = SPAN.fullmatch(text)
    if match is None:
        raise ConfigError(f"{text!r} is no span of time; SLURM takes {FORMS}")
    fields = [int(field) for field in match["clock"].split(":")]
    if match["days"] is not None:
        # After days the first field is hours.
        hours, minutes, seconds = (*fields, 0, 0)[:3]
        return float(int(match["days"]) * 86400 + hours * 3600 + minutes * 60 + seconds)
    if len(fields) == 3:
        return float(fields[0] * 3600 + fields[1] * 60 + fields[2])
    # Without days and with fewer than three fields the first is minutes: "10:30" is ten and a half minutes.
    return float(fields[0] * 60 + (fields[1] if len(fields) == 2 else 0))
