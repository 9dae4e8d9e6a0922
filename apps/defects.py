"""What the command line says of exceptions that are not ours: whose mistake it was, in one line.

Hydra wraps what a constructor raises; Lightning has its own exception for settings that cannot be; anything else is a
defect, whose traceback is kept in a file.
"""

from __future__ import annotations

import os
import time
import traceback

from nines.cache import cache_folder
from nines.errors import ConfigError, NinesError, StorageError
from nines.files import write_text


def behind(error: BaseException) -> NinesError | None:
    """The mistake of the user that led to `error`, None when there is none and it is a defect."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, NinesError):
            return cause
        # Known by name, since importing Lightning to ask costs seconds.
        if type(cause).__name__ == "MisconfigurationException":
            message = " ".join(str(cause).split())
            return ConfigError(f"Lightning refuses these settings: {message} (`nines doctor` shows the devices)")
        cause = cause.__cause__
    return None


def describe_defect(error: BaseException, *, keep_traceback: bool) -> str:
    """One line: the exception, the place that raised it, and where its traceback is.

    Args:
        error: What was raised.
        keep_traceback: Write the traceback into the cache folder, so that a run of many hours does not lose it.
    """
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    message = " ".join(str(error).split())
    line = f"internal error: {type(error).__name__}: {message}{place}"
    if not keep_traceback:
        return line
    path = cache_folder() / "tracebacks" / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
    try:
        write_text(path, "".join(traceback.format_exception(error)))
    except StorageError:
        return f"{line}; run it again with --debug to see the traceback"
    return f"{line}; traceback in {path}, or run it again with --debug"
