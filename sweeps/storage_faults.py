"""Faults of databases: which pass by themselves, and what each says in one line."""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy.exc

from sweeps.storage_url import password_of

# SQLSTATE of PostgreSQL: connection lost, server starting or stopping, too many clients, deadlock, serialisation.
PASSING_STATES = ("08", "57P", "53300", "40001", "40P01")
LONGEST_REASON = 300


def passes(error: BaseException) -> bool:
    """Whether the same request may succeed in a while: the server restarts, is out of reach, or another one writes."""
    return any(_passes(cause) for cause in _causes(error))


def reason(error: BaseException) -> str:
    """What the driver said, as one line; of several causes the first that is a driver's."""
    causes = list(_causes(error))
    told = next((cause for cause in causes if isinstance(cause, sqlalchemy.exc.DBAPIError)), causes[-1])
    original = told.orig if isinstance(told, sqlalchemy.exc.DBAPIError) and told.orig is not None else told
    line = " ".join(str(original).split()) or type(original).__name__
    if (password := password_of()) is not None:
        line = line.replace(password, "***")
    return line if len(line) <= LONGEST_REASON else f"{line[:LONGEST_REASON]} …"


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__


def _passes(error: BaseException) -> bool:
    if not isinstance(error, sqlalchemy.exc.DBAPIError):
        return False
    if error.connection_invalidated:
        return True
    if not isinstance(error, sqlalchemy.exc.OperationalError | sqlalchemy.exc.InterfaceError):
        return False
    state = getattr(error.orig, "sqlstate", None)
    if state is not None:
        return str(state).startswith(PASSING_STATES)
    if type(error.orig).__module__.startswith("sqlite3"):
        return "locked" in str(error.orig) or "busy" in str(error.orig)
    # A server that could not be connected to at all has given no state.
    return True
