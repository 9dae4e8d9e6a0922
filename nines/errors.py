"""Every exception that a user may see, each with the exit code and the one line that the command prints for it.

The command line turns a `NinesError` into that line; anything else is a defect of ours and keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class NinesError(Exception):
    """Something went wrong that one line can explain; `exit_code` is what the command returns to the shell."""

    exit_code = 1


class UserError(NinesError):
    """The user asked for something that cannot be done; the message says what, where, and what to do."""

    exit_code = 2


class ConfigError(UserError):
    """An unknown key or group choice, a value of the wrong type, or values that contradict each other."""


class DataError(UserError):
    """Rows that do not fit the schema. `problems` holds one line for each bad field, so that all show at once."""

    def __init__(self, message: str, problems: Sequence[str] = ()) -> None:
        super().__init__("\n".join([message, *(f"  {problem}" for problem in problems)]))
        self.problems = tuple(problems)


class WeightsError(UserError):
    """Model weights could not be found, fetched or verified."""


class CheckpointError(UserError):
    """A checkpoint is missing, damaged, or belongs to another architecture."""


class CapabilityError(UserError):
    """A strategy was asked for something that it cannot do, such as clipping by value under DeepSpeed."""


class DivergedError(NinesError):
    """Training left the range of numbers: scores are NaN."""


class SweepError(UserError):
    """A sweep cannot be opened, resumed or reported as asked."""


class StorageError(NinesError):
    """The disk or the study storage refused a write; finished work stays as it was."""


class SchedulerError(NinesError):
    """The batch scheduler refused a request or cannot be reached; nothing that it already holds is lost."""


class SchedulerUnreachable(SchedulerError):
    """The batch scheduler did not answer; the same request may succeed later."""


def nearest(name: str, valid: Iterable[str], *, count: int = 3) -> str:
    """Phrase the valid names closest to `name` for an error message, or all of them when none is close.

    >>> nearest("focla", ["focal", "none"])
    "did you mean 'focal'? (valid: focal, none)"
    """
    choices = sorted(set(valid))
    if not choices:
        return "there is nothing to choose from here"
    close = difflib.get_close_matches(name, choices, n=count, cutoff=0.6)
    listed = ", ".join(choices)
    if not close:
        return f"valid: {listed}"
    return f"did you mean {' or '.join(repr(choice) for choice in close)}? (valid: {listed})"
