"""Waiting for a sweep's lock or storage, which is cut short when the waiting job is told something."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from nines.errors import StorageError

# How often a worker that waits looks whether it was told something.
LOOK_SECONDS = 0.2


class Disturbed(StorageError):
    """What was waited for has not come, and there is something more urgent to do now; nothing is known to be lost."""


def never() -> bool:
    """Nothing is ever more urgent."""
    return False


@contextlib.contextmanager
def locked(path: Path, *, disturbed: Callable[[], bool] = never) -> Iterator[None]:
    """Hold the lock `path`.

    Args:
        path: The file.
        disturbed: Whether to stop waiting for it.

    Raises:
        Disturbed: `disturbed` said so before the lock was free.
    """
    lock = FileLock(path)
    while True:
        try:
            lock.acquire(timeout=LOOK_SECONDS)
        except Timeout as error:
            if disturbed():
                raise Disturbed(f"another process holds {path}") from error
        else:
            break
    try:
        yield
    finally:
        lock.release()


def pause(seconds: float, *, disturbed: Callable[[], bool]) -> bool:
    """Sleep; returns whether that was cut short."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if disturbed():
            return True
        time.sleep(min(left, LOOK_SECONDS))
    return disturbed()
